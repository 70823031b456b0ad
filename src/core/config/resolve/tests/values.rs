//! What phases ask of a resolved configuration.

use super::*;
use crate::config::GoDuration;
use crate::config::secret::exposed;

#[test]
fn images_are_those_kubeadm_lists() {
    let list = |text: &str| {
        let ours = with_files(&format!("{CLUSTER}{text}\n")).unwrap();
        ours.images().join("\n")
    };
    insta::assert_snapshot!(list("kubernetesVersion: v1.37.2"), @r"
registry.k8s.io/kube-apiserver:v1.37.2
registry.k8s.io/kube-controller-manager:v1.37.2
registry.k8s.io/kube-scheduler:v1.37.2
registry.k8s.io/kube-proxy:v1.37.2
registry.k8s.io/coredns/coredns:v1.14.6
registry.k8s.io/pause:3.10.2
registry.k8s.io/etcd:3.7.0-0
");
    insta::assert_snapshot!(list("kubernetesVersion: v1.36.4\nimageRepository: r.io/x"), @r"
r.io/x/kube-apiserver:v1.36.4
r.io/x/kube-controller-manager:v1.36.4
r.io/x/kube-scheduler:v1.36.4
r.io/x/kube-proxy:v1.36.4
r.io/x/coredns:v1.14.2
r.io/x/pause:3.10.2
r.io/x/etcd:3.6.8-0
");
    let custom = "kubernetesVersion: v1.37.2+foo\nimageRepository: r.io\ndns: {imageRepository: registry.k8s.io, imageTag: v9}\n\
                  etcd: {local: {imageRepository: foo.io/a, imageTag: \"9.9\"}}";
    insta::assert_snapshot!(list(custom), @r"
r.io/kube-apiserver:v1.37.2_foo
r.io/kube-controller-manager:v1.37.2_foo
r.io/kube-scheduler:v1.37.2_foo
r.io/kube-proxy:v1.37.2_foo
registry.k8s.io/coredns/coredns:v9
r.io/pause:3.10.2
foo.io/a/etcd:9.9
");
}

#[test]
fn urls_and_service_addresses() {
    let ours = defaults();
    assert_eq!(ours.control_plane_endpoint(), "https://192.0.2.2:6443");
    assert_eq!(ours.api_service_ip().unwrap().to_string(), "10.96.0.1");
    assert_eq!(ours.dns_ip().unwrap().to_string(), "10.96.0.10");
    assert_eq!((ours.node_name(), ours.cert_dir()), ("node-1", "/etc/kubernetes/pki"));
    for (given, stored) in [
        ("cp.example.com", "cp.example.com:6443"),
        ("cp.example.com:443", "cp.example.com:443"),
        ("fd00::1", "[fd00::1]:6443"),
    ] {
        let flags = InitFlags { control_plane_endpoint: Some(given.into()), ..InitFlags::default() };
        let ours = with_flags(&flags).unwrap();
        assert_eq!(ours.control_plane_endpoint(), format!("https://{stored}"));
        // As kubeadm stores it: what a joining node would add is its own port.
        assert_eq!(ours.cluster.control_plane_endpoint, stored);
    }
}

fn secret_flags(token: &str) -> InitFlags {
    InitFlags { token: Some(token.into()), ..InitFlags::default() }
}

#[test]
fn only_a_private_document_can_be_read_back() {
    let ours = with_flags(&secret_flags("abcdef.0123456789abcdef")).unwrap();
    let public = serde_json::to_string(&ours).unwrap();
    assert!(!public.contains("0123456789abcdef") && !format!("{ours:?}").contains("0123456789abcdef"));
    assert!(serde_json::from_str::<ResolvedInit>(&public).is_err());
    let private = exposed(|| serde_json::to_string(&ours).unwrap());
    assert_eq!(serde_json::from_str::<ResolvedInit>(&private).unwrap(), ours);
}

#[test]
fn the_digest_ignores_how_the_run_goes() {
    let ours = defaults();
    assert_eq!(ours.digest().len(), 64);
    let mut other = ours.clone();
    other.dry_run = true;
    other.skip_phases = vec!["certs".into()];
    other.ignore_preflight_errors = vec!["all".into()];
    other.timeouts.discovery = Some(GoDuration::from_secs(1));
    other.warnings.clear();
    assert_eq!(ours.digest(), other.digest());
    assert_eq!(ours.diff(&other), []);
}

#[test]
fn the_digest_and_the_difference_see_every_other_change() {
    let ours = with_flags(&secret_flags("abcdef.0123456789abcdef")).unwrap();
    let mut other = with_flags(&secret_flags("abcdef.fedcba9876543210")).unwrap();
    other.cluster.networking.pod_subnet = "10.244.0.0/16".into();
    other.cluster.api_server.cert_sans = vec!["a".into()];
    assert_ne!(ours.digest(), other.digest());
    let found = ours.diff(&other).into_iter().map(|difference| {
        let side = |value: Option<Value>| value.map_or("absent".to_owned(), |value| value.to_string());
        format!("{}: {} / {}", difference.path, side(difference.ours), side(difference.theirs))
    });
    insta::assert_snapshot!(found.collect::<Vec<_>>().join("\n"), @r#"
cluster.apiServer.certSANs: absent / ["a"]
cluster.networking.podSubnet: absent / "10.244.0.0/16"
secrets.bootstrapTokens[0]: "<redacted>" / "<redacted>"
"#);
}
