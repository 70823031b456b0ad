//! `kubelet/drain`: the node's pods move away, as far as their budgets let them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Event, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
    },
    host::{ApiAccess, HostError},
    kube::KubeError,
};
use serde_json::Value;

use super::{NOT_ASKED, install::NEEDED};
use crate::upgrade::Upgrading;

/// Name of the action in journals: never renamed.
pub const DRAIN_ACTION: &str = "drain-node";
const PAUSE: Duration = Duration::from_millis(500);

pub struct Drain(Arc<Upgrading>);

impl Drain {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self(Arc::clone(upgrading))
    }
}

#[async_trait]
impl Phase for Drain {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet/drain", "Move the pods of this node away").help(
            "Evict every pod but those of DaemonSets and static pods. Budgets are kept: who holds the drain up is told.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let Some(kubelet) = &self.0.request.kubelet else {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        };
        if cx.store.output(NEEDED).is_none() {
            return Ok(Verdict::NotApplicable("the kubelet is of this version".into()));
        }
        let access = self.0.node_access(cx).await?;
        let node = self.0.cluster.config.node_name().to_owned();
        let pods = cx.host.pods_on(&access, &node).await?;
        let going: Vec<_> = pods.iter().filter(|pod| must_go(pod)).collect();
        let mut lost = vec![];
        for pod in &going {
            if !kubelet.unmanaged && !is_managed(pod) {
                lost.push(format!(
                    "{} is managed by nobody: it would not come back (--drain-unmanaged)",
                    name(pod)
                ));
            } else if !kubelet.empty_dir && has_empty_dir(pod) {
                lost.push(format!(
                    "{} has data in an emptyDir, which would be lost (--drain-empty-dir)",
                    name(pod)
                ));
            }
        }
        if !lost.is_empty() {
            return Err(PhaseError::Unusable {
                message: format!("this node cannot be drained without a loss: {}", lost.join("; ")),
                hint: "move these pods yourself, or give the flags that are named".into(),
            });
        }
        if going.is_empty() {
            return Ok(Verdict::AlreadyDone("no pod has to go".into()));
        }
        let tries = kubelet.drain_seconds * 1000 / u64::try_from(PAUSE.as_millis()).unwrap_or(500);
        Ok(Verdict::Apply(vec![Step::Action(Arc::new(Evict { access, node, tries }))]))
    }
}

struct Evict {
    access: ApiAccess,
    node: String,
    tries: u64,
}

#[async_trait]
impl Action for Evict {
    fn name(&self) -> &'static str {
        DRAIN_ACTION
    }

    fn describe(&self) -> String {
        format!("evict the pods of node {}", self.node)
    }

    async fn prepare(&self, _host: &dyn rkadm_core::host::Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let mut told = String::new();
        let mut held_up = vec![];
        // Each try asks for every pod that is held up, which takes its time, too.
        let began = Instant::now();
        let patience = PAUSE * u32::try_from(self.tries).unwrap_or(u32::MAX);
        for number in 0..self.tries.max(1) {
            if number > 0 && began.elapsed() >= patience {
                break;
            }
            held_up.clear();
            let pods = cx.host.pods_on(&self.access, &self.node).await?;
            for pod in pods.iter().filter(|pod| must_go(pod)) {
                held_up.push(self.evict(cx, pod).await?);
            }
            if held_up.is_empty() {
                return Ok(());
            }
            let missing = held_up.join("; ");
            if missing != told {
                cx.reporter.report(Event::Waiting { phase: cx.phase.to_owned(), missing: missing.clone() });
                told = missing;
            }
            if let Some(signal) = cx.cancel.signal() {
                return Err(StepError::Cancelled(signal));
            }
            cx.host.pause(PAUSE).await;
        }
        let text = format!("node {} is not empty: {}", self.node, held_up.join("; "));
        Err(StepError::Content(text))
    }
}

impl Evict {
    /// Asks for it, where that has not been done, and gives what it waits for.
    async fn evict(&self, cx: &ActCx<'_>, pod: &Value) -> Result<String, StepError> {
        let label = name(pod);
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            return Ok(format!("pod {label} to end"));
        }
        let part = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        match cx.host.evict(&self.access, part("namespace"), part("name")).await {
            Ok(()) => Ok(format!("pod {label} to end")),
            Err(HostError::Api(KubeError::Throttled { message, .. })) => {
                Ok(format!("pod {label} to be allowed to go: {message}"))
            }
            // Its namespace is going, and the pod with it, but the list is of before. (Other 403s do not mend themselves.)
            Err(HostError::Api(KubeError::Forbidden { message, .. }))
                if message.contains("being terminated") =>
            {
                Ok(format!("pod {label} to go with its namespace: {message}"))
            }
            Err(HostError::Api(error)) if error.is_transient() => Ok(format!("pod {label}: {error}")),
            Err(error) => Err(error.into()),
        }
    }
}

fn name(pod: &Value) -> String {
    let part = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", part("namespace"), part("name"))
}

/// Pods of DaemonSets would come back at once, static pods are the machine's, and what has ended does not run.
fn must_go(pod: &Value) -> bool {
    let is_mirror = pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some();
    let has_ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    !is_mirror && !has_ended && owner(pod) != Some("DaemonSet")
}

fn owner(pod: &Value) -> Option<&str> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true).and_then(|owner| owner["kind"].as_str())
}

fn is_managed(pod: &Value) -> bool {
    owner(pod).is_some()
}

fn has_empty_dir(pod: &Value) -> bool {
    let volumes = pod["spec"]["volumes"].as_array();
    volumes.into_iter().flatten().any(|volume| {
        // Memory holds nothing that was meant to stay.
        volume.get("emptyDir").is_some_and(|dir| dir["medium"] != "Memory")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_pods_that_move_are_evicted() {
        let pod = |owner: &str| json!({"metadata": {"namespace": "a", "name": "b", "ownerReferences": [{"kind": owner, "controller": true}]}});
        assert!(must_go(&pod("ReplicaSet")) && is_managed(&pod("ReplicaSet")));
        assert!(!must_go(&pod("DaemonSet")));
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        assert!(!must_go(&mirror));
        assert!(!must_go(&json!({"status": {"phase": "Succeeded"}})));
        let alone = json!({"metadata": {"name": "x"}});
        assert!(must_go(&alone) && !is_managed(&alone));
        assert!(has_empty_dir(&json!({"spec": {"volumes": [{"emptyDir": {}}]}})));
        assert!(!has_empty_dir(
            &json!({"spec": {"volumes": [{"emptyDir": {"medium": "Memory"}}, {"configMap": {}}]}})
        ));
    }
}
