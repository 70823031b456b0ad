//! A scenario: its configuration, resolved, and kubeadm's output.

use rkadm_core::config::types::EnvVar;
use rkadm_core::config::{Documents, HostFacts, InitFlags, ResolvedInit, Source, resolve_init};
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
    pub init: ResolvedInit,
    /// The configuration has no KubeletConfiguration of the operator's.
    pub kubelet_generated: bool,
    /// The configuration has no KubeProxyConfiguration of the operator's.
    pub kube_proxy_generated: bool,
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
    let text = text.replace("@VERSION@", &format!("v1.{minor}.0")).replace("@HERE@", "/etc/kubernetes");
    let documents = Documents::load(&[Source::new(name, text.as_str())]).unwrap();
    let facts = HostFacts { hostname: "the-recording-machine".into(), ..HostFacts::default() };
    let init = resolve_init(&documents, &InitFlags::default(), &facts).unwrap();
    let with_proxy = ["customised", "local-etcd-v6"].contains(&name);
    Scenario {
        name: format!("v1.{minor}/{name}"),
        row: row(minor).unwrap(),
        init,
        kubelet_generated: !text.contains("kind: KubeletConfiguration"),
        kube_proxy_generated: !text.contains("kind: KubeProxyConfiguration"),
        proxy_env: if with_proxy { env::proxies(PROXY) } else { Vec::new() },
        ca_dirs: CA_DIRS.map(String::from).into(),
        recorded: root.join(format!("v1.{minor}/{name}")),
    }
}

impl Scenario {
    pub fn static_pods(&self) -> StaticPodInputs<'_> {
        StaticPodInputs {
            cluster: &self.init.cluster,
            endpoint: &self.init.local_api_endpoint,
            node_name: self.init.node_name(),
            health_check_timeout: self.init.timeouts.control_plane_component_health_check.unwrap(),
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
