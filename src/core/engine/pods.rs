//! Stops every pod of the container runtime.

use std::time::Duration;

use futures::stream::{self, StreamExt};

use super::{
    Event,
    act::{ActCx, StepError},
};
use crate::{
    host::{HostError, Sandbox},
    manifest::Component,
};

/// How often the removal of pods is tried, and how long between two tries: a container that the kubelet was just
/// starting cannot be removed until it has started.
const TRIES: u32 = 40;
/// The same where a pod that cannot be removed is left.
const LENIENT_TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(500);
/// How many pods are stopped at the same time: each may take its network plugin a while.
const AT_ONCE: usize = 8;

/// The kubelet is stopped, so none comes anew. The control plane ends last: network plugins ask the API server when they
/// release what a pod has.
pub(super) async fn stop_all(cx: &ActCx<'_>, socket: &str, lenient: bool) -> Result<(), StepError> {
    stop(cx, socket, lenient, |sandbox| !is_control_plane(sandbox)).await?;
    stop(cx, socket, lenient, is_control_plane).await
}

fn is_control_plane(sandbox: &Sandbox) -> bool {
    sandbox.namespace == "kube-system"
        && Component::ALL.iter().any(|component| {
            sandbox.pod.strip_prefix(component.name()).is_some_and(|rest| rest.starts_with('-'))
        })
}

async fn stop(
    cx: &ActCx<'_>,
    socket: &str,
    lenient: bool,
    meant: fn(&Sandbox) -> bool,
) -> Result<(), StepError> {
    let most = if lenient { LENIENT_TRIES } else { TRIES };
    for tries in 1..=most {
        let mut sandboxes = cx.host.sandboxes(socket).await?;
        sandboxes.retain(meant);
        if sandboxes.is_empty() {
            break;
        }
        let failed = remove(cx, socket, &sandboxes).await;
        match failed.first() {
            Some((_, error)) if error.is_injected() || tries == most => {
                let injected = error.is_injected();
                give_up(cx, failed, lenient && !injected)?;
            }
            Some((sandbox, error)) => {
                let missing = format!("pod {} to be removed: {error}", sandbox.pod);
                cx.reporter.report(Event::Waiting { phase: cx.phase.to_owned(), missing });
                cx.host.pause(PAUSE).await;
            }
            None => {}
        }
        if let Some(signal) = cx.cancel.signal() {
            return Err(StepError::Cancelled(signal));
        }
    }
    Ok(())
}

async fn remove<'a>(cx: &ActCx<'_>, socket: &str, sandboxes: &'a [Sandbox]) -> Vec<(&'a Sandbox, HostError)> {
    let removals = sandboxes
        .iter()
        .map(|sandbox| async move { (sandbox, cx.host.remove_sandbox(socket, &sandbox.id).await) });
    let results: Vec<_> = stream::iter(removals).buffered(AT_ONCE).collect().await;
    results.into_iter().filter_map(|(sandbox, result)| Some((sandbox, result.err()?))).collect()
}

fn give_up(cx: &ActCx<'_>, failed: Vec<(&Sandbox, HostError)>, lenient: bool) -> Result<(), StepError> {
    for (sandbox, error) in failed {
        if !lenient {
            return Err(error.into());
        }
        let message = format!("pod {} ({}) was not removed: {error}", sandbox.pod, sandbox.namespace);
        cx.reporter.report(Event::Warning { message });
    }
    Ok(())
}
