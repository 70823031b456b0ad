//! What a rollback ends with: the control plane as it was before, and healthy.

use std::time::Duration;

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::Actuator,
    manifest::{Component, health_target},
};
use serde_json::{Value, json};

use crate::static_pods;

/// Name of the action in journals: never renamed.
pub const GUARD_ACTION: &str = "old-control-plane";
const PAUSE_MS: u64 = 100;

/// Does nothing; its undo, the last one, waits for the control plane of before.
pub struct Guard {
    /// The runtime's socket URL.
    pub socket: String,
    /// How long it may take.
    pub within: Duration,
}

#[async_trait]
impl Action for Guard {
    fn name(&self) -> &'static str {
        GUARD_ACTION
    }

    fn describe(&self) -> String {
        "note that a rollback waits until the control plane of before is healthy".into()
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(json!({ "socket": self.socket, "seconds": self.within.as_secs() }))
    }

    async fn act(&self, _cx: &ActCx<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Waits.
pub struct UndoGuard;

#[async_trait]
impl UndoAction for UndoGuard {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let seconds = data["seconds"].as_u64().unwrap_or(240);
        let mut missing = vec![];
        for _ in 0..seconds * 1000 / PAUSE_MS {
            missing = not_healthy(host).await?;
            if missing.is_empty() {
                return Ok(());
            }
            host.pause(Duration::from_millis(PAUSE_MS)).await;
        }
        Err(StepError::Content(format!("not healthy after {seconds} s: {}", missing.join("; "))))
    }

    fn by_hand(&self, _data: &Value) -> Vec<String> {
        vec!["rkadm health".into()]
    }
}

async fn not_healthy(host: &dyn Actuator) -> Result<Vec<String>, StepError> {
    let mut missing = vec![];
    for component in Component::ALL {
        let pod = static_pods::read(host.probe(), component).await;
        let pod = pod.map_err(|error| StepError::Content(error.to_string()))?;
        let Some(target) = pod.as_ref().and_then(health_target) else { continue };
        match host.health(&target).await {
            Ok(health) if health.status == 200 => {}
            Ok(health) => missing.push(format!("{component} answers {}", health.status)),
            Err(why) => missing.push(format!("{component}: {why}")),
        }
    }
    Ok(missing)
}
