//! `report`: what came back.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, operation::REVERSIBLE},
    kube::census::Census,
};
use serde_json::{Value, json};

use super::{Restore, stop::RAN};
use crate::health::nodes;

/// The output with what came back.
pub const REPORT_OUTPUT: &str = "report";

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
        // The data is back; that it cannot be counted is no reason to take it away again.
        let admin = self.restore.admin();
        let census = cx.host.census(&admin, self.restore.source.objects.as_ref()).await;
        let census = census.unwrap_or_else(|error| {
            cx.warn(format!("objects cannot be counted: {error}"));
            Census::default()
        });
        for why in &census.uncounted {
            cx.warn(format!("not all objects can be counted: {why}"));
        }
        let nodes = nodes::brief(cx.host, &admin).await.unwrap_or_default();
        let not_ready: Vec<_> = nodes.into_iter().filter(|node| !node.ready).map(|node| node.name).collect();
        let pods = cx.host.pods_on(&admin, &self.restore.node.name).await.ok();
        let ran = cx.store.output(RAN).and_then(Value::as_array);
        let value = json!({
            "revision": revision,
            "objects": census.objects,
            "differences": census.differences,
            "nodesNotReady": not_ready,
            "unknownPods": pods.map(|pods| unknown(ran, &pods)).unwrap_or_default(),
        });
        Ok(Verdict::Apply(vec![
            Step::Record { name: REPORT_OUTPUT.into(), value },
            Step::Record { name: REVERSIBLE.into(), value: self.reversible.into() },
        ]))
    }
}

/// Pods that ran before and that the API does not know any more.
fn unknown(ran: Option<&Vec<Value>>, pods: &[Value]) -> Vec<String> {
    let text =
        |pod: &Value, pointer| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let known = |name: &&str| {
        pods.iter().any(|pod| {
            name.split_once('/') == Some((&text(pod, "/metadata/namespace"), &text(pod, "/metadata/name")))
        })
    };
    let names = ran.into_iter().flatten().filter_map(Value::as_str);
    names.filter(|name| !known(name)).map(str::to_owned).collect()
}
