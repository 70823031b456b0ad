//! The cluster, as the API server shows it: its own checks, nodes, leaders, the control plane's pods.

use futures::future::{join, join_all, join3};
use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    host::{ApiAccess, Probe},
    kube::ObjectRef,
    manifest::{Component, api_server_url, pod},
};
use serde_json::Value;

use super::{Check, components::failing, nodes, versions};
use crate::{init::Cluster, join::by_kubelet, static_pods};

/// Who has to be elected for the cluster to move.
const LEADERS: [Component; 2] = [Component::ControllerManager, Component::Scheduler];

/// Asks with this machine's credentials: an administrator's on a control plane, the kubelet's on a worker.
pub async fn look(host: &dyn Probe, control_plane: bool, with_nodes: bool) -> Vec<Check> {
    if !control_plane {
        return vec![ready(host, &by_kubelet()).await];
    }
    let server = own_server(host).await;
    let access = ApiAccess { kubeconfig: Cluster::kubeconfig("admin.conf"), server };
    let first = ready(host, &access).await;
    if first.state == super::State::Failed {
        return vec![first];
    }
    let leaders = join_all(LEADERS.map(|component| leader(host, &access, component)));
    let nodes = async {
        if with_nodes {
            Some(join(nodes::nodes(host, &access), nodes::proxies(host, &access)).await)
        } else {
            None
        }
    };
    let pods = host.select(&access, "Pod", "kube-system", nodes::CONTROL_PLANE_PODS);
    let (nodes, control_planes, leaders) = join3(nodes, pods, leaders).await;
    let mut checks = vec![first];
    match (nodes, control_planes) {
        (Some((Err(error), _)), _) => {
            checks.push(Check::failed("nodes", error.to_string(), "kubectl get nodes"));
        }
        (_, Err(error)) => {
            checks.push(Check::failed("pods", error.to_string(), "kubectl -n kube-system get pods"));
        }
        (Some((Ok(nodes), proxies)), Ok(pods)) => {
            checks.extend(of_nodes(&nodes));
            checks.extend(of_pods(&pods));
            let all: Vec<_> = pods.into_iter().chain(proxies.unwrap_or_default()).collect();
            checks.extend(versions::look(&nodes, &all));
        }
        (None, Ok(pods)) => checks.extend(of_pods(&pods)),
    }
    checks.extend(leaders.into_iter().flatten());
    checks
}

/// This machine's own API server rather than any behind a load balancer.
async fn own_server(host: &dyn Probe) -> Option<String> {
    let pod = static_pods::read(host, Component::ApiServer).await.ok()??;
    api_server_url(&pod)
}

async fn ready(host: &dyn Probe, access: &ApiAccess) -> Check {
    let at = access.server.clone().unwrap_or_else(|| "the API server".into());
    match host.api_health(access, "/readyz?verbose").await {
        Ok(health) if health.status == 200 => {
            let passed = health.body.lines().filter(|line| line.starts_with("[+]")).count();
            Check::ok("cluster", format!("{at} is ready: {passed} checks of its own"))
        }
        Ok(health) => Check::failed(
            "cluster",
            format!("{at} is not ready ({}): {}", health.status, failing(&health.body)),
            "its log says more: crictl logs $(crictl ps -a -q --name kube-apiserver | head -1)",
        ),
        Err(why) => Check::failed(
            "cluster",
            format!("{at} cannot be asked: {why}"),
            format!("it is asked with {}", access.kubeconfig.display()),
        ),
    }
}

fn of_nodes(nodes: &[Value]) -> Vec<Check> {
    let mut checks = vec![];
    for node in nodes {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let hint = format!("kubectl describe node {name}");
        for condition in node["status"]["conditions"].as_array().into_iter().flatten() {
            let (kind, status) = (text(&condition["type"]), text(&condition["status"]));
            let said = format!("node {name}: {}", text(&condition["message"]));
            match kind {
                "Ready" if status != "True" => checks.push(Check::failed("nodes", said, &hint)),
                "MemoryPressure" | "DiskPressure" | "PIDPressure" | "NetworkUnavailable"
                    if status == "True" =>
                {
                    checks.push(Check::failed("nodes", format!("{said} ({kind})"), &hint));
                }
                _ => {}
            }
        }
        if node["spec"]["unschedulable"] == true {
            let message = format!("node {name} takes no new pods: it is cordoned");
            checks.push(Check::warning("nodes", message, format!("kubectl uncordon {name}")));
        }
    }
    let bad = checks.iter().filter(|check| check.state == super::State::Failed).count();
    if bad == 0 {
        checks.push(Check::ok("nodes", format!("{} are ready", nodes.len())));
    }
    checks
}

/// Those of all control planes: of the others, this machine knows no more.
fn of_pods(pods: &[Value]) -> Vec<Check> {
    let mut checks: Vec<_> = pods.iter().filter_map(not_ready).collect();
    if checks.is_empty() {
        checks.push(Check::ok("pods", format!("{} of the control planes are ready", pods.len())));
    }
    checks
}

fn not_ready(pod: &Value) -> Option<Check> {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True");
    let name = text(&pod["metadata"]["name"]);
    if ready {
        return None;
    }
    let states = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let why: Vec<_> = states.filter_map(|status| status["state"]["waiting"]["reason"].as_str()).collect();
    let why = if why.is_empty() { text(&pod["status"]["phase"]).to_owned() } else { why.join(", ") };
    let hint = format!("kubectl -n kube-system describe pod {name}");
    Some(Check::failed("pods", format!("{name} is not ready: {why}"), hint))
}

/// A leader renews its lease every few seconds; one that stopped leads nothing. `None` where nobody is to be elected, as some have it
/// with one control plane.
async fn leader(host: &dyn Probe, access: &ApiAccess, component: Component) -> Option<Check> {
    let own = static_pods::read(host, component).await.ok().flatten();
    let elects = own.and_then(|pod| pod::flag(&pod, "leader-elect"));
    if elects.is_some_and(|elects| ["false", "f", "0"].contains(&elects.to_lowercase().as_str())) {
        return None;
    }
    let name = component.name();
    let hint = format!("kubectl -n kube-system get lease {name} -o yaml");
    let target = match ObjectRef::new("Lease", Some("kube-system"), name) {
        Ok(target) => target,
        Err(error) => return Some(Check::failed(name, error.to_string(), hint)),
    };
    Some(match host.object(access, &target).await {
        Ok(Some(lease)) => judged(name, &lease, Timestamp::now(), hint),
        Ok(None) => Check::failed(name, "none was ever elected: there is no lease", hint),
        Err(error) => Check::failed(name, error.to_string(), hint),
    })
}

fn judged(name: &str, lease: &Value, now: Timestamp, hint: String) -> Check {
    let holder = text(&lease["spec"]["holderIdentity"]);
    let holder = holder.split('_').next().unwrap_or_default();
    let renewed: Option<Timestamp> = text(&lease["spec"]["renewTime"]).parse().ok();
    let duration = lease["spec"]["leaseDurationSeconds"].as_i64().unwrap_or(15);
    match renewed {
        _ if holder.is_empty() => Check::failed(name, "it has no leader", hint),
        Some(renewed) if now.duration_since(renewed) > SignedDuration::from_secs(duration * 2) => {
            let age = now.duration_since(renewed).as_secs();
            Check::failed(name, format!("its leader {holder} has not been heard of for {age} s"), hint)
        }
        Some(_) => Check::ok(name, format!("{holder} leads")),
        None => Check::failed(name, "its lease says no time", hint),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;
    use crate::health::State;

    #[test]
    fn a_leader_that_fell_silent_is_found() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let lease = |renewed: &str, holder: &str| serde_json::json!({"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}});
        let judge = |lease: &Value| judged("kube-scheduler", lease, now, String::new());
        let good = judge(&lease("2026-11-25T11:59:58.000000Z", "cp1_0123"));
        assert_eq!((good.state, good.message.as_str()), (State::Ok, "cp1 leads"));
        let silent = judge(&lease("2026-11-25T11:58:00.000000Z", "cp1_0123"));
        assert_eq!(silent.message, "its leader cp1 has not been heard of for 120 s");
        assert_eq!(judge(&lease("2026-11-25T11:59:58Z", "")).state, State::Failed);
    }

    #[tokio::test]
    async fn of_a_node_only_what_is_judged_is_kept() {
        let condition = |kind: &str, status: &str| serde_json::json!({"type": kind, "status": status, "message": "why", "reason": "R"});
        let node = |name: &str, conditions: &[Value]| {
            serde_json::json!({"kind": "Node",
                "metadata": {"name": name, "labels": {"node-role.kubernetes.io/control-plane": "", "a": "much"}},
                "spec": {"unschedulable": true, "podCIDR": "10.0.0.0/24"},
                "status": {"conditions": conditions, "images": ["much"], "nodeInfo": {"kubeletVersion": "v1.36.4", "a": "much"}}})
        };
        let good = node("cp1", &[condition("MemoryPressure", "False"), condition("Ready", "True")]);
        let bad = node("cp2", &[condition("DiskPressure", "True"), condition("Ready", "Unknown")]);
        let whole = [good, bad];
        let mut world = World::ready();
        world.others_serve = true;
        world.objects.extend(whole.iter().map(|node| (node["metadata"]["name"].to_string(), node.clone())));
        let access = ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: None };
        let kept = nodes::nodes(&FakeHost::new(world), &access).await.unwrap();
        assert!(!serde_json::to_string(&kept).unwrap().contains("much"), "{kept:?}");
        assert_eq!(of_nodes(&kept), of_nodes(&whole));
        assert_eq!(of_nodes(&kept).len(), 4);
        assert_eq!(versions::look(&kept, &[]), versions::look(&whole, &[]));
        assert!(kept[0]["metadata"]["labels"].get("node-role.kubernetes.io/control-plane").is_some());
    }

    #[test]
    fn a_pod_that_crashes_says_so() {
        let pod = serde_json::json!({"metadata": {"name": "kube-scheduler-cp2"}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        let message = not_ready(&pod).unwrap().message;
        assert_eq!(message, "kube-scheduler-cp2 is not ready: CrashLoopBackOff");
    }
}
