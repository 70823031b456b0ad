//! Configurations as `kubeadm config print` shows them: every default written out, placeholders for what each cluster
//! or node gives itself.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::types::{
    BootstrapTokenDiscovery, Discovery, JoinConfiguration, Kind as _, NodeRegistration, ResetConfiguration,
    Timeouts, UpgradeConfiguration,
};
use super::{
    ConfigErrors, Documents, HostFacts, InitFlags, ResolvedInit, Secret, resolve, resolve_init,
    secret::exposed,
};
use crate::pki::list::DEFAULT_DIR;

/// The token of examples. It is no secret, and must not become one.
const TOKEN: &str = "abcdef.0123456789abcdef";
const NODE: &str = "node";

/// A configuration of a component that is printed on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// `KubeletConfiguration`.
    Kubelet,
    /// `KubeProxyConfiguration`.
    KubeProxy,
}

/// `InitConfiguration`, `ClusterConfiguration`, and the components' that are asked for.
///
/// # Errors
/// Never in practice: the defaults pass their own checks, which a test holds.
pub fn init_defaults(components: &[Component]) -> Result<Vec<Value>, ConfigErrors> {
    let config = defaults()?;
    let mut init = config.init_configuration();
    init.node_registration = plain_node(init.node_registration);
    let mut documents = vec![exposed(|| init.to_document()), config.cluster.to_document()];
    documents.extend(components.iter().map(|component| match component {
        Component::Kubelet => config.kubelet.clone(),
        Component::KubeProxy => config.kube_proxy.clone(),
    }));
    Ok(documents)
}

/// `JoinConfiguration`, of a worker.
///
/// # Errors
/// As [`init_defaults`].
pub fn join_defaults() -> Result<Vec<Value>, ConfigErrors> {
    let join = JoinConfiguration {
        node_registration: plain_node(defaults()?.node_registration),
        ca_cert_path: format!("{DEFAULT_DIR}/ca.crt"),
        discovery: Discovery {
            bootstrap_token: Some(BootstrapTokenDiscovery {
                token: Some(Secret::from(TOKEN)),
                api_server_endpoint: "kube-apiserver:6443".to_owned(),
                unsafe_skip_ca_verification: true,
                ..BootstrapTokenDiscovery::default()
            }),
            tls_bootstrap_token: Some(Secret::from(TOKEN)),
            ..Discovery::default()
        },
        timeouts: Some(Timeouts::default().with_defaults()),
        ..JoinConfiguration::default()
    };
    Ok(vec![exposed(|| join.to_document())])
}

/// `ResetConfiguration`.
pub fn reset_defaults() -> Vec<Value> {
    vec![resolve::reset_with_defaults(ResetConfiguration::default()).to_document()]
}

/// `UpgradeConfiguration`.
pub fn upgrade_defaults() -> Vec<Value> {
    vec![resolve::upgrade_with_defaults(UpgradeConfiguration::default()).to_document()]
}

fn defaults() -> Result<ResolvedInit, ConfigErrors> {
    let flags = InitFlags { token: Some(Secret::from(TOKEN)), ..InitFlags::default() };
    let facts = HostFacts {
        hostname: NODE.to_owned(),
        default_ipv4: Some(IpAddr::V4(Ipv4Addr::new(1, 2, 3, 4))),
        ..HostFacts::default()
    };
    resolve_init(&Documents::none(), &flags, &facts)
}

/// The taint of control planes is no default of the file: it depends on what the node becomes.
fn plain_node(node: NodeRegistration) -> NodeRegistration {
    NodeRegistration { taints: None, ..node }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{version::NEWEST, yaml};

    /// kubeadm's own output. The name of the machine that it ran on and its constant version are not ours.
    fn theirs(text: &str) -> Vec<Value> {
        let mut documents = yaml::documents(text).unwrap();
        for document in &mut documents {
            if document["kind"] == "JoinConfiguration" {
                document["nodeRegistration"]["name"] = NODE.into();
            }
            if document["kind"] == "ClusterConfiguration" {
                document["kubernetesVersion"] = NEWEST.newest().to_string().into();
            }
        }
        documents
    }

    fn assert_same(ours: &[Value], text: &str) {
        let written = |documents: &[Value]| documents.iter().map(yaml::to_string).collect::<Vec<_>>();
        assert_eq!(written(ours), written(&theirs(text)));
    }

    #[test]
    fn defaults_are_kubeadms() {
        let components = [Component::Kubelet, Component::KubeProxy];
        assert_same(&init_defaults(&components).unwrap(), include_str!("fixtures/init-defaults-1.37.yaml"));
        assert_same(&join_defaults().unwrap(), include_str!("fixtures/join-defaults-1.37.yaml"));
        assert_same(&reset_defaults(), include_str!("fixtures/reset-defaults-1.37.yaml"));
        assert_same(&upgrade_defaults(), include_str!("fixtures/upgrade-defaults-1.37.yaml"));
    }
}
