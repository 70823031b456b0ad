//! What the cluster is told of a join that has not come to its end: a condition of the Node object, for those who look from
//! another machine.
//!
//! It is a courtesy. What cannot be told is a warning, and neither fails the join nor its rollback.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    engine::{
        Action, Event, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::{Actuator, ApiAccess, HostError, Probe},
    kube::{KubeError, ObjectRef, objects},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::joining::Joining;
use crate::init::{Cluster, KUBELET_CONF};

/// The kubelet's own identity may write the status of its own Node.
pub fn by_kubelet() -> ApiAccess {
    ApiAccess { kubeconfig: Cluster::kubeconfig(KUBELET_CONF), server: None }
}

/// Names of the actions in journals: never renamed.
pub const TELL_ACTION: &str = "tell-unfinished-join";
pub const TELL_END_ACTION: &str = "tell-end-of-join";

/// A courtesy is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says on the Node of a control plane that its join is not finished.
pub struct TellUnfinished {
    joining: Arc<Joining>,
}

impl TellUnfinished {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for TellUnfinished {
    fn meta(&self) -> PhaseMeta {
        let meta = PhaseMeta::new("tell-unfinished", "Tell the cluster that the join is not finished");
        PhaseMeta { hidden: true, ..meta }
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.joining.is_control_plane() {
            let why = "a worker can tell only when it is done";
            return Ok(Verdict::NotApplicable(why.into()));
        }
        Ok(Verdict::Apply(vec![Step::Action(Arc::new(Tell::of_join(&self.joining, cx.host).await?))]))
    }
}

/// Takes that word back at the end.
pub struct TellFinished {
    joining: Arc<Joining>,
}

impl TellFinished {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for TellFinished {
    fn meta(&self) -> PhaseMeta {
        let meta = PhaseMeta::new("tell-finished", "Tell the cluster that the join is finished");
        PhaseMeta { hidden: true, ..meta }
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let tell = Tell::of_join(&self.joining, cx.host).await?;
        let apply = || Verdict::Apply(vec![Step::Action(Arc::new(TellEnd(tell.clone())))]);
        if self.joining.is_control_plane() {
            return Ok(apply());
        }
        // A worker of whom nothing was told, which is nearly every one, need not take it back.
        let nothing = || Verdict::AlreadyDone("nothing was told".into());
        let Ok(target) = tell.node() else { return Ok(nothing()) };
        match within(cx.host.object(&tell.access, &target)).await {
            Some(Ok(Some(node))) if objects::unfinished_join_of(&node).is_some() => Ok(apply()),
            _ => Ok(nothing()),
        }
    }
}

/// Says that the join is not finished.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tell {
    /// How it is told: on a control plane by its own API server, which has just answered.
    access: ApiAccess,
    /// How a rollback tells, whatever became of that API server.
    elsewhere: ApiAccess,
    /// Of the Node.
    name: String,
    /// What the machine is called by itself.
    host: String,
}

impl Tell {
    async fn of_join(joining: &Joining, host: &dyn Probe) -> Result<Self, PhaseError> {
        let (access, elsewhere) = if joining.is_control_plane() {
            (joining.cluster.admin(host).await?, joining.admin_elsewhere())
        } else {
            (by_kubelet(), by_kubelet())
        };
        let name = joining.cluster.config.node_name().to_owned();
        Ok(Self { access, elsewhere, name, host: host.hostname().await })
    }

    fn node(&self) -> Result<ObjectRef, StepError> {
        Ok(ObjectRef::new("Node", None, &self.name).map_err(HostError::from)?)
    }

    fn data(&self) -> Result<Value, StepError> {
        serde_json::to_value(self).map_err(|error| StepError::Content(error.to_string()))
    }

    fn of(data: &Value) -> Result<Self, StepError> {
        serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn say(&self, cx: &ActCx<'_>, why: Option<(&str, &str)>) -> Result<(), StepError> {
        if let Some(problem) = tell(cx.host, &self.access, &self.node()?, why).await? {
            let what = if why.is_some() { "is not finished" } else { "is finished" };
            let message = format!("Node {} does not say that its join {what}: {problem}", self.name);
            cx.reporter.report(Event::Warning { message });
        }
        Ok(())
    }
}

#[async_trait]
impl Action for Tell {
    fn name(&self) -> &'static str {
        TELL_ACTION
    }

    fn describe(&self) -> String {
        format!("say on Node {} that its join is not finished ({})", self.name, objects::UNFINISHED_JOIN)
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        self.data()
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let operation = cx.store.operation().unwrap_or_default();
        let message = format!(
            "rkadm join on {} (operation {operation}) is at work or was cut off: where `rkadm op list` there does not show it \
             as finished, `rkadm op resume` there goes on with it and `rkadm op rollback` takes it back",
            self.host
        );
        self.say(cx, Some(("Joining", &message))).await
    }
}

/// Says no longer that it is not finished.
struct TellEnd(Tell);

#[async_trait]
impl Action for TellEnd {
    fn name(&self) -> &'static str {
        TELL_END_ACTION
    }

    fn describe(&self) -> String {
        format!("say no longer on Node {} that its join is not finished", self.0.name)
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        self.0.data()
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        self.0.say(cx, None).await
    }
}

/// The Node of a control plane goes with the rollback, unless it was there before; until then, or then, it says why.
pub struct UndoTell;

#[async_trait]
impl UndoAction for UndoTell {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let Tell { elsewhere, name, .. } = Tell::of(data)?;
        tell_of_rollback(host, &elsewhere, &name).await
    }

    fn by_hand(&self, _data: &Value) -> Vec<String> {
        vec![]
    }
}

/// Says on a Node that its machine has left the cluster again.
///
/// # Errors
/// Only where a test asked for it.
pub async fn tell_of_rollback(host: &dyn Actuator, access: &ApiAccess, name: &str) -> Result<(), StepError> {
    let target = ObjectRef::new("Node", None, name).map_err(HostError::from)?;
    let message = format!(
        "the join of this machine was rolled back, or is being: it is no part of the cluster. When `rkadm op list` there says \
         rolled-back, delete what is left of it: kubectl delete node {name}"
    );
    tell(host, access, &target, Some(("RolledBack", &message))).await.map(drop)
}

/// Why it could not be told, if so. A Node that is not there needs no word.
async fn tell(
    host: &dyn Actuator,
    access: &ApiAccess,
    node: &ObjectRef,
    why: Option<(&str, &str)>,
) -> Result<Option<String>, StepError> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = objects::unfinished_join(why, &now);
    match within(host.patch_status(access, node, &patch)).await {
        Some(Ok(()) | Err(HostError::Api(KubeError::NotFound { .. }))) => Ok(None),
        Some(Err(error)) if error.is_injected() => Err(error.into()),
        Some(Err(error)) => Ok(Some(rkadm_core::text::chain(&error))),
        None => Ok(Some(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// The answer, if it comes in time.
pub async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, work).await.ok()
}
