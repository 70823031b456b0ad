use super::*;
use crate::config::Source;
use std::net::Ipv4Addr;

fn facts() -> HostFacts {
    HostFacts {
        hostname: "W1".into(),
        default_ipv4: Some(Ipv4Addr::new(10, 0, 0, 2).into()),
        ..HostFacts::default()
    }
}

fn token_flags() -> JoinFlags {
    JoinFlags {
        endpoint: Some("10.0.0.1:6443".into()),
        token: Some("abcdef.0123456789abcdef".into()),
        ca_cert_hashes: vec![format!("sha256:{}", "a".repeat(64))],
        ..JoinFlags::default()
    }
}

fn messages(documents: &Documents, flags: &JoinFlags) -> String {
    resolve_join(documents, flags, &facts()).unwrap_err().to_string()
}

#[test]
fn the_printed_command_makes_a_worker() {
    let join = resolve_join(&Documents::none(), &token_flags(), &facts()).unwrap();
    assert_eq!(join.node_name(), "w1");
    assert!(join.control_plane.is_none());
    assert_eq!(join.node_registration.taints, None);
    assert_eq!(join.discovery.tls_bootstrap_token, Some("abcdef.0123456789abcdef".into()));
    let found = join.discovery.bootstrap_token.unwrap();
    assert_eq!(found.api_server_endpoint, "10.0.0.1:6443");
}

#[test]
fn a_control_plane_gets_an_address_and_a_taint() {
    let flags = JoinFlags { control_plane: true, ..token_flags() };
    let join = resolve_join(&Documents::none(), &flags, &facts()).unwrap();
    let endpoint = join.control_plane.unwrap().local_api_endpoint;
    assert_eq!((endpoint.advertise_address.as_str(), endpoint.bind_port), ("10.0.0.2", 6443));
    assert_eq!(join.node_registration.taints.unwrap()[0].key, "node-role.kubernetes.io/control-plane");
}

#[test]
fn what_is_missing_is_told_by_flag() {
    let said = messages(&Documents::none(), &JoinFlags::default());
    assert!(said.contains("neither bootstrapToken nor file is given"), "{said}");
    let said = messages(&Documents::none(), &JoinFlags { ca_cert_hashes: vec![], ..token_flags() });
    assert!(said.contains("--discovery-token-ca-cert-hash"), "{said}");
    let said = messages(&Documents::none(), &JoinFlags { endpoint: None, ..token_flags() });
    assert!(said.contains("API-SERVER-ENDPOINT"), "{said}");
    let said = messages(&Documents::none(), &JoinFlags { token: Some("abc".into()), ..token_flags() });
    assert!(said.contains("--token: not a bootstrap token"), "{said}");
    assert!(!said.contains("abc"), "{said}");
}

#[test]
fn a_file_excludes_flags_as_kubeadm_has_it() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    \
                token: abcdef.0123456789abcdef\n    apiServerEndpoint: 10.0.0.1:6443\n    \
                unsafeSkipCAVerification: true\n";
    let documents = Documents::load(&[Source::new("join.yaml", text)]).unwrap();
    let flags = JoinFlags { node_name: Some("x".into()), dry_run: true, ..JoinFlags::default() };
    assert_eq!(resolve_join(&documents, &flags, &facts()).unwrap().node_name(), "x");
    let said = messages(&documents, &JoinFlags { control_plane: true, ..JoinFlags::default() });
    assert!(said.contains("--control-plane: cannot be used together with --config"), "{said}");
}

#[test]
fn the_digest_is_of_what_the_node_becomes() {
    let of = |flags: &JoinFlags| resolve_join(&Documents::none(), flags, &facts()).unwrap().digest();
    let plain = of(&token_flags());
    assert_eq!(plain, of(&JoinFlags { ignore_preflight_errors: vec!["Swap".into()], ..token_flags() }));
    assert_ne!(plain, of(&JoinFlags { token: Some("bbbbbb.0123456789abcdef".into()), ..token_flags() }));
    assert_ne!(plain, of(&JoinFlags { control_plane: true, ..token_flags() }));
}

#[test]
fn stored_settings_are_completed_and_checked() {
    let join = resolve_join(&Documents::none(), &token_flags(), &facts()).unwrap();
    let cluster =
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\n";
    let joined_with = |cluster: &str| joined(&join, cluster, "kind: KubeletConfiguration\n");
    let config = joined_with(cluster).unwrap();
    assert_eq!(config.cluster.etcd.local.unwrap().data_dir, "/var/lib/etcd");
    let said = joined_with(&cluster.replace("1.37", "1.20")).unwrap_err().to_string();
    assert!(said.contains("kubeadm-config") && said.contains("1.20"), "{said}");
    let said = joined_with(&cluster.replace("v1beta4", "v1beta2")).unwrap_err().to_string();
    assert!(said.contains("v1beta2"), "{said}");
    assert!(joined(&join, cluster, "x").is_err());
}

#[test]
fn a_file_of_another_cluster_is_told_by_what_differs() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {serviceSubnet: 10.200.0.0/16, \
                dnsDomain: cluster.local}\n";
    let documents = Documents::load(&[Source::new("j.yaml", text)]).unwrap();
    let cluster =
        "networking: {serviceSubnet: 10.96.0.0/12, dnsDomain: cluster.local, podSubnet: 10.244.0.0/16}\n";
    assert_eq!(
        contradictions(&documents, cluster),
        [
            "j.yaml: networking.serviceSubnet is \"10.200.0.0/16\" here and \"10.96.0.0/12\" in the cluster that this node joins, which counts"
        ]
    );
    assert_eq!(contradictions(&Documents::none(), cluster), Vec::<String>::new());
}
