//! A static pod starts anew, and is healthy again before the next one's turn.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        wait::Condition,
    },
    host::Actuator,
    manifest::Component,
};
use serde_json::Value;

use super::{Renewal, TARGETS};
use crate::static_pods;

/// Name of the action in journals: never renamed.
pub const RESTART_ACTION: &str = "restart-static-pod";
/// What the kubelet gives a container of a static pod to end in.
const GRACE: Duration = Duration::from_secs(30);
/// An API server that ends takes no new requests and finishes those that it has; then it waits, up to a minute, for idle
/// connections to close. Whoever cannot renew a leader's lease for ten seconds meanwhile restarts too.
const API_SERVER_GRACE: Duration = Duration::from_secs(4);
/// How long a component may take to become healthy again; kubeadm's default for a new one.
const HEALTHY_WITHIN: Duration = Duration::from_mins(4);

pub struct Restart {
    component: Component,
    renewal: Arc<Renewal>,
}

impl Restart {
    pub fn new(renewal: &Arc<Renewal>, component: Component) -> Self {
        Self { component, renewal: Arc::clone(renewal) }
    }
}

#[async_trait]
impl Phase for Restart {
    fn meta(&self) -> PhaseMeta {
        let id = match self.component {
            Component::Etcd => "restart/etcd",
            Component::ApiServer => "restart/kube-apiserver",
            Component::ControllerManager => "restart/kube-controller-manager",
            Component::Scheduler => "restart/kube-scheduler",
        };
        PhaseMeta::new(id, format!("Restart {} and wait until it is healthy", self.component)).once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let mut its = TARGETS.iter().filter(|target| target.used_by == Some(self.component));
        if !its.any(|target| cx.store.output(&target.output()).is_some()) {
            return Ok(Verdict::NotApplicable("none of its certificates was renewed".into()));
        }
        let Some(pod) = static_pods::read(cx.host, self.component).await? else {
            return Ok(Verdict::NotApplicable("it is no static pod of this machine".into()));
        };
        let mut steps = vec![Step::Action(Arc::new(RestartPod {
            component: self.component,
            socket: self.renewal.cri_socket.clone(),
        }))];
        if let Some(target) = rkadm_core::manifest::health_target(&pod) {
            let healthy = Condition::Healthy { what: self.component.name().into(), target };
            steps.push(Step::Wait {
                condition: Condition::ByKubelet {
                    socket: self.renewal.cri_socket.clone(),
                    condition: Box::new(healthy),
                },
                timeout: HEALTHY_WITHIN,
            });
        }
        Ok(Verdict::Apply(steps))
    }
}

/// Ends the container; the kubelet starts it again, with the files as they are then.
struct RestartPod {
    component: Component,
    socket: String,
}

#[async_trait]
impl Action for RestartPod {
    fn name(&self) -> &'static str {
        RESTART_ACTION
    }

    fn describe(&self) -> String {
        format!("restart static pod {}", self.component)
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let containers = cx.host.containers(&self.socket, "kube-system").await?;
        for container in containers {
            if container.running && container.name == self.component.name() {
                let grace = if self.component == Component::ApiServer { API_SERVER_GRACE } else { GRACE };
                cx.host.stop_container(&self.socket, &container.id, grace).await?;
            }
        }
        Ok(())
    }
}
