//! `etcd/local`: the manifest of this node's etcd.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict},
    manifest::Component,
};

use super::{
    cluster::{Cluster, PRIVATE_DIR},
    control_plane::manifest_steps,
};
use crate::files::directory;

/// The manifest of this node's etcd, and its data directory.
pub struct Local {
    cluster: Arc<Cluster>,
}

impl Local {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

#[async_trait]
impl Phase for Local {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("etcd/local", "Generate the static Pod manifest file for a local, single-node local etcd instance")
            .help("Write etcd.yaml into the kubelet's manifest directory, and make the data directory. Not with an external etcd.")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let Some(data_dir) = self.cluster.etcd_data_dir() else {
            return Ok(Verdict::NotApplicable("etcd is external".into()));
        };
        let mut steps = data_dir_steps(cx, &data_dir).await?;
        steps.extend(manifest_steps(cx, &self.cluster, Component::Etcd).await?);
        Ok(Verdict::from_steps(steps, "the manifest is there"))
    }
}

/// The steps that make etcd's data directory; none where it is there and holds something.
pub async fn data_dir_steps(cx: &PlanCx<'_>, data_dir: &Path) -> Result<Vec<Step>, PhaseError> {
    let mut steps = vec![];
    if let Some(parent) = data_dir.parent() {
        steps.extend(directory(cx, parent, PRIVATE_DIR).await?);
    }
    let made = Step::EnsureDir { path: data_dir.to_owned(), mode: PRIVATE_DIR, owned: true };
    match cx.host.stat(data_dir).await? {
        // Made on an earlier run, or empty and brought by the operator: what etcd writes is this operation's.
        Some(stat) if stat.mode == PRIVATE_DIR && !cx.host.list(data_dir).await?.is_empty() => {}
        _ => steps.push(made),
    }
    Ok(steps)
}
