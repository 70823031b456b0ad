//! Nodes, and the pods that each of them has: there may be thousands, so of each only what is judged is held.

use rkadm_core::{
    host::{ApiAccess, HostError, Probe},
    kube::{ObjectRef, Selector, objects::CONTROL_PLANE_LABEL},
    version::{
        KubeVersion,
        skew::{Component, Running},
    },
};
use serde_json::{Map, Value, json};

use super::versions::{component, kubelet};

/// The static pods of control planes.
pub const CONTROL_PLANE_PODS: &str = "tier=control-plane";
const PROXIES: &str = "k8s-app=kube-proxy";
/// A node with its images is some 20 KiB.
const PAGE: u32 = 100;

/// The columns that `kubectl get nodes` has shown for ten years.
const COLUMNS: [&str; 4] = ["Name", "Status", "Roles", "Version"];

/// A node, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its name.
    pub name: String,
    /// It has the role.
    pub control_plane: bool,
    /// As its kubelet, or who watches it, says.
    pub ready: bool,
    /// The kubelet's version, where it can be read.
    pub kubelet: Option<KubeVersion>,
}

/// All nodes in short. Thousands of them are a hundred megabytes, of which the API server would have to make JSON: so it is asked for a
/// table, and only where it makes none for the nodes.
pub async fn brief(host: &dyn Probe, access: &ApiAccess) -> Result<Vec<Brief>, HostError> {
    if let Some(rows) = host.table(access, "Node", &COLUMNS).await? {
        return Ok(rows.iter().map(|row| of_row(row)).collect());
    }
    Ok(nodes(host, access).await?.iter().map(of_node).collect())
}

fn of_row(row: &[String]) -> Brief {
    let cell = |at: usize| row.get(at).map(String::as_str).unwrap_or_default();
    Brief {
        name: cell(0).to_owned(),
        ready: cell(1).split(',').next() == Some("Ready"),
        control_plane: cell(2).split(',').any(|role| role == "control-plane"),
        kubelet: cell(3).parse().ok(),
    }
}

fn of_node(node: &Value) -> Brief {
    let conditions = node["status"]["conditions"].as_array();
    Brief {
        name: node["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        control_plane: node["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_some(),
        ready: conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True"),
        kubelet: kubelet(node).map(|running| running.version),
    }
}

/// kube-proxy on each of these nodes. Where its DaemonSet says that all of its pods are of one version, it alone is asked.
pub async fn kube_proxies(
    host: &dyn Probe,
    access: &ApiAccess,
    nodes: &[Brief],
) -> Result<Vec<Running>, HostError> {
    let target = ObjectRef::new("DaemonSet", Some("kube-system"), "kube-proxy")?;
    let daemon_set = host.object(access, &target).await?;
    if let Some(version) = daemon_set.as_ref().and_then(|it| one_version(it, nodes.len())) {
        let on = |node: &Brief| Running {
            component: Component::KubeProxy,
            node: node.name.clone(),
            version: version.clone(),
        };
        return Ok(nodes.iter().map(on).collect());
    }
    Ok(proxies(host, access).await?.iter().filter_map(component).collect())
}

/// The version of all pods of a DaemonSet that has one on each node.
fn one_version(daemon_set: &Value, nodes: usize) -> Option<KubeVersion> {
    let status = |name: &str| daemon_set["status"][name].as_u64();
    let is_seen = status("observedGeneration")? == daemon_set["metadata"]["generation"].as_u64()?;
    let all = usize::try_from(status("updatedNumberScheduled")?).ok()?;
    if !is_seen || all != nodes || status("desiredNumberScheduled") != status("updatedNumberScheduled") {
        return None;
    }
    let containers = daemon_set["spec"]["template"]["spec"]["containers"].clone();
    component(&json!({"spec": {"nodeName": "", "containers": containers}})).map(|running| running.version)
}

/// All nodes: names, the role, conditions, the kubelet.
pub async fn nodes(host: &dyn Probe, access: &ApiAccess) -> Result<Vec<Value>, HostError> {
    let selector = Selector { page: PAGE, ..Selector::default() };
    host.gather(access, "Node", None, &selector, &|node| Some(judged(&node))).await
}

/// The pods of kube-proxy: where they are, and their images.
pub async fn proxies(host: &dyn Probe, access: &ApiAccess) -> Result<Vec<Value>, HostError> {
    let selector = Selector { labels: PROXIES.into(), page: PAGE, ..Selector::default() };
    let keep = |pod: Value| {
        let spec = &pod["spec"];
        let container = |it: &Value| json!({"name": it["name"].clone(), "image": it["image"].clone()});
        let containers = spec["containers"].as_array().into_iter().flatten().map(container);
        let containers: Vec<_> = containers.collect();
        Some(json!({"spec": {"nodeName": spec["nodeName"].clone(), "containers": containers}}))
    };
    host.gather(access, "Pod", Some("kube-system"), &selector, &keep).await
}

fn judged(node: &Value) -> Value {
    let mut labels = Map::new();
    if let Some(role) = node["metadata"]["labels"].get(CONTROL_PLANE_LABEL) {
        labels.insert(CONTROL_PLANE_LABEL.to_owned(), role.clone());
    }
    let condition = |it: &Value| {
        let mut kept = json!({"type": it["type"].clone(), "status": it["status"].clone()});
        if it["type"] != "Ready" || it["status"] != "True" {
            kept["message"] = it["message"].clone();
        }
        kept
    };
    // All others tell of trouble that is not there.
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<_> =
        conditions.filter(|it| it["type"] == "Ready" || it["status"] != "False").map(condition).collect();
    json!({
        "metadata": {"name": node["metadata"]["name"].clone(), "labels": labels},
        "spec": {"unschedulable": node["spec"]["unschedulable"].clone()},
        "status": {
            "conditions": conditions,
            "nodeInfo": {"kubeletVersion": node["status"]["nodeInfo"]["kubeletVersion"].clone()},
        },
    })
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;

    fn node(name: &str, ready: &str, role: Option<&str>) -> Value {
        let mut labels = Map::new();
        labels.extend(role.map(|role| (format!("node-role.kubernetes.io/{role}"), "".into())));
        json!({"kind": "Node", "metadata": {"name": name, "labels": labels}, "status": {
            "conditions": [{"type": "Ready", "status": ready}], "nodeInfo": {"kubeletVersion": "v1.36.4"}}})
    }

    #[test]
    fn a_row_says_what_the_node_does() {
        let rows = [
            (
                ["cp1", "Ready,SchedulingDisabled", "control-plane,gpu", "v1.36.4"],
                ("True", Some("control-plane")),
            ),
            (["w1", "NotReady", "<none>", "v1.36.4"], ("Unknown", None)),
            (["w2", "Unknown", "control-plane-like", "v1.36.4"], ("False", Some("control-plane-like"))),
        ];
        for (row, (ready, role)) in rows {
            let of_object = of_node(&node(row[0], ready, role));
            assert_eq!(of_row(&row.map(str::to_owned)), of_object);
        }
        assert_eq!(of_row(&["w3".to_owned()]).kubelet, None);
    }

    /// Pods of v1.35.8, and a DaemonSet of v1.36.4.
    async fn versions(status: Value) -> Vec<String> {
        let image =
            |version: &str| json!([{"name": "kube-proxy", "image": format!("r:5000/kube-proxy:{version}")}]);
        let pod = json!({"kind": "Pod", "metadata": {"namespace": "kube-system", "labels": {"k8s-app": "kube-proxy"}},
            "spec": {"nodeName": "w1", "containers": image("v1.35.8")}});
        let daemon_set = json!({"kind": "DaemonSet", "metadata": {"generation": 2}, "status": status,
            "spec": {"template": {"spec": {"containers": image("v1.36.4")}}}});
        let mut world = World::ready();
        world.others_serve = true;
        let nodes = [node("w1", "True", None), node("w2", "True", None)];
        world.objects.extend(nodes.map(|node| (node["metadata"]["name"].to_string(), node)));
        world
            .objects
            .extend([("pod".to_owned(), pod), ("DaemonSet kube-system/kube-proxy".to_owned(), daemon_set)]);
        let (host, access) = (
            FakeHost::new(world),
            ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: None },
        );
        let nodes = brief(&host, &access).await.unwrap();
        let running = kube_proxies(&host, &access, &nodes).await.unwrap();
        running.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_daemon_set_speaks_for_its_pods_once_all_are_of_its_version() {
        let status = |seen: u64, updated: u64, desired: u64| json!({"observedGeneration": seen, "updatedNumberScheduled": updated, "desiredNumberScheduled": desired});
        let all = ["kube-proxy v1.36.4 on w1", "kube-proxy v1.36.4 on w2"];
        assert_eq!(versions(status(2, 2, 2)).await, all);
        let one = ["kube-proxy v1.35.8 on w1"];
        assert_eq!(versions(status(1, 2, 2)).await, one, "what was changed was not seen yet");
        assert_eq!(versions(status(2, 1, 2)).await, one, "under way");
        assert_eq!(versions(status(2, 1, 1)).await, one, "not on each node");
        assert_eq!(versions(Value::Null).await, one);
    }
}
