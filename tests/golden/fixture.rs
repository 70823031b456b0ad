//! A scenario: its configuration, resolved by hand to what kubeadm's defaults make of it, and kubeadm's output.

use rkadm_core::config::GoDuration;
use rkadm_core::config::types::{ClusterConfiguration, EnvVar, InitConfiguration, LocalEtcd};
use rkadm_core::manifest::{EtcdMembership, StaticPodInputs, env};
use rkadm_core::version::{MinorRow, row};
use rkadm_core::yaml;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The CA directories of the machine that the fixtures were recorded on.
const CA_DIRS: [&str; 3] =
    ["/etc/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/ca-certificates"];
/// The same as in `refresh.py`.
const PROXY: [(&str, &str); 4] = [
    ("HTTP_PROXY", "http://proxy.example.test:3128"),
    ("NO_PROXY", "10.0.0.0/8"),
    ("https_proxy", "http://p:1"),
    ("PATH", "/bin"),
];

pub struct Scenario {
    pub name: String,
    pub row: &'static MinorRow,
    pub cluster: ClusterConfiguration,
    pub init: InitConfiguration,
    pub kubelet: Option<Value>,
    pub kube_proxy: Option<Value>,
    pub proxy_env: Vec<EnvVar>,
    ca_dirs: Vec<String>,
    recorded: PathBuf,
}

/// Every scenario for every minor that was recorded.
pub fn all() -> Vec<Scenario> {
    recorded(&["customised", "defaults", "endpoint", "external-etcd-v6", "local-etcd-v6"])
}

/// The scenario with patches, for every minor that was recorded.
pub fn patched() -> Vec<Scenario> {
    recorded(&["patched"])
}

fn recorded(names: &[&str]) -> Vec<Scenario> {
    let root = &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    [36, 37].into_iter().flat_map(|minor| names.iter().map(move |name| load(root, name, minor))).collect()
}

fn load(root: &Path, name: &str, minor: u64) -> Scenario {
    let text = std::fs::read_to_string(root.join(format!("configs/{name}.yaml"))).unwrap();
    let documents = yaml::documents(&text.replace("@VERSION@", &format!("v1.{minor}.0"))).unwrap();
    let find = |kind: &str| documents.iter().find(|document| document["kind"] == kind).cloned();
    let cluster = serde_json::from_value(find("ClusterConfiguration").unwrap()).unwrap();
    let init = serde_json::from_value(find("InitConfiguration").unwrap()).unwrap();
    let with_proxy = ["customised", "local-etcd-v6"].contains(&name);
    Scenario {
        name: format!("v1.{minor}/{name}"),
        row: row(minor).unwrap(),
        cluster: cluster_defaults(cluster),
        init: init_defaults(init),
        kubelet: find("KubeletConfiguration"),
        kube_proxy: find("KubeProxyConfiguration"),
        proxy_env: if with_proxy { env::proxies(PROXY) } else { Vec::new() },
        ca_dirs: CA_DIRS.map(String::from).into(),
        recorded: root.join(format!("v1.{minor}/{name}")),
    }
}

fn or(value: &mut String, default: &str) {
    if value.is_empty() {
        default.clone_into(value);
    }
}

fn cluster_defaults(mut cluster: ClusterConfiguration) -> ClusterConfiguration {
    or(&mut cluster.certificates_dir, "/etc/kubernetes/pki");
    or(&mut cluster.cluster_name, "kubernetes");
    or(&mut cluster.image_repository, "registry.k8s.io");
    or(&mut cluster.networking.dns_domain, "cluster.local");
    or(&mut cluster.networking.service_subnet, "10.96.0.0/12");
    cluster.encryption_algorithm.get_or_insert_default();
    cluster.certificate_validity_period.get_or_insert(GoDuration::from_secs(365 * 86_400));
    cluster.ca_certificate_validity_period.get_or_insert(GoDuration::from_secs(3650 * 86_400));
    match &mut cluster.etcd.external {
        None => or(&mut cluster.etcd.local.get_or_insert_with(LocalEtcd::default).data_dir, "/var/lib/etcd"),
        Some(external) if external.http_endpoints.is_empty() => {
            external.http_endpoints.clone_from(&external.endpoints);
        }
        Some(_) => {}
    }
    cluster
}

fn init_defaults(mut init: InitConfiguration) -> InitConfiguration {
    if init.local_api_endpoint.bind_port == 0 {
        init.local_api_endpoint.bind_port = 6443;
    }
    init.timeouts = Some(init.timeouts.take().unwrap_or_default().with_defaults());
    for token in &mut init.bootstrap_tokens {
        token.ttl.get_or_insert(GoDuration::from_secs(86_400));
        if token.usages.is_empty() {
            token.usages = vec!["signing".into(), "authentication".into()];
        }
        if token.groups.is_empty() {
            token.groups = vec!["system:bootstrappers:kubeadm:default-node-token".into()];
        }
    }
    init
}

impl Scenario {
    pub fn static_pods(&self) -> StaticPodInputs<'_> {
        StaticPodInputs {
            cluster: &self.cluster,
            endpoint: &self.init.local_api_endpoint,
            node_name: &self.init.node_registration.name,
            health_check_timeout: self
                .init
                .timeouts
                .as_ref()
                .and_then(|timeouts| timeouts.control_plane_component_health_check)
                .unwrap(),
            row: self.row,
            etcd_membership: EtcdMembership::First,
            ca_dirs: &self.ca_dirs,
            proxy_env: &self.proxy_env,
            external_ca: false,
        }
    }

    /// A recorded file; `None` when kubeadm did not write it.
    pub fn recorded(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.recorded.join(file)).ok()
    }

    /// The recorded objects, in kubeadm's order.
    pub fn recorded_objects(&self) -> Vec<Value> {
        yaml::documents(&self.recorded("objects.yaml").unwrap()).unwrap()
    }
}
