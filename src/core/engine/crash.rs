//! Finding out that the kubelet, or what it runs, cannot stay up, so that nobody waits for it in vain.

use std::time::Duration;

use crate::{
    host::{ContainerState, Probe},
    manifest::Component,
};

/// The kubelet's unit restarts it after 10 s; a second restart is a crash loop, not an accident.
const CRASH_LOOP_RESTARTS: u32 = 2;
/// A component may end once or twice because another one is not there yet.
const CONTAINER_RESTARTS: u32 = 3;

/// What crashes, and how often it was started again since the wait began.
pub(super) struct Crashing {
    /// The kubelet, or the name of a container.
    pub(super) what: String,
    /// How often.
    pub(super) restarts: u32,
}

/// Returns when the kubelet, or a container that it runs for the control plane, was started again too often.
pub(super) async fn crash_loop(host: &dyn Probe, socket: &str) -> Crashing {
    let kubelet = async || host.service("kubelet").await.map_or(0, |state| state.restarts);
    let attempts = async || host.containers(socket, "kube-system").await.unwrap_or_default();
    let (kubelet_before, before) = (kubelet().await, attempts().await);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let restarts = kubelet().await.saturating_sub(kubelet_before);
        if restarts >= CRASH_LOOP_RESTARTS {
            return Crashing { what: "the kubelet".into(), restarts };
        }
        // Others of the namespace may end for as long as there is no API server.
        let is_ours = |name: &str| Component::ALL.iter().any(|component| component.name() == name);
        for container in attempts().await.into_iter().filter(|container| is_ours(&container.name)) {
            let restarts = restarts_since(&before, &container);
            // One that is being started has no last words yet.
            if restarts >= CONTAINER_RESTARTS && !container.running && container.exit_code != 0 {
                return Crashing { what: container.name, restarts };
            }
        }
    }
}

/// A pod of another manifest counts anew: what the one of before went through in its life says nothing of it.
fn restarts_since(before: &[ContainerState], now: &ContainerState) -> u32 {
    let is_same = |known: &&ContainerState| known.name == now.name && known.pod_uid == now.pod_uid;
    now.attempt.saturating_sub(before.iter().find(is_same).map_or(0, |known| known.attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(pod_uid: &str, attempt: u32) -> ContainerState {
        ContainerState {
            id: format!("{pod_uid}-{attempt}"),
            name: "etcd".into(),
            pod_uid: pod_uid.into(),
            attempt,
            running: false,
            exit_code: 1,
            reason: "Error".into(),
            log_path: String::new(),
        }
    }

    #[test]
    fn restarts_are_those_of_this_pod_and_of_this_wait() {
        let before = [container("old", 7)];
        assert_eq!(restarts_since(&before, &container("old", 9)), 2);
        assert_eq!(restarts_since(&before, &container("new", 3)), 3);
        assert_eq!(restarts_since(&[], &container("new", 0)), 0);
    }
}
