//! What a cluster tells a node that joins: its configuration, and whether there is such a node already.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DiscoveryError, FoundCluster, TRY, Tell, patiently};
use crate::{
    config::Secret,
    kube::{KubeClient, KubeError, ObjectRef, client::Options},
    pki::encrypt,
};

/// A Node object of the name that the node wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeSeen {
    /// There is none.
    #[default]
    Absent,
    /// There is one whose kubelet does not report: a machine that is gone.
    NotReady,
    /// There is one that is alive.
    Ready,
}

/// What the cluster tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSettings {
    /// `ClusterConfiguration` of ConfigMap `kubeadm-config`, YAML.
    pub cluster: String,
    /// `KubeletConfiguration` of ConfigMap `kubelet-config`, YAML.
    pub kubelet: String,
    /// The node of that name.
    pub node: NodeSeen,
    /// The uploaded files of Secret `kubeadm-certs`, encrypted; `None` where there is no such Secret or it was not asked
    /// for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certs: Option<BTreeMap<String, Secret>>,
}

impl ClusterSettings {
    /// An uploaded file, still encrypted.
    pub fn encrypted(&self, name: &str) -> Option<Vec<u8>> {
        STANDARD.decode(self.certs.as_ref()?.get(name)?.expose()).ok()
    }
}

/// Asks the cluster.
///
/// # Errors
/// See [`DiscoveryError`].
pub async fn read(
    found: &FoundCluster,
    node_name: &str,
    with_certs: bool,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<ClusterSettings, DiscoveryError> {
    let options = Options { server: None, call_timeout: TRY.min(limit) };
    let client = KubeClient::with_options(found.bootstrap.expose().as_bytes(), &options)
        .map_err(|error| DiscoveryError::of_call(&found.server, &error))?;
    let get = async |kind: &str, namespace: Option<&str>, name: &str| {
        let target = ObjectRef::new(kind, namespace, name)
            .map_err(|error| DiscoveryError::of_call(&found.server, &error))?;
        let live = patiently(limit, tell, || client.get(&target)).await;
        live.map_err(|error| failed(&found.server, &target.to_string(), &error))
    };
    let system = Some("kube-system");
    let cluster = get("ConfigMap", system, "kubeadm-config").await?;
    let (kubelet, node) =
        futures::try_join!(get("ConfigMap", system, "kubelet-config"), get("Node", None, node_name))?;
    // Where nothing was ever uploaded, nobody has the right to look, either.
    let certs = if with_certs { get("Secret", system, encrypt::SECRET_NAME).await } else { Ok(None) };
    let certs = match certs {
        Err(DiscoveryError::Settings { .. }) => None,
        certs => certs?,
    };
    Ok(ClusterSettings {
        cluster: text(cluster.as_ref(), "ClusterConfiguration", "ConfigMap kube-system/kubeadm-config")?,
        kubelet: text(kubelet.as_ref(), "kubelet", "ConfigMap kube-system/kubelet-config")?,
        node: node.map_or(NodeSeen::Absent, |node| seen(&node)),
        certs: certs.map(|secret| {
            let data = secret["data"].as_object().into_iter().flatten();
            data.filter_map(|(name, value)| Some((name.clone(), Secret::new(value.as_str()?)))).collect()
        }),
    })
}

fn failed(server: &str, what: &str, error: &KubeError) -> DiscoveryError {
    match error {
        KubeError::Forbidden { message, .. } => {
            DiscoveryError::Settings { what: what.to_owned(), why: message.clone() }
        }
        error => DiscoveryError::of_call(server, error),
    }
}

fn text(map: Option<&Value>, key: &str, what: &str) -> Result<String, DiscoveryError> {
    let missing = |why: &str| DiscoveryError::Settings { what: what.to_owned(), why: why.to_owned() };
    let map = map.ok_or_else(|| missing("it does not exist: was this cluster made by kubeadm or rkadm?"))?;
    let text = map["data"][key].as_str().ok_or_else(|| missing(&format!("it has no key {key}")))?;
    Ok(text.to_owned())
}

fn seen(node: &Value) -> NodeSeen {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    if ready { NodeSeen::Ready } else { NodeSeen::NotReady }
}
