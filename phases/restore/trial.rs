//! `trial`: the new data is made beside the old, and verified.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    backup::trial::Trial,
    engine::{
        Action, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::Actuator,
};
use serde_json::{Value, json};

use super::Restore;

/// Name of the action in journals: never renamed.
pub const TRIAL_ACTION: &str = "restore-etcd-data";
/// The output that says that it is made.
const MADE: &str = "restored data";

pub struct MakeTrial(pub Arc<Restore>);

#[async_trait]
impl Phase for MakeTrial {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("trial", "Restore the backup beside the data in use and verify what was made")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.store.output(MADE).is_some() {
            return Ok(Verdict::AlreadyDone("it was made before the interruption".into()));
        }
        let trial = self.0.trial();
        let value = trial.target.display().to_string().into();
        Ok(Verdict::Apply(vec![
            Step::Action(Arc::new(Make { trial })),
            Step::Record { name: MADE.into(), value },
        ]))
    }
}

struct Make {
    trial: Trial,
}

#[async_trait]
impl Action for Make {
    fn name(&self) -> &'static str {
        TRIAL_ACTION
    }

    fn describe(&self) -> String {
        let Trial { file, target, bump, .. } = &self.trial;
        let revision = if *bump > 0 {
            format!(
                ", with the revision raised from {} to {}",
                self.trial.revision,
                self.trial.new_revision()
            )
        } else {
            String::new()
        };
        let verb = if self.trial.survivor { "make a cluster of one member of" } else { "restore" };
        let others = match self.trial.others.len() {
            0 => String::new(),
            others => format!(" as one of {} members", others + 1),
        };
        format!("{verb} {} in {}{others}{revision}, and verify it", file.display(), target.display())
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(json!({ "made": [self.trial.target, self.trial.extracted()] }))
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        Ok(cx.host.restore_etcd(&self.trial).await?)
    }
}

/// Removes what was made; by then nothing uses it.
pub struct UndoTrial;

fn made(data: &Value) -> Vec<&str> {
    data["made"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[async_trait]
impl UndoAction for UndoTrial {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        for path in made(data) {
            host.remove_tree(path.as_ref()).await?;
        }
        Ok(())
    }

    fn by_hand(&self, data: &Value) -> Vec<String> {
        made(data).into_iter().map(|path| format!("rm -rf --one-file-system {path}")).collect()
    }
}
