//! Whether the versions of all that runs go together.

use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    manifest::pod::{container, kubernetes_version},
    version::skew::{Component, Running, violations},
};
use serde_json::Value;

use super::Check;

const NAME: &str = "versions";
const HINT: &str = "the version skew policy: https://kubernetes.io/releases/version-skew-policy/";

/// Judges the kubelets of these nodes and the components of these pods.
pub fn look(nodes: &[Value], pods: &[Value]) -> Vec<Check> {
    let all: Vec<_> = nodes.iter().filter_map(kubelet).chain(pods.iter().filter_map(component)).collect();
    let mut checks: Vec<_> =
        violations(&all).iter().map(|violation| Check::failed(NAME, violation.to_string(), HINT)).collect();
    if checks.is_empty() && !all.is_empty() {
        let (oldest, newest) =
            (all.iter().map(|it| &it.version).min(), all.iter().map(|it| &it.version).max());
        let range = match (oldest, newest) {
            (Some(oldest), Some(newest)) if oldest != newest => format!("{oldest} to {newest}"),
            (Some(only), _) => only.to_string(),
            _ => String::new(),
        };
        checks.push(Check::ok(NAME, format!("{range}: all go together")));
    }
    checks
}

pub(crate) fn kubelet(node: &Value) -> Option<Running> {
    let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str()?.parse().ok()?;
    let node = node["metadata"]["name"].as_str()?.to_owned();
    Some(Running { component: Component::Kubelet, node, version })
}

/// By the tag of its image; one that is named otherwise is not judged.
pub(crate) fn component(pod: &Value) -> Option<Running> {
    let pod: Pod = serde_json::from_value(pod.clone()).ok()?;
    let name = container(&pod)?.name.clone();
    let all =
        [Component::ApiServer, Component::ControllerManager, Component::Scheduler, Component::KubeProxy];
    let component = all.into_iter().find(|component| component.name() == name)?;
    let version = kubernetes_version(&pod)?;
    Some(Running { component, node: pod.spec?.node_name?, version })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kubelet_that_is_newer_than_the_api_server_is_found() {
        let node = |name: &str, version: &str| json!({"metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": version}}});
        let pod = json!({"spec": {"nodeName": "cp1", "containers":
            [{"name": "kube-apiserver", "image": "registry.k8s.io/kube-apiserver:v1.36.4"}]}});
        let found = look(&[node("cp1", "v1.36.4"), node("w1", "v1.37.2")], std::slice::from_ref(&pod));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "kubelet v1.37.2 on w1 does not go with kube-apiserver v1.36.4 on cp1: it must be v1.33 to v1.36"
        );
        let found = look(&[node("w1", "v1.35.1")], &[pod]);
        assert_eq!(found[0].message, "v1.35.1 to v1.36.4: all go together");
    }
}
