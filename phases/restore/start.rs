//! `start`: the control plane starts with the restored data.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, content::Content, wait::Condition},
    host::ServiceVerb,
    manifest::{Component, health_target},
    text::sha256_hex,
    yaml,
};

use super::{
    Restore,
    stop::{TAKEN_OUT, gone, mode},
};
use crate::{
    init::{Cluster, KUBELET},
    static_pods,
};

/// How long a component may take to become healthy; kubeadm's default for a new one.
const HEALTHY_WITHIN: Duration = Duration::from_mins(4);

pub struct Start(pub Arc<Restore>);

impl Start {
    /// Puts a manifest back as it was. Gives it, parsed.
    async fn put_back(
        &self,
        cx: &PlanCx<'_>,
        component: Component,
        steps: &mut Vec<Step>,
    ) -> Result<Option<Pod>, PhaseError> {
        let file_name = component.file_name();
        let (path, copy) = (Cluster::manifest(&file_name), self.0.put_by(&file_name));
        if cx.host.read(&path).await?.is_some() {
            return static_pods::read(cx.host, component).await;
        }
        let Some(manifest) = cx.host.read(&copy).await? else {
            return if component == Component::Etcd { Err(gone(&path)) } else { Ok(None) };
        };
        let pod = yaml::from_str(&String::from_utf8_lossy(&manifest)).ok();
        let mode = mode(cx.host, &copy).await?;
        let content = Content::Private(manifest);
        steps.push(Step::WriteFile { path, mode, content, seen: Seen::Absent });
        Ok(pod)
    }
}

#[async_trait]
impl Phase for Start {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("start", "Start the control plane with the restored data")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let (mut steps, mut healthy) = (vec![], vec![]);
        // etcd first: an API server that starts before it waits longer and longer between two tries.
        for component in Component::ALL {
            let pod = if TAKEN_OUT.contains(&component) {
                self.put_back(cx, component, &mut steps).await?
            } else {
                static_pods::read(cx.host, component).await?
            };
            if let Some(target) = pod.as_ref().and_then(health_target) {
                healthy.push(Condition::Healthy { what: component.name().into(), target });
            }
        }
        steps.push(Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Start });
        steps.push(Step::Wait {
            condition: Condition::ByKubelet {
                socket: self.0.cri_socket.clone(),
                condition: Box::new(Condition::All(healthy)),
            },
            timeout: HEALTHY_WITHIN,
            setting: None,
        });
        for component in TAKEN_OUT {
            let copy = self.0.put_by(&component.file_name());
            if let Some(kept) = cx.host.read(&copy).await? {
                steps.push(Step::RemoveFile { path: copy, seen: Seen::Sha256(sha256_hex(&kept)) });
            }
        }
        Ok(Verdict::Apply(steps))
    }

    /// A healthy etcd is not enough: one that was never really stopped is healthy too, and serves what was there before.
    async fn verify(&self, cx: &PlanCx<'_>) -> Result<(), PhaseError> {
        self.0.is_served(cx).await
    }
}

impl Restore {
    /// etcd serves what was restored.
    pub(super) async fn is_served(&self, cx: &PlanCx<'_>) -> Result<(), PhaseError> {
        let access = &self.node.access;
        let Some(endpoint) = access.endpoints.first() else { return Ok(()) };
        let (served, least) =
            (cx.host.etcd_status(access, endpoint).await?.revision, self.trial().new_revision());
        if served < least {
            return Err(PhaseError::NotAchieved(format!(
                "etcd at {endpoint} serves revision {served}; the restored data begins at {least}, so it serves other data"
            )));
        }
        Ok(())
    }
}
