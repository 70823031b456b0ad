//! A static pod starts anew, and is healthy again before the next one's turn.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::try_join_all;
use rkadm_core::{
    engine::{
        Action, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        wait::Condition,
    },
    host::{Actuator, ContainerState, HostError, ServiceVerb},
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
        if self.component == Component::ApiServer && cx.store.output(WITH_ETCD).is_some() {
            return Ok(Verdict::AlreadyDone("with etcd".into()));
        }
        let mut its = TARGETS.iter().filter(|target| target.used_by == Some(self.component));
        if !its.any(|target| cx.store.output(&target.output()).is_some()) {
            return Ok(Verdict::NotApplicable("none of its certificates was renewed".into()));
        }
        let Some(pod) = static_pods::read(cx.host, self.component).await? else {
            return Ok(Verdict::NotApplicable("it is no static pod of this machine".into()));
        };
        let mut pods = vec![(self.component, pod)];
        // One that runs without its etcd keeps every request waiting, those of the kubelet as well, which would start etcd again after
        // minutes only.
        if self.component == Component::Etcd
            && let Some(server) = static_pods::read(cx.host, Component::ApiServer).await?
        {
            pods.push((Component::ApiServer, server));
        }
        let components = pods.iter().map(|(component, _)| *component).collect();
        let restart = RestartPods { components, socket: self.renewal.cri_socket.clone() };
        let mut steps = vec![Step::Action(Arc::new(restart))];
        // A kubelet that has just started has no back-off: one that ran would wait longer and longer for each restart of a container.
        if is_managed(cx).await? {
            let kubelet = |verb| Step::Service { unit: KUBELET.into(), verb };
            steps.insert(0, kubelet(ServiceVerb::Stop));
            steps.push(kubelet(ServiceVerb::Start));
        }
        let targets =
            pods.iter().filter_map(|(component, pod)| Some((component.name(), health_target(pod)?)));
        let healthy = targets.map(|(what, target)| Condition::Healthy { what: what.into(), target });
        let healthy: Vec<_> = healthy.collect();
        if !healthy.is_empty() {
            steps.push(Step::Wait {
                condition: Condition::ByKubelet {
                    socket: self.renewal.cri_socket.clone(),
                    condition: Box::new(Condition::All(healthy)),
                },
                timeout: HEALTHY_WITHIN,
            });
        }
        if pods.len() > 1 {
            steps.push(Step::Record { name: WITH_ETCD.into(), value: true.into() });
        }
        Ok(Verdict::Apply(steps))
    }
}

/// Whether a service manager has the kubelet. Where none is, whoever started it sees to it.
async fn is_managed(cx: &PlanCx<'_>) -> Result<bool, PhaseError> {
    match cx.host.service(KUBELET).await {
        Ok(kubelet) => Ok(kubelet.exists),
        Err(HostError::Spawn { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
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
