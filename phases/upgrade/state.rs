//! What runs where in the cluster, as the API server sees it.

use futures::future::{join_all, try_join};
use rkadm_core::{
    host::{ApiAccess, HostError, Probe},
    kube::ObjectRef,
    manifest,
    version::{
        KubeVersion,
        skew::{Component, Running},
    },
};
use serde_json::Value;

use crate::{
    health::{
        nodes::{self, Brief},
        versions::component,
    },
    static_pods,
};

const API_SERVERS: &str = "component=kube-apiserver,tier=control-plane";

/// The API servers that are static pods of control planes.
pub async fn api_servers(host: &dyn Probe, access: &ApiAccess) -> Result<Vec<Running>, HostError> {
    let pods = host.select(access, "Pod", "kube-system", API_SERVERS).await?;
    Ok(pods.iter().filter_map(component).collect())
}

/// How each API server of the cluster is reached, as they themselves keep the list, and the one that is asked for it. Kubelets may read
/// the list, too.
pub async fn each_api_server(host: &dyn Probe, access: &ApiAccess) -> Vec<ApiAccess> {
    let endpoints = match ObjectRef::new("Endpoints", Some("default"), "kubernetes") {
        Ok(target) => host.object(access, &target).await.ok().flatten().unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let at = |server| ApiAccess { kubeconfig: access.kubeconfig.clone(), server: Some(server) };
    let mut each: Vec<_> = urls(&endpoints).into_iter().map(at).collect();
    if !each.contains(access) {
        each.push(access.clone());
    }
    each
}

fn urls(endpoints: &Value) -> Vec<String> {
    let subsets = endpoints["subsets"].as_array().into_iter().flatten();
    let of_subset = |subset: &Value| {
        let port = subset["ports"][0]["port"].as_u64().unwrap_or(6443);
        let addresses = subset["addresses"].as_array().cloned().unwrap_or_default();
        let url = move |address: Value| {
            Some(format!("https://{}:{port}", rkadm_core::text::bracketed(address["ip"].as_str()?)))
        };
        addresses.into_iter().filter_map(url)
    };
    subsets.flat_map(of_subset).collect()
}

/// What the API servers that can be reached say that they are, each with its URL.
pub async fn served_versions(host: &dyn Probe, access: &ApiAccess) -> Vec<(String, KubeVersion)> {
    let each = each_api_server(host, access).await;
    let asked = each.iter().map(|access| async move {
        let answer = host.api_health(access, "/version").await.ok()?;
        let version: Value = serde_json::from_str(&answer.body).ok()?;
        let of_kubeconfig = || format!("the server of {}", access.kubeconfig.display());
        let server = access.server.clone().unwrap_or_else(of_kubeconfig);
        Some((server, version["gitVersion"].as_str()?.parse().ok()?))
    });
    join_all(asked).await.into_iter().flatten().collect()
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
    let nodes = async {
        let nodes = nodes::brief(host, access).await?;
        let proxies = nodes::kube_proxies(host, access, &nodes).await?;
        Ok((nodes, proxies))
    };
    let control = host.select(access, "Pod", "kube-system", nodes::CONTROL_PLANE_PODS);
    let ((nodes, proxies), control) = try_join(nodes, control).await?;
    let mut seen = Seen::default();
    for node in nodes {
        seen.node(node);
    }
    for pod in &control {
        seen.pod(pod);
    }
    seen.running.extend(control.iter().filter_map(component));
    seen.running.extend(proxies);
    Ok(seen)
}

impl Seen {
    fn node(&mut self, node: Brief) {
        let Brief { name, control_plane, ready, kubelet } = node;
        if !ready {
            self.not_ready.push((name.clone(), control_plane));
        }
        let of_kubelet = |version| Running { component: Component::Kubelet, node: name.clone(), version };
        self.running.extend(kubelet.map(of_kubelet));
        if control_plane {
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

/// The version of kube-proxy that its DaemonSet has; `None` where it is not installed or has an image of another name.
///
/// # Errors
/// The API server cannot be asked.
pub async fn kube_proxy(host: &dyn Probe, access: &ApiAccess) -> Result<Option<KubeVersion>, HostError> {
    let target = ObjectRef::new("DaemonSet", Some("kube-system"), "kube-proxy")?;
    let live = host.object(access, &target).await?.unwrap_or_default();
    let containers = live["spec"]["template"]["spec"]["containers"].clone();
    let pod = serde_json::json!({"spec": {"nodeName": "", "containers": containers}});
    Ok(component(&pod).map(|running| running.version))
}

/// The node whose member leads this cluster's etcd.
pub async fn etcd_leader(host: &dyn Probe) -> Option<String> {
    let pod = static_pods::read(host, manifest::Component::Etcd).await.ok()??;
    let access = manifest::pod::etcd_access(&pod);
    let members = host.etcd_members(&access).await.ok()?;
    let status = host.etcd_status(&access, access.endpoints.first()?).await.ok()?;
    members.into_iter().find(|member| member.id == status.leader).map(|member| member.name)
}
