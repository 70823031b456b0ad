//! `post-upgrade`: what must hold when all is done.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, operation::REVERSIBLE, wait::Condition,
    },
    kube::objects,
    manifest::{Component, pod::container},
};

use super::{Upgrading, control_plane::SWITCHED};
use crate::{
    objects::{named, wanted},
    static_pods,
};

/// The kubelet tells the API server of its pods every few seconds.
const SEEN_WITHIN: Duration = Duration::from_mins(2);

pub struct PostUpgrade {
    upgrading: Arc<Upgrading>,
}

impl PostUpgrade {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }
}

#[async_trait]
impl Phase for PostUpgrade {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("post-upgrade", "Run post upgrade tasks").help(
            "Apply the API server's rights on kubelets, and wait until the cluster sees the new pods of this node as ready.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let request = &self.upgrading.request;
        let mut steps = vec![];
        if request.control_plane {
            let cluster = &self.upgrading.cluster;
            // Without it, logs and exec are forbidden: on no path may it be missing (kubernetes/kubeadm#3310).
            steps.extend(wanted(cx, cluster, vec![objects::apiserver_kubelet_client()]).await?);
            if cx.store.output(SWITCHED).is_some() || cx.is_dry_run() {
                let condition = self.pods_are_seen(cx).await?;
                steps.push(Step::Wait { condition, timeout: SEEN_WITHIN });
            }
        }
        steps.push(Step::Record { name: REVERSIBLE.into(), value: true.into() });
        Ok(Verdict::Apply(steps))
    }
}

impl PostUpgrade {
    async fn pods_are_seen(&self, cx: &PlanCx<'_>) -> Result<Condition, PhaseError> {
        let access = self.upgrading.cluster.admin(cx.host).await?;
        let mut conditions = vec![];
        for component in Component::ALL {
            let Some(pod) = static_pods::read(cx.host, component).await? else { continue };
            let Some(image) = container(&pod).and_then(|container| container.image.clone()) else { continue };
            let name = format!("{}-{}", component.name(), self.upgrading.cluster.config.node_name());
            let target = named("Pod", Some("kube-system"), &name)?;
            conditions.push(Condition::PodReady { access: access.clone(), target, image });
        }
        Ok(Condition::All(conditions))
    }
}
