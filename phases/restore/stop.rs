//! `stop`: the control plane ends, and nothing starts it again, not even a reboot.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, content::Content},
    host::{Probe, ServiceVerb},
    manifest::Component,
    text::sha256_hex,
};

use super::{Restore, pods::StopPods, swap::SWAPPED};
use crate::init::{Cluster, KUBELET};

/// Whose manifests go: the others cannot do anything without them.
pub(super) const TAKEN_OUT: [Component; 2] = [Component::ApiServer, Component::Etcd];

/// The output with the pods that ran here before.
pub(super) const RAN: &str = "pods that ran";

pub struct Stop(pub Arc<Restore>);

#[async_trait]
impl Phase for Stop {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("stop", "Stop the control plane")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.store.output(SWAPPED).is_some() {
            return Ok(Verdict::AlreadyDone("the restored data is in its place already".into()));
        }
        // The kubelet first: what it knows is of the old data, so it has to start anew anyway, and without it nothing
        // competes for the containers.
        let mut steps = vec![];
        if cx.store.output(RAN).is_none() {
            steps.push(Step::Record { name: RAN.into(), value: pods_here(cx.host, &self.0).await.into() });
        }
        steps.push(Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Stop });
        for component in TAKEN_OUT {
            let file_name = component.file_name();
            let (path, copy) = (Cluster::manifest(&file_name), self.0.put_by(&file_name));
            let (now, kept) = (cx.host.read(&path).await?, cx.host.read(&copy).await?);
            let Some(manifest) = now else {
                // It went before an interruption; an API server may be missing for reasons of its own.
                if kept.is_none() && component == Component::Etcd {
                    return Err(gone(&path));
                }
                continue;
            };
            if kept.as_ref() != Some(&manifest) {
                let mode = mode(cx.host, &path).await?;
                let seen = kept.map_or(Seen::Absent, |kept| Seen::Sha256(sha256_hex(&kept)));
                let content = Content::Private(manifest.clone());
                steps.push(Step::WriteFile { path: copy, mode, content, seen });
            }
            steps.push(Step::RemoveFile { path, seen: Seen::Sha256(sha256_hex(&manifest)) });
        }
        steps.push(Step::Action(Arc::new(StopPods { cri_socket: self.0.cri_socket.clone() })));
        Ok(Verdict::Apply(steps))
    }
}

/// Pods that run on this machine and that somebody asked the API for, as `namespace/name`. For the report alone: where the runtime
/// does not answer, none is known.
async fn pods_here(host: &dyn Probe, restore: &Restore) -> Vec<String> {
    let sandboxes = host.sandboxes(&restore.cri_socket).await.unwrap_or_default();
    // Static pods are called after their node, which is called after the member of etcd.
    let of_files = format!("-{}", restore.node.name);
    let asked_for = sandboxes.into_iter().filter(|one| one.ready && !one.pod.ends_with(&of_files));
    let mut names: Vec<_> = asked_for.map(|one| format!("{}/{}", one.namespace, one.pod)).collect();
    names.sort();
    names
}

/// Permission bits of a file that is there.
pub(super) async fn mode(host: &dyn Probe, path: &Path) -> Result<u32, PhaseError> {
    Ok(host.stat(path).await?.map_or(0o600, |stat| stat.mode))
}

pub(super) fn gone(path: &Path) -> PhaseError {
    PhaseError::Unusable {
        message: format!("{} is missing", path.display()),
        hint: "somebody else works on this control plane at the same time; put it back, then run the command again".into(),
    }
}
