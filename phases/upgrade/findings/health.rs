//! Whether the cluster is well enough: what is broken before an upgrade is worse after it.

use rkadm_core::host::Probe;

use crate::{
    health::{self, Check, State, certificates, etcd},
    preflight::{Found, error, warning},
    upgrade::state::Seen,
};

/// Name of the check.
pub const CHECK: &str = "ClusterHealth";
/// So many nodes are told one by one.
const EACH: usize = 5;

/// Judges what `rkadm health` finds. Certificates are judged by themselves: an upgrade renews some.
pub async fn look(host: &dyn Probe, seen: Option<&Seen>) -> Vec<Found> {
    // Versions and nodes are judged by themselves.
    let report = health::look_without_nodes(host).await;
    let mut found: Vec<Found> = report.checks.into_iter().filter_map(judged).collect();
    found.extend(seen.into_iter().flat_map(|seen| not_ready(&seen.not_ready)));
    found
}

/// Of what only somebody should look at, what is etcd's: members that hang behind or do not agree may not bear the restart of another.
fn judged(check: Check) -> Option<Found> {
    let finding = match check.state {
        _ if check.component == certificates::NAME => return None,
        State::Failed => error,
        State::Warning if check.component == etcd::NAME => warning,
        State::Warning | State::Ok => return None,
    };
    let message = format!("{}: {}", check.component, check.message);
    Some(finding(CHECK.to_owned(), message, &check.hint.unwrap_or_default()))
}

/// Each control plane by itself; workers may be many.
fn not_ready(nodes: &[(String, bool)]) -> Vec<Found> {
    let (control_planes, workers): (Vec<_>, Vec<_>) =
        nodes.iter().partition(|(_, is_control_plane)| *is_control_plane);
    let message = |node: &str| (format!("node {node} is not Ready"), format!("kubectl describe node {node}"));
    let mut found: Vec<_> = control_planes
        .into_iter()
        .map(|(node, _)| message(node))
        .map(|(message, hint)| error("ControlPlaneNodesReady", message, &hint))
        .collect();
    if workers.len() <= EACH {
        let each = workers.into_iter().map(|(node, _)| message(node));
        found.extend(each.map(|(message, hint)| warning("NodesReady", message, &hint)));
    } else {
        let names: Vec<_> = workers.iter().take(EACH).map(|(node, _)| node.as_str()).collect();
        let (all, more) = (workers.len(), workers.len() - EACH);
        let message = format!("{all} nodes are not Ready: {} and {more} more", names.join(", "));
        found.push(warning("NodesReady", message, "kubectl get nodes"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Severity;

    #[test]
    fn warnings_of_etcd_are_told_and_others_are_not() {
        let check = |component: &str, state| Check {
            component: component.into(),
            state,
            message: "m".into(),
            hint: None,
        };
        let of = |component, state| judged(check(component, state)).map(|(severity, _)| severity);
        assert_eq!(of("etcd", State::Warning), Some(Severity::Warning));
        assert_eq!(of("etcd", State::Failed), Some(Severity::Error));
        assert_eq!(of("etcd", State::Ok), None);
        assert_eq!(of("kubelet", State::Warning), None);
        assert_eq!(of("kubelet", State::Failed), Some(Severity::Error));
        assert_eq!(of("certificates", State::Failed), None, "they have a check of their own");
    }

    #[test]
    fn many_workers_are_told_together_and_control_planes_one_by_one() {
        let messages = |nodes: &[(String, bool)]| {
            not_ready(nodes).into_iter().map(|(_, finding)| finding.message).collect::<Vec<_>>()
        };
        let mut nodes: Vec<_> = (1..=2).map(|n| (format!("w{n}"), false)).collect();
        nodes.push(("cp2".into(), true));
        assert_eq!(
            messages(&nodes),
            ["node cp2 is not Ready", "node w1 is not Ready", "node w2 is not Ready"]
        );
        nodes.extend((3..=5000).map(|n| (format!("w{n}"), false)));
        assert_eq!(
            messages(&nodes),
            ["node cp2 is not Ready", "5000 nodes are not Ready: w1, w2, w3, w4, w5 and 4995 more"]
        );
    }
}
