//! A static pod starts anew, and is healthy again before the next one's turn.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::{
        Action, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        wait::Condition,
    },
    host::{Actuator, ContainerState, HealthTarget, ServiceVerb},
    manifest::{Component, health_target},
};
use serde_json::Value;

use super::{Renewal, TARGETS};
use crate::{init::KUBELET, static_pods};

/// Name of the action in journals: never renamed.
pub const RESTART_ACTION: &str = "restart-static-pod";
/// Name of the recorded value: the API server was restarted when etcd was.
pub const WITH_ETCD: &str = "API server restarted with etcd";
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
        let with_etcd = self.component == Component::ApiServer && cx.store.output(WITH_ETCD).is_some();
        let mut its = TARGETS.iter().filter(|target| target.used_by == Some(self.component));
        if !its.any(|target| cx.store.output(&target.output()).is_some()) {
            return Ok(Verdict::NotApplicable("none of its certificates was renewed".into()));
        }
        let Some(pod) = static_pods::read(cx.host, self.component).await? else {
            return Ok(Verdict::NotApplicable("it is no static pod of this machine".into()));
        };
        let mut healthy: Vec<_> =
            health_target(&pod).map(|target| healthy(self.component, target)).into_iter().collect();
        let mut steps = vec![];
        if !with_etcd {
            let mut components = vec![self.component];
            // One that runs without its etcd keeps every request waiting, those of the kubelet as well, which would start etcd again
            // after minutes only.
            if self.component == Component::Etcd
                && let Some(server) = static_pods::read(cx.host, Component::ApiServer).await?
            {
                components.push(Component::ApiServer);
                healthy.extend(that_is_well(cx, &server).await);
                steps.push(Step::Record { name: WITH_ETCD.into(), value: true.into() });
            }
            let socket = self.renewal.cri_socket.clone();
            steps.push(Step::Action(Arc::new(RestartPods { components, socket })));
            // One that has just started has no back-off: one that runs waits longer and longer for each restart of a container.
            steps.push(Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Restart });
        }
        if !healthy.is_empty() {
            let socket = self.renewal.cri_socket.clone();
            let condition = Condition::ByKubelet { socket, condition: Box::new(Condition::All(healthy)) };
            steps.push(Step::Wait { condition, timeout: HEALTHY_WITHIN, setting: None });
        }
        Ok(Verdict::Apply(steps))
    }
}

/// The API server's health, where it is well now: what else ails it is not etcd's.
async fn that_is_well(cx: &PlanCx<'_>, server: &Pod) -> Option<Condition> {
    let target = health_target(server)?;
    let well = cx.host.health(&target).await.is_ok_and(|health| health.status == 200);
    well.then(|| healthy(Component::ApiServer, target))
}

fn healthy(component: Component, target: HealthTarget) -> Condition {
    Condition::Healthy { what: component.name().into(), target }
}

/// Ends the containers; the kubelet starts them again, with the files as they are then.
struct RestartPods {
    /// The one that is meant first.
    components: Vec<Component>,
    socket: String,
}

#[async_trait]
impl Action for RestartPods {
    fn name(&self) -> &'static str {
        RESTART_ACTION
    }

    fn describe(&self) -> String {
        let names: Vec<_> = self.components.iter().map(|component| component.name()).collect();
        format!("restart static pod {}", names.join(", and with it "))
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let containers = cx.host.containers(&self.socket, "kube-system").await?;
        let is = |container: &ContainerState, component: Component| container.name == component.name();
        let ending = containers.iter().filter(|container| container.running).filter_map(|container| {
            let component = self.components.iter().find(|component| is(container, **component))?;
            let grace = if *component == Component::ApiServer { API_SERVER_GRACE } else { GRACE };
            Some(cx.host.stop_container(&self.socket, &container.id, grace))
        });
        try_join_all(ending).await.map(drop).map_err(StepError::from)
    }
}
