//! The containers of the control plane are ended, through CRI and without waiting for the kubelet, which does not run then.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action,
        act::{ActCx, StepError},
    },
    host::Actuator,
    manifest::Component,
};
use serde_json::Value;

/// Name of the action in journals: never renamed.
pub const STOP_ACTION: &str = "stop-control-plane-pods";
/// etcd writes what it has and ends.
const ETCD_GRACE: Duration = Duration::from_secs(10);
/// The others would finish requests for data that goes away, and wait for idle connections.
const GRACE: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(50);

/// Ends them.
pub struct StopPods {
    pub cri_socket: String,
}

#[async_trait]
impl Action for StopPods {
    fn name(&self) -> &'static str {
        STOP_ACTION
    }

    fn describe(&self) -> String {
        "end the containers of etcd, the API server, the controller manager and the scheduler".into()
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        stop_pods(cx.host, &self.cri_socket).await
    }
}

/// Returns when none of them runs any more. What the controller manager and the scheduler know is of the old data, so they
/// begin anew, too.
pub async fn stop_pods(host: &dyn Actuator, cri_socket: &str) -> Result<(), StepError> {
    stop_pods_of(host, cri_socket, &Component::ALL.into()).await
}

/// The same for some of them.
pub async fn stop_pods_of(
    host: &dyn Actuator,
    cri_socket: &str,
    components: &BTreeSet<Component>,
) -> Result<(), StepError> {
    let began = Instant::now();
    loop {
        let mut running = host.containers(cri_socket, "kube-system").await?;
        running.retain(|container| {
            container.running && components.iter().any(|component| component.name() == container.name)
        });
        if running.is_empty() {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            let names: Vec<_> = running.iter().map(|container| container.name.as_str()).collect();
            let text = format!("after {} s containers still run: {}", LIMIT.as_secs(), names.join(", "));
            return Err(StepError::Content(text));
        }
        let stops = running.iter().map(|container| {
            let grace = if container.name == Component::Etcd.name() { ETCD_GRACE } else { GRACE };
            host.stop_container(cri_socket, &container.id, grace)
        });
        futures::future::try_join_all(stops).await?;
        host.pause(PAUSE).await;
    }
}
