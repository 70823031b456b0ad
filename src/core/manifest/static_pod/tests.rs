//! What the recorded fixtures of init cannot show: joining, other minors, unusual addresses.

use super::*;
use crate::config::types::{LocalEtcd, Networking};
use crate::version::row;

fn cluster() -> ClusterConfiguration {
    ClusterConfiguration {
        kubernetes_version: "v1.37.0".into(),
        certificates_dir: "/etc/kubernetes/pki".into(),
        image_repository: "registry.k8s.io".into(),
        etcd: crate::config::types::Etcd {
            local: Some(LocalEtcd { data_dir: "/var/lib/etcd".into(), ..LocalEtcd::default() }),
            external: None,
        },
        networking: Networking {
            service_subnet: "10.96.0.0/12".into(),
            dns_domain: "cluster.local".into(),
            pod_subnet: String::new(),
        },
        ..ClusterConfiguration::default()
    }
}

fn endpoint() -> LocalApiEndpoint {
    LocalApiEndpoint { advertise_address: "192.0.2.10".into(), bind_port: 6443 }
}

fn inputs<'a>(cluster: &'a ClusterConfiguration, endpoint: &'a LocalApiEndpoint) -> StaticPodInputs<'a> {
    StaticPodInputs {
        cluster,
        endpoint,
        node_name: "node-1",
        health_check_timeout: GoDuration::from_secs(240),
        row: row(37).unwrap(),
        etcd_membership: EtcdMembership::First,
        ca_dirs: &[],
        proxy_env: &[],
        external_ca: false,
    }
}

fn command(pod: &Pod) -> &[String] {
    pod.spec.as_ref().unwrap().containers[0].command.as_ref().unwrap()
}

/// The API server refuses to start with both.
#[test]
fn a_file_of_authorizers_takes_the_place_of_the_default_modes() {
    let mut cluster = cluster();
    let value = "/etc/kubernetes/authorizers.yaml".to_owned();
    cluster.api_server.extra_args = vec![Arg { name: "authorization-config".to_owned(), value }];
    let endpoint = endpoint();
    let pod = static_pod(Component::ApiServer, &inputs(&cluster, &endpoint)).unwrap();
    let flags: Vec<_> = command(&pod).iter().filter(|flag| flag.starts_with("--authorization")).collect();
    assert_eq!(flags, ["--authorization-config=/etc/kubernetes/authorizers.yaml"]);
}

#[test]
fn a_joining_member_lists_all_members() {
    let (cluster, endpoint) = (cluster(), endpoint());
    let members = [
        ("node-0".to_owned(), "https://192.0.2.9:2380".to_owned()),
        ("node-1".to_owned(), "https://192.0.2.10:2380".to_owned()),
    ];
    let inputs =
        StaticPodInputs { etcd_membership: EtcdMembership::Joining(&members), ..inputs(&cluster, &endpoint) };
    let pod = static_pod(Component::Etcd, &inputs).unwrap();
    let expected = [
        "--initial-advertise-peer-urls=https://192.0.2.10:2380",
        "--initial-cluster=node-0=https://192.0.2.9:2380,node-1=https://192.0.2.10:2380",
        "--initial-cluster-state=existing",
    ];
    assert!(command(&pod).windows(3).any(|part| part == expected), "{:?}", command(&pod));
}

#[test]
fn etcd_before_3_6_gets_its_own_flags() {
    let (mut cluster, endpoint) = (cluster(), endpoint());
    for (tag, gates) in [("3.5.21-0", false), ("v3.6.0", true), ("", true), ("latest", true)] {
        cluster.etcd.local.as_mut().unwrap().image_tag = tag.into();
        let pod = static_pod(Component::Etcd, &inputs(&cluster, &endpoint)).unwrap();
        let has = |flag: &str| command(&pod).iter().any(|argument| argument == flag);
        assert_eq!(has("--feature-gates=InitialCorruptCheck=true"), gates, "{tag}");
        assert_eq!(has("--experimental-initial-corrupt-check=true"), !gates, "{tag}");
    }
}

#[test]
fn the_flexvolume_directory_is_mounted_before_1_36() {
    let (cluster, endpoint) = (cluster(), endpoint());
    for (minor, mounted) in [(34, true), (35, true), (36, false), (37, false)] {
        let inputs = StaticPodInputs { row: row(minor).unwrap(), ..inputs(&cluster, &endpoint) };
        let pod = static_pod(Component::ControllerManager, &inputs).unwrap();
        let volumes = pod.spec.unwrap().volumes.unwrap();
        assert_eq!(volumes.iter().any(|volume| volume.name == "flexvolume-dir"), mounted, "1.{minor}");
    }
}

#[test]
fn probes_follow_the_configured_listeners() {
    let (mut cluster, endpoint) = (cluster(), endpoint());
    let probe = |cluster: &ClusterConfiguration, component| {
        let pod = static_pod(component, &inputs(cluster, &endpoint)).unwrap();
        let container = pod.spec.unwrap().containers.remove(0);
        (container.liveness_probe.unwrap().http_get.unwrap().host, container.ports.unwrap()[0].container_port)
    };
    let local = Some("127.0.0.1".to_owned());
    assert_eq!(probe(&cluster, Component::Scheduler), (local.clone(), 10259));
    assert_eq!(probe(&cluster, Component::Etcd), (local, 2381));
    cluster.scheduler.extra_args = vec![Arg::new("bind-address", "192.0.2.10")];
    cluster.controller_manager.extra_args = vec![Arg::new("bind-address", "::")];
    cluster.etcd.local.as_mut().unwrap().extra_args =
        vec![Arg::new("listen-metrics-urls", "http://[fd00::1]:3381/x,http://1.2.3.4:999")];
    assert_eq!(probe(&cluster, Component::Scheduler), (Some("192.0.2.10".into()), 10259));
    assert_eq!(probe(&cluster, Component::ControllerManager), (None, 10257));
    assert_eq!(probe(&cluster, Component::Etcd), (Some("fd00::1".into()), 3381));
}

#[test]
fn without_the_ca_key_the_controller_manager_does_not_sign() {
    let (cluster, endpoint) = (cluster(), endpoint());
    let inputs = StaticPodInputs { external_ca: true, ..inputs(&cluster, &endpoint) };
    let pod = static_pod(Component::ControllerManager, &inputs).unwrap();
    assert!(command(&pod).contains(&"--cluster-signing-key-file=".to_owned()));
}

#[test]
fn what_cannot_be_made_is_named() {
    let (mut cluster, mut endpoint) = (cluster(), endpoint());
    cluster.etcd.local = None;
    assert!(matches!(
        static_pod(Component::Etcd, &inputs(&cluster, &endpoint)),
        Err(ManifestError::NoLocalEtcd)
    ));
    endpoint.advertise_address = "node".into();
    let error = static_pod(Component::ApiServer, &inputs(&cluster, &endpoint)).unwrap_err();
    assert_eq!(error.to_string(), "advertise address \"node\" is not an IP address");
}
