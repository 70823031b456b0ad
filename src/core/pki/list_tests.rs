use super::*;
use crate::pki::testing::inputs;

#[test]
fn a_ca_precedes_what_it_signs() {
    let mut seen = Vec::new();
    for entry in ENTRIES {
        assert!(entry.ca.is_none_or(|ca| seen.contains(&ca.id)), "{}", entry.id);
        seen.push(entry.id);
    }
}

/// Names and their order were read from a certificate of kubeadm 1.37 for the same inputs.
#[test]
fn api_server_names_are_kubeadms() {
    let sans = entry("apiserver").unwrap().spec(&inputs()).sans;
    assert_eq!(
        sans.dns,
        [
            "*.wild.example.com",
            "cp.example.com",
            "extra.example.com",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "node1"
        ]
    );
    assert_eq!(
        sans.ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.96.0.1", "10.0.0.5", "192.168.9.9", "2001:db8::1"]
    );
}

#[test]
fn etcd_names_are_kubeadms() {
    let server = entry("etcd-server").unwrap().spec(&inputs());
    assert_eq!(server.common_name, "node1");
    assert_eq!(server.sans.dns, ["etcd.example.com", "localhost", "node1"]);
    assert_eq!(
        server.sans.ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.5", "127.0.0.1", "::1", "10.9.9.9"]
    );
    assert_eq!(
        entry("etcd-peer").unwrap().spec(&inputs()).sans.dns,
        ["localhost", "node1", "peer.example.com"]
    );
}

#[test]
fn an_address_as_endpoint_and_a_mapped_address_become_ips() {
    let inputs = CertInputs {
        control_plane_host: Some("10.7.7.7".to_owned()),
        api_server_sans: vec![
            "Extra.EXAMPLE.com".to_owned(),
            "::ffff:1.2.3.4".to_owned(),
            "node1".to_owned(),
        ],
        ..inputs()
    };
    let sans = entry("apiserver").unwrap().spec(&inputs).sans;
    assert!(sans.dns.contains(&"extra.example.com".to_owned()));
    assert_eq!(
        sans.ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.96.0.1", "10.0.0.5", "10.7.7.7", "1.2.3.4"]
    );
}

#[test]
fn the_group_of_the_kubelet_client_ended_with_known_patches() {
    let of = |version: &str| {
        let inputs = CertInputs { version: version.parse().unwrap(), ..inputs() };
        entry("apiserver-kubelet-client").unwrap().spec(&inputs).organizations
    };
    for version in ["1.32.99", "1.33.11", "1.34.7", "1.35.4", "1.36.0"] {
        assert_eq!(of(version), ["kubeadm:cluster-admins"], "{version}");
    }
    for version in ["1.33.12", "1.34.8", "1.35.5", "1.36.1", "1.37.0", "1.40.2"] {
        assert!(of(version).is_empty(), "{version}");
    }
}

#[test]
fn help_names_the_files() {
    let help = entry("etcd-server").unwrap().help();
    assert!(help.contains("etcd/server.crt") && help.contains("etcd/server.key"), "{help}");
    assert!(entry("etcd-ca").unwrap().needs_local_etcd() && !entry("apiserver").unwrap().needs_local_etcd());
}
