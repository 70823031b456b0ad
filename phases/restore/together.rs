//! `together/…`: where a control plane waits for the others that are restored at the same time.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Event, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
    },
    fleet::Gate,
    host::Actuator,
};
use serde_json::Value;

/// Name of the action in journals: never renamed.
pub const TOGETHER_ACTION: &str = "wait-for-other-machines";

/// How far all have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The backup is restored beside the data in use, and verified. Nothing was stopped.
    Restored,
    /// etcd is stopped, and the restored data is in its place. From here on no old member must be left.
    Replaced,
    /// The control plane is healthy, so etcd has a majority.
    Started,
}

impl Point {
    /// In order.
    pub const ALL: [Self; 3] = [Self::Restored, Self::Replaced, Self::Started];

    /// Of the phase.
    pub fn id(self) -> &'static str {
        match self {
            Self::Restored => "together/restored",
            Self::Replaced => "together/replaced",
            Self::Started => "together/started",
        }
    }
}

pub struct Together {
    pub point: Point,
    pub others: usize,
    pub gate: Arc<dyn Gate>,
}

#[async_trait]
impl Phase for Together {
    fn meta(&self) -> PhaseMeta {
        let title = match self.point {
            Point::Restored => "Wait until every machine has made and verified its data",
            Point::Replaced => "Wait until every machine has its new data in place",
            Point::Started => "Wait until every machine's control plane is healthy",
        };
        PhaseMeta::new(self.point.id(), title)
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let id = self.point.id();
        if cx.store.output(id).is_some() {
            return Ok(Verdict::AlreadyDone("all had got there before the interruption".into()));
        }
        let gate = Arc::clone(&self.gate);
        let mut steps = vec![Step::Action(Arc::new(Pass { id, others: self.others, gate }))];
        if self.point == Point::Started {
            let why =
                "all control planes serve the restored data together; one alone cannot go back to the old"
                    .into();
            steps.push(Step::CommitPoint { why });
        }
        steps.push(Step::Record { name: id.into(), value: true.into() });
        Ok(Verdict::Apply(steps))
    }
}

struct Pass {
    id: &'static str,
    others: usize,
    gate: Arc<dyn Gate>,
}

#[async_trait]
impl Action for Pass {
    fn name(&self) -> &'static str {
        TOGETHER_ACTION
    }

    fn describe(&self) -> String {
        let plural = if self.others == 1 { "" } else { "s" };
        format!("wait for {} other machine{plural} to get here", self.others)
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let missing = "the other machines: Enter or `go` goes on, `abort` goes back".to_owned();
        cx.reporter.report(Event::Waiting { phase: self.id.into(), missing });
        cx.unless_cancelled(async { self.gate.pass(self.id).await.map_err(StepError::Content) }).await
    }
}
