//! `control-plane/*`: the manifests of the API server, the controller manager and the scheduler.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, content::Content},
    host::Probe,
    manifest::{
        self, Component, EtcdMembership, StaticPodInputs,
        patch::{self, Patch},
        volumes,
    },
    text::sha256_hex,
};

use super::cluster::{Cluster, PRIVATE, PRIVATE_DIR};
use crate::{
    files::{Existing, directory},
    patches,
};

const COMPONENTS: [(&str, &str, Component); 3] = [
    ("control-plane/apiserver", "Generate the kube-apiserver static Pod manifest", Component::ApiServer),
    (
        "control-plane/controller-manager",
        "Generate the kube-controller-manager static Pod manifest",
        Component::ControllerManager,
    ),
    ("control-plane/scheduler", "Generate the kube-scheduler static Pod manifest", Component::Scheduler),
];

/// One phase for each component.
pub fn phases(cluster: &Arc<Cluster>) -> Vec<Box<dyn Phase>> {
    let phase = |(id, title, component)| {
        Box::new(Manifest { id, title, component, cluster: Arc::clone(cluster) }) as Box<dyn Phase>
    };
    COMPONENTS.into_iter().map(phase).collect()
}

struct Manifest {
    id: &'static str,
    title: &'static str,
    component: Component,
    cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for Manifest {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(self.id, self.title).help(
            "Write the manifest into the kubelet's manifest directory. A manifest that means the same pod is left alone.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let steps = manifest_steps(cx, &self.cluster, self.component).await?;
        Ok(Verdict::from_steps(steps, "the manifest is there"))
    }
}

/// The steps that put a component's manifest in place; none where the one that is there means the same pod.
pub async fn manifest_steps(
    cx: &PlanCx<'_>,
    cluster: &Cluster,
    component: Component,
) -> Result<Vec<Step>, PhaseError> {
    let path = Cluster::manifest(&component.file_name());
    let patches = patches::read(cx, cluster).await?;
    let pod = static_pod_of(cx.host, cluster, component, EtcdMembership::First, &patches).await?;
    let seen = match Existing::at(cx, &path).await? {
        Existing::Absent => Seen::Absent,
        Existing::Bytes(bytes) if manifest::same(&pod, &bytes) => return Ok(vec![]),
        Existing::Bytes(bytes) => Seen::Sha256(sha256_hex(&bytes)),
        Existing::Planned => return Ok(vec![]),
    };
    let dir = Cluster::manifests();
    let mut steps = directory(cx, &dir, PRIVATE_DIR).await?;
    steps.push(Step::WriteFile {
        path,
        mode: PRIVATE,
        content: Content::text(manifest::to_yaml(&pod)),
        seen,
    });
    Ok(steps)
}

/// The pod of a component on this node, with the operator's patches.
pub async fn static_pod_of(
    host: &dyn Probe,
    cluster: &Cluster,
    component: Component,
    etcd_membership: EtcdMembership<'_>,
    patches: &[Patch],
) -> Result<Pod, PhaseError> {
    let ca_dirs = Cluster::existing_dirs(host, &volumes::CA_DIRS).await?;
    let proxy_env = cluster.proxy_env();
    let config = &cluster.config;
    let ca = cluster.ca_files("ca");
    let external_ca = host.stat(&ca.key).await?.is_none() && host.stat(&ca.cert).await?.is_some();
    let inputs = StaticPodInputs {
        cluster: &config.cluster,
        endpoint: &config.local_api_endpoint,
        node_name: config.node_name(),
        health_check_timeout: cluster.health_timeout(),
        row: cluster.row(),
        etcd_membership,
        ca_dirs: &ca_dirs,
        proxy_env: &proxy_env,
        external_ca,
    };
    let pod = manifest::static_pod(component, &inputs)
        .map_err(|error| PhaseError::Config { message: format!("manifest of {component}: {error}") })?;
    patch::patched_pod(component, &pod, patches).map_err(|error| {
        patches::unusable(config.patches_dir.as_deref().unwrap_or_default().as_ref(), &error)
    })
}
