//! `report`: what came back.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, operation::REVERSIBLE};
use serde_json::{Map, Value, json};

use super::Restore;

/// The output with what came back.
pub const REPORT_OUTPUT: &str = "report";
/// What is counted.
const KINDS: [&str; 8] =
    ["Namespace", "Node", "Pod", "Deployment", "DaemonSet", "Service", "ConfigMap", "Secret"];

pub struct Report {
    pub restore: Arc<Restore>,
    /// Whether it can be taken back once it has finished.
    pub reversible: bool,
}

#[async_trait]
impl Phase for Report {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("report", "Count what came back")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.is_dry_run() {
            return Ok(Verdict::NotApplicable("known only afterwards".into()));
        }
        let access = &self.restore.node.access;
        let mut revision = None;
        if let Some(endpoint) = access.endpoints.first() {
            revision = cx.host.etcd_status(access, endpoint).await.ok().map(|status| status.revision);
        }
        let (mut objects, mut not_ready) = (Map::new(), vec![]);
        for kind in KINDS {
            match cx.host.objects(&self.restore.admin(), kind).await {
                Ok(found) => {
                    objects.insert(kind.into(), found.len().into());
                    if kind == "Node" {
                        not_ready.extend(found.iter().filter(|node| !is_ready(node)).filter_map(name));
                    }
                }
                // The data is back; that it cannot be counted is no reason to take it away again.
                Err(error) => cx.warn(format!("objects of kind {kind} cannot be counted: {error}")),
            }
        }
        let value = json!({ "revision": revision, "objects": objects, "nodesNotReady": not_ready });
        Ok(Verdict::Apply(vec![
            Step::Record { name: REPORT_OUTPUT.into(), value },
            Step::Record { name: REVERSIBLE.into(), value: self.reversible.into() },
        ]))
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn name(object: &Value) -> Option<String> {
    object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
}
