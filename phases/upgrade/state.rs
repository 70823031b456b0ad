//! What runs where in the cluster, as the API server sees it.

use futures::future::try_join3;
use rkadm_core::{
    host::{ApiAccess, HostError, Probe},
    kube::{ObjectRef, objects::CONTROL_PLANE_LABEL},
    manifest,
    version::skew::{Component, Running},
};
use serde_json::Value;

use crate::{
    health::versions::{component, kubelet},
    static_pods,
};

const API_SERVERS: &str = "component=kube-apiserver,tier=control-plane";

/// The API servers that are static pods of control planes.
pub async fn api_servers(host: &dyn Probe, access: &ApiAccess) -> Result<Vec<Running>, HostError> {
    let pods = host.select(access, "Pod", "kube-system", API_SERVERS).await?;
    Ok(pods.iter().filter_map(component).collect())
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Every component whose version is known.
    pub running: Vec<Running>,
    /// Names of nodes that are not Ready, and whether they are control planes.
    pub not_ready: Vec<(String, bool)>,
    /// Names of the control planes.
    pub control_planes: Vec<String>,
    /// Images of the control planes' pods: node, container, image.
    pub images: Vec<(String, String, String)>,
}

/// Asks for everything at once.
pub async fn look(host: &dyn Probe, access: &ApiAccess) -> Result<Seen, HostError> {
    let pods = |labels| host.select(access, "Pod", "kube-system", labels);
    let (nodes, control, proxies) =
        try_join3(host.objects(access, "Node"), pods("tier=control-plane"), pods("k8s-app=kube-proxy"))
            .await?;
    let mut seen = Seen::default();
    for node in &nodes {
        seen.node(node);
    }
    for pod in &control {
        seen.pod(pod);
    }
    seen.running.extend(control.iter().chain(&proxies).filter_map(component));
    Ok(seen)
}

impl Seen {
    fn node(&mut self, node: &Value) {
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let is_control_plane = node["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_some();
        let conditions = node["status"]["conditions"].as_array();
        let ready =
            conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True");
        if !ready {
            self.not_ready.push((name.clone(), is_control_plane));
        }
        self.running.extend(kubelet(node));
        if is_control_plane {
            self.control_planes.push(name);
        }
    }

    fn pod(&mut self, pod: &Value) {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let container = &pod["spec"]["containers"][0];
        if let (Some(name), Some(image)) = (container["name"].as_str(), container["image"].as_str()) {
            self.images.push((node.to_owned(), name.to_owned(), image.to_owned()));
        }
    }

    /// Those of one component.
    pub fn of(&self, component: Component) -> impl Iterator<Item = &Running> + Clone {
        self.running.iter().filter(move |running| running.component == component)
    }
}

/// The image of an addon's first container; `None` where it is not installed.
///
/// # Errors
/// The API server cannot be asked.
pub async fn addon_image(
    host: &dyn Probe,
    access: &ApiAccess,
    kind: &str,
    name: &str,
) -> Result<Option<String>, HostError> {
    let target = ObjectRef::new(kind, Some("kube-system"), name)?;
    let live = host.object(access, &target).await?;
    let image = live.as_ref().and_then(|live| live.pointer("/spec/template/spec/containers/0/image"));
    Ok(image.and_then(Value::as_str).map(str::to_owned))
}

/// The node whose member leads this cluster's etcd.
pub async fn etcd_leader(host: &dyn Probe) -> Option<String> {
    let pod = static_pods::read(host, manifest::Component::Etcd).await.ok()??;
    let access = manifest::pod::etcd_access(&pod);
    let members = host.etcd_members(&access).await.ok()?;
    let status = host.etcd_status(&access, access.endpoints.first()?).await.ok()?;
    members.into_iter().find(|member| member.id == status.leader).map(|member| member.name)
}
