//! Whether the cluster is well enough: what is broken before an upgrade is worse after it.

use rkadm_core::host::Probe;

use crate::{
    health::{self, State},
    preflight::{Found, error, warning},
    upgrade::state::Seen,
};

/// Name of the check.
pub const CHECK: &str = "ClusterHealth";

/// Judges what `rkadm health` finds.
pub async fn look(host: &dyn Probe, seen: Option<&Seen>) -> Vec<Found> {
    let report = health::look(host).await;
    let failed = report.checks.into_iter().filter(|check| check.state == State::Failed);
    let mut found: Vec<Found> = failed
        // Versions and nodes are judged by themselves.
        .filter(|check| check.component != "versions" && check.component != "nodes")
        .map(|check| {
            let hint = check.hint.unwrap_or_default();
            let message = format!("{}: {}", check.component, check.message);
            // They are renewed.
            if check.component == "certificates" {
                warning(CHECK, message, &hint)
            } else {
                error(CHECK, message, &hint)
            }
        })
        .collect();
    for (node, is_control_plane) in seen.into_iter().flat_map(|seen| &seen.not_ready) {
        let hint = format!("kubectl describe node {node}");
        let message = format!("node {node} is not Ready");
        found.push(if *is_control_plane {
            error("ControlPlaneNodesReady", message, &hint)
        } else {
            warning("NodesReady", message, &hint)
        });
    }
    found
}
