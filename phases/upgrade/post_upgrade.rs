//! `post-upgrade`: what must hold when all is done.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        operation::REVERSIBLE,
        wait::{Condition, pod_state},
    },
    host::{ApiAccess, Probe},
    kube::{ObjectRef, objects},
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
                steps.push(Step::Wait { condition, timeout: SEEN_WITHIN, setting: None });
            }
        }
        steps.push(Step::Record { name: REVERSIBLE.into(), value: true.into() });
        Ok(Verdict::Apply(steps))
    }
}

impl PostUpgrade {
    async fn pods_are_seen(&self, cx: &PlanCx<'_>) -> Result<Condition, PhaseError> {
        let access = self.upgrading.cluster.admin(cx.host).await?;
        let pods = pods(cx.host, self.upgrading.cluster.config.node_name()).await?.into_iter();
        let seen = pods.map(|(target, image)| Condition::PodReady { access: access.clone(), target, image });
        Ok(Condition::All(seen.collect()))
    }
}

/// The static pods of this node, as the API server names them, with the images in their manifests.
async fn pods(host: &dyn Probe, node: &str) -> Result<Vec<(ObjectRef, String)>, PhaseError> {
    let mut pods = vec![];
    for component in Component::ALL {
        let Some(pod) = static_pods::read(host, component).await? else { continue };
        let Some(image) = container(&pod).and_then(|container| container.image.clone()) else { continue };
        pods.push((named("Pod", Some("kube-system"), &format!("{}-{node}", component.name()))?, image));
    }
    Ok(pods)
}

/// Those that the API server does not show as ready with these images.
pub(super) async fn not_seen(
    host: &dyn Probe,
    access: &ApiAccess,
    node: &str,
) -> Result<Vec<ObjectRef>, PhaseError> {
    let mut missing = vec![];
    for (target, image) in pods(host, node).await? {
        let live = host.object(access, &target).await?.unwrap_or_default();
        if pod_state(&live, &image).is_err() {
            missing.push(target);
        }
    }
    Ok(missing)
}
