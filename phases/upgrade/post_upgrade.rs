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

use super::{
    LOOKS, PAUSE, Upgrading,
    control_plane::SWITCHED,
    findings::{self, HEALTH},
};
use crate::{
    objects::{named, wanted},
    preflight::{Severity, is_ignored},
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
            "Apply the API server's rights on kubelets, wait until the cluster sees the new pods of this node as \
             ready, and look at everything that `rkadm health` looks at.",
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

    /// The gate before was the same: whoever goes on, to another node or to the next minor, goes on from a cluster that is well.
    async fn verify(&self, cx: &PlanCx<'_>) -> Result<(), PhaseError> {
        if !self.upgrading.request.control_plane {
            return Ok(());
        }
        let ignored = is_ignored(&self.upgrading.request.config.ignore_preflight_errors, HEALTH);
        let mut looks = if ignored { 1 } else { LOOKS };
        let ill = loop {
            let ill = ill(cx.host).await;
            looks -= 1;
            if ill.is_empty() {
                return Ok(());
            }
            if looks == 0 {
                break ill;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let message = format!("not everything is well after the upgrade: {}", ill.join("; "));
        if ignored {
            cx.warn(message);
            return Ok(());
        }
        let hint = "`rkadm health` tells more; mend it and run the command again; --ignore-preflight-errors=ClusterHealth takes it as it is"
            .into();
        Err(PhaseError::Unusable { message, hint })
    }
}

/// What `rkadm health` finds broken.
async fn ill(host: &dyn Probe) -> Vec<String> {
    let found = findings::health(host, None).await.into_iter();
    found.filter(|(severity, _)| *severity == Severity::Error).map(|(_, finding)| finding.message).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rkadm_core::{
        engine::{PlanMode, event::Silent, store::Store},
        host::fake::{FakeHost, World},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upgrade_does_not_end_well_where_not_everything_is_well() {
        let end = async |ignored: &[&str]| {
            let mut upgrading = Upgrading::default();
            upgrading.request.control_plane = true;
            upgrading.request.config.ignore_preflight_errors =
                ignored.iter().map(|name| (*name).to_owned()).collect();
            let phase = PostUpgrade::new(&Arc::new(Upgrading::new(upgrading.request)));
            // Nothing runs here that could be well.
            let (host, store) = (FakeHost::new(World::ready()), Store::new(None, BTreeMap::new()));
            let cx = PlanCx { host: &host, store: &store, mode: PlanMode::Apply, reporter: &Silent };
            let begun = tokio::time::Instant::now();
            (phase.verify(&cx).await.map_err(|error| (error.to_string(), error.hints())), begun.elapsed())
        };
        let (end_of_it, waited) = end(&[]).await;
        let (message, hints) = end_of_it.unwrap_err();
        assert!(message.starts_with("not everything is well after the upgrade: kubelet"), "{message}");
        assert!(hints[0].contains("run the command again"), "{hints:?}");
        assert_eq!(waited, PAUSE * (LOOKS - 1), "what starts may need a moment");
        assert_eq!(end(&["clusterhealth"]).await, (Ok(()), Duration::ZERO));
    }
}
