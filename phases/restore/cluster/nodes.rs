//! `nodes`: the data serves, and machines that are gone for good leave the cluster.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict},
    kube::objects::CONTROL_PLANE_LABEL,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::Restore;
use crate::{init::Cluster, objects::named};

/// The output with the names of Nodes that were removed.
pub const REMOVED_OUTPUT: &str = "removed-nodes";

/// Whose Node objects go. Their pods are made elsewhere then, at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoveNodes {
    /// Those of control planes: their members of etcd are no more.
    #[default]
    ControlPlanes,
    /// Those of all machines but this one.
    All,
    /// None.
    None,
}

pub(super) struct Nodes {
    pub restore: Arc<Restore>,
    pub cluster: Arc<Cluster>,
    pub remove: RemoveNodes,
}

#[async_trait]
impl Phase for Nodes {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(
            "nodes",
            "Check that the restored data is served, and remove the Nodes of lost machines",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.is_dry_run() {
            return Ok(Verdict::NotApplicable("which there are is known only afterwards".into()));
        }
        self.restore.is_served(cx).await?;
        let access = self.cluster.admin(cx.host).await?;
        let own = self.cluster.config.node_name();
        let nodes = cx.host.objects(&access, "Node").await?;
        let mut names: Vec<_> = nodes.iter().filter(|node| self.goes(node)).filter_map(name).collect();
        names.retain(|name| *name != own);
        if names.is_empty() {
            return Ok(Verdict::AlreadyDone("no Node is of a lost machine".into()));
        }
        // First, and with those of a run that was cut off: afterwards nobody knows them any more.
        let before = cx.store.output(REMOVED_OUTPUT).and_then(|value| value.as_array().cloned());
        let before = before.iter().flatten().filter_map(Value::as_str);
        let all: BTreeSet<&str> = before.chain(names.iter().copied()).collect();
        let value = all.into_iter().collect();
        let mut steps = vec![Step::Record { name: REMOVED_OUTPUT.into(), value }];
        for name in &names {
            let target = named("Node", None, name)?;
            steps.push(Step::DeleteObject {
                access: access.clone(),
                target,
                dies_with: self.cluster.dies_with(),
            });
        }
        Ok(Verdict::Apply(steps))
    }
}

impl Nodes {
    fn goes(&self, node: &Value) -> bool {
        match self.remove {
            RemoveNodes::All => true,
            RemoveNodes::None => false,
            RemoveNodes::ControlPlanes => node["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_some(),
        }
    }
}

fn name(node: &Value) -> Option<&str> {
    node["metadata"]["name"].as_str()
}
