//! `health`: whether everything that this machine runs of a cluster works, and the cluster with it. It only reads.
//!
//! Everything is asked at once, each question with a deadline of its own: a component that hangs delays nothing else.

mod api;
pub(crate) mod certificates;
mod components;
pub(crate) mod etcd;
pub(crate) mod nodes;
pub(crate) mod versions;

use futures::future::{BoxFuture, FutureExt, join_all};
use rkadm_core::host::Probe;
use serde::Serialize;

use crate::static_pods;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It works.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `etcd`, `kube-apiserver`, `kubelet`, `nodes`, …
    pub component: String,
    /// How well it is.
    pub state: State,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn ok(component: impl Into<String>, message: impl Into<String>) -> Self {
        Self { component: component.into(), state: State::Ok, message: message.into(), hint: None }
    }

    fn warning(component: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (state, hint) = (State::Warning, Some(hint.into()));
        Self { component: component.into(), state, message: message.into(), hint }
    }

    fn failed(component: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (state, hint) = (State::Failed, Some(hint.into()));
        Self { component: component.into(), state, message: message.into(), hint }
    }
}

/// What was found, in the order of the layers: what stands below comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether this machine has static pods of a control plane.
    pub control_plane: bool,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

impl Report {
    /// The worst that was found.
    pub fn worst(&self) -> State {
        self.checks.iter().map(|check| check.state).max().unwrap_or(State::Ok)
    }

    /// Those that do not work.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.state == State::Failed)
    }
}

/// Looks at everything.
pub async fn look(host: &dyn Probe) -> Report {
    looked(host, true).await
}

/// Looks at everything but nodes and versions, of which there may be thousands: for who asks for them anyway.
pub async fn look_without_nodes(host: &dyn Probe) -> Report {
    looked(host, false).await
}

async fn looked(host: &dyn Probe, nodes: bool) -> Report {
    let control_plane = static_pods::any(host).await.unwrap_or(false);
    let mut layers: Vec<BoxFuture<'_, Vec<Check>>> = vec![components::kubelet(host).boxed()];
    if control_plane {
        layers.push(etcd::look(host).boxed());
        layers.push(components::static_pods(host).boxed());
    }
    layers.push(components::kube_proxy(host).boxed());
    layers.push(certificates::look(host, control_plane).boxed());
    layers.push(api::look(host, control_plane, nodes).boxed());
    let checks = join_all(layers).await.into_iter().flatten().collect();
    Report { control_plane, checks }
}

#[cfg(test)]
mod tests;
