//! What a rollback ends with: the control plane as it was before, healthy, and seen by the cluster.

use std::time::Duration;

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::{Actuator, ApiAccess},
    manifest::{Component, health_target},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::post_upgrade::not_seen;
use crate::static_pods;

/// Name of the action in journals: never renamed.
pub const GUARD_ACTION: &str = "old-control-plane";
const PAUSE_MS: u64 = 100;
/// The kubelet tells the API server of its pods every few seconds. That it has is worth a wait, and no failure.
const SEEN_TRIES: u64 = 400;

/// Does nothing; its undo, the last one, waits for the control plane of before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// How many seconds it may take.
    pub seconds: u64,
    /// An administrator at this node's API server.
    pub access: ApiAccess,
    /// Name of the node.
    pub node: String,
    /// Components that were healthy before: what was not need not be so again.
    #[serde(default)]
    pub healthy: Vec<String>,
}

#[async_trait]
impl Action for Guard {
    fn name(&self) -> &'static str {
        GUARD_ACTION
    }

    fn describe(&self) -> String {
        "see that a rollback waits until the control plane of before is healthy".into()
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        let ill = not_healthy(host, &Component::ALL).await?;
        let healthy = Component::ALL.iter().filter(|component| !ill.iter().any(|(it, _)| it == *component));
        let guard =
            Self { healthy: healthy.map(|component| component.name().to_owned()).collect(), ..self.clone() };
        serde_json::to_value(guard).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn act(&self, _cx: &ActCx<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Waits.
pub struct UndoGuard;

#[async_trait]
impl UndoAction for UndoGuard {
    fn serves_again(&self) -> bool {
        true
    }

    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let guard: Guard =
            serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))?;
        let was_healthy = |component: &Component| guard.healthy.iter().any(|name| name == component.name());
        let wanted: Vec<_> = Component::ALL.into_iter().filter(was_healthy).collect();
        let mut missing = vec![];
        for _ in 0..guard.seconds * 1000 / PAUSE_MS {
            missing = not_healthy(host, &wanted).await?;
            if missing.is_empty() {
                break;
            }
            host.pause(Duration::from_millis(PAUSE_MS)).await;
        }
        if !missing.is_empty() {
            let words: Vec<_> =
                missing.into_iter().map(|(component, why)| format!("{component}: {why}")).collect();
            let text = format!("not healthy after {} s: {}", guard.seconds, words.join("; "));
            return Err(StepError::Content(text));
        }
        for _ in 0..SEEN_TRIES {
            let unseen = not_seen(host.probe(), &guard.access, &guard.node).await;
            if unseen.is_ok_and(|unseen| unseen.is_empty()) {
                break;
            }
            host.pause(Duration::from_millis(PAUSE_MS)).await;
        }
        Ok(())
    }

    fn by_hand(&self, _data: &Value) -> Vec<String> {
        vec![
            "rkadm health".into(),
            "where etcd's log says that its data is too new for it: rkadm restore etcd latest".into(),
        ]
    }
}

/// Those of the components that do not answer as they should, and what they do.
async fn not_healthy(
    host: &dyn Actuator,
    components: &[Component],
) -> Result<Vec<(Component, String)>, StepError> {
    let mut missing = vec![];
    for component in components {
        let pod = static_pods::read(host.probe(), *component).await;
        let pod = pod.map_err(|error| StepError::Content(error.to_string()))?;
        let Some(target) = pod.as_ref().and_then(health_target) else { continue };
        match host.health(&target).await {
            Ok(health) if health.status == 200 => {}
            Ok(health) => missing.push((*component, format!("answers {}", health.status))),
            Err(why) => missing.push((*component, why)),
        }
    }
    Ok(missing)
}
