//! The gate after an upgrade, the same as before it: whoever goes on, to another machine or to the next minor, goes on from a cluster
//! that is well. It is no phase: what is broken elsewhere is no reason to take back what works here.

use std::time::Duration;

use rkadm_core::host::Probe;
use tokio::time::{Instant, sleep};

use super::{PAUSE, Upgrading, findings, state};
use crate::preflight::{Severity, is_ignored};

/// What has just started may need a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is broken, once what comes up had the time to.
pub async fn ill(host: &dyn Probe, upgrading: &Upgrading) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let ill = look(host, upgrading).await;
        if ill.is_empty() || begun.elapsed() >= PATIENCE {
            return ill;
        }
        sleep(PAUSE).await;
    }
}

async fn look(host: &dyn Probe, upgrading: &Upgrading) -> Vec<String> {
    let config = &upgrading.request.config;
    let mut seen = match upgrading.cluster.admin(host).await {
        Ok(access) => state::look(host, &access).await.ok(),
        Err(_) => None,
    };
    // Others may be away, where the operator said so; this one has just been upgraded.
    if is_ignored(&config.ignore_preflight_errors, "ControlPlaneNodesReady")
        && let Some(seen) = &mut seen
    {
        seen.not_ready.retain(|(name, is_control_plane)| name == config.node_name() || !is_control_plane);
    }
    let found = findings::health(host, seen.as_ref()).await.into_iter();
    found.filter(|(severity, _)| *severity == Severity::Error).map(|(_, finding)| finding.message).collect()
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;

    #[tokio::test]
    async fn a_dead_control_plane_that_may_be_dead_is_not_told() {
        let node = serde_json::json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "cp3", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
        });
        let mut world = World::ready();
        world.others_serve = true;
        world.objects.insert("Node cp3".into(), node);
        let host = FakeHost::new(world);
        let told = async |own: &str, ignored: &[&str]| {
            let mut upgrading = Upgrading::default();
            upgrading.request.config.node_registration.name = own.into();
            upgrading.request.config.ignore_preflight_errors =
                ignored.iter().map(|&name| name.into()).collect();
            look(&host, &upgrading).await.contains(&"node cp3 is not Ready".to_owned())
        };
        assert!(told("cp1", &[]).await);
        assert!(!told("cp1", &["ControlPlaneNodesReady"]).await);
        assert!(told("cp3", &["ControlPlaneNodesReady"]).await, "it was upgraded just now");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_well_gets_a_moment_and_is_told_then() {
        // Nothing runs here that could be well.
        let host = FakeHost::new(World::ready());
        let begun = Instant::now();
        let ill = ill(&host, &Upgrading::default()).await;
        assert!(ill[0].starts_with("kubelet: "), "{ill:?}");
        assert_eq!(begun.elapsed(), PATIENCE);
    }
}
