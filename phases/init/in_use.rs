//! Whether the cluster that an unfinished `init` or `restore cluster` made has been taken into use since.

use rkadm_core::{
    engine::operation::{Operation, StepState},
    host::{ApiAccess, Probe},
    manifest::{Component, api_server_url},
};
use serde_json::Value;

use super::Cluster;
use crate::{restore::CLUSTER_WORKFLOW, static_pods};

/// Namespaces that every cluster has.
const OWN: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// What somebody has put to work, or keeps.
const WORK: [&str; 10] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "CronJob",
    "Job",
    "Pod",
    "PersistentVolumeClaim",
    "Service",
    "Secret",
    "ConfigMap",
];
/// What controllers put into the namespace `default` by themselves.
const BY_ITSELF: [(&str, &str); 2] = [("Service", "kubernetes"), ("ConfigMap", "kube-root-ca.crt")];
/// From here on the API server takes requests of anybody who has a kubeconfig.
const SERVING: &str = "wait-control-plane";

/// What speaks against taking the operation back, in words; empty when nothing does.
///
/// A rollback removes etcd's data. Before the API server served there can be nothing in it; afterwards only the API
/// server can tell, and one that does not answer proves nothing.
pub async fn in_use(host: &dyn Probe, operation: &Operation) -> Vec<String> {
    let served = operation.phases().iter().any(|phase| phase.phase == SERVING && phase.outcome.is_some());
    let undone = operation.steps().iter().any(|step| step.state == StepState::Undone);
    // A rollback that has begun has stopped the API server already.
    if !served || undone {
        return vec![];
    }
    match operation.workflow() {
        "init" => {}
        // Nodes and namespaces came with the data: they tell nothing.
        CLUSTER_WORKFLOW => return vec!["it has served: whatever was written since would be lost".into()],
        _ => return vec![],
    }
    let access = access(host).await;
    let mut why = vec![];
    match host.objects(&access, "Node").await {
        Ok(nodes) if nodes.len() > 1 => {
            why.push(format!("{} nodes: {}", nodes.len(), names(&nodes).join(", ")));
        }
        Ok(_) => {}
        Err(error) => return vec![format!("the API server cannot be asked whether it is: {error}")],
    }
    match host.objects(&access, "Namespace").await {
        Ok(namespaces) => {
            let others: Vec<_> =
                names(&namespaces).into_iter().filter(|name| !OWN.contains(&name.as_str())).collect();
            if !others.is_empty() {
                why.push(format!("namespaces: {}", others.join(", ")));
            }
        }
        Err(error) => {
            why.push(format!("the API server cannot be asked whether it is: {error}"));
            return why;
        }
    }
    match host.objects(&access, "CustomResourceDefinition").await {
        Ok(all) if all.is_empty() => {}
        Ok(all) => why.push(format!("custom resources: {}", names(&all).join(", "))),
        Err(error) => why.push(format!("the API server cannot be asked whether it is: {error}")),
    }
    for kind in WORK {
        match host.objects(&access, kind).await {
            Ok(all) => {
                let theirs: Vec<_> = all.into_iter().filter(|object| is_theirs(kind, object)).collect();
                if !theirs.is_empty() {
                    why.push(format!("in namespace default: {kind} {}", names(&theirs).join(", ")));
                }
            }
            Err(error) => why.push(format!("the API server cannot be asked whether it is: {error}")),
        }
    }
    why
}

/// An administrator at this machine's own API server: the address of them all may lead nowhere yet.
async fn access(host: &dyn Probe) -> ApiAccess {
    let super_admin = Cluster::kubeconfig("super-admin.conf");
    let kubeconfig = match host.stat(&super_admin).await {
        Ok(Some(_)) => super_admin,
        _ => Cluster::kubeconfig("admin.conf"),
    };
    let pod = static_pods::read(host, Component::ApiServer).await.ok().flatten();
    ApiAccess { kubeconfig, server: pod.as_ref().and_then(api_server_url) }
}

fn is_theirs(kind: &str, object: &Value) -> bool {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    object["metadata"]["namespace"] == "default" && !BY_ITSELF.contains(&(kind, name))
}

fn names(objects: &[Value]) -> Vec<String> {
    objects
        .iter()
        .filter_map(|object| object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use rkadm_core::kube::ObjectRef;

    use super::*;

    #[test]
    fn every_kind_can_be_asked_for() {
        for kind in WORK {
            ObjectRef::new(kind, Some("default"), "mine").unwrap();
        }
    }
}
