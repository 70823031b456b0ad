//! The gate after an upgrade, the same as before it: whoever goes on, to another machine or to the next minor, goes on from a cluster
//! that is well. It is no phase: what is broken elsewhere is no reason to take back what works here.

use std::time::Duration;

use rkadm_core::host::Probe;
use tokio::time::{Instant, sleep};

use super::{PAUSE, Upgrading, findings, state};
use crate::preflight::Severity;

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
    let seen = match upgrading.cluster.admin(host).await {
        Ok(access) => state::look(host, &access).await.ok(),
        Err(_) => None,
    };
    let found = findings::health(host, seen.as_ref()).await.into_iter();
    found.filter(|(severity, _)| *severity == Severity::Error).map(|(_, finding)| finding.message).collect()
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;

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
