//! `repair`: what the restored data says of a control plane that is no more.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Event, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
    },
    host::{Actuator, ApiAccess},
    kube::ObjectRef,
};
use serde_json::{Value, json};

use super::Restore;
use crate::init::Cluster;

/// Name of the action in journals: never renamed.
pub const MEND_ACTION: &str = "mend-kubernetes-endpoints";

pub struct Repair(pub Arc<Restore>);

impl Restore {
    /// The administrator, at this machine's own API server.
    pub(super) fn admin(&self) -> ApiAccess {
        ApiAccess { kubeconfig: Cluster::kubeconfig("admin.conf"), server: self.node.api_url.clone() }
    }
}

#[async_trait]
impl Phase for Repair {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("repair", "Lead the Service kubernetes to this control plane").help(
            "API servers of the backup's time may still stand in the endpoints of the Service kubernetes. Their leases run \
             out by themselves; until then a part of all requests from pods would lead nowhere.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.is_dry_run() {
            return Ok(Verdict::NotApplicable("whether it is needed is known only afterwards".into()));
        }
        let Some(own) = self.0.node.api_address() else {
            return Ok(Verdict::NotApplicable("there is no API server on this machine".into()));
        };
        let Ok(target) = ObjectRef::new("EndpointSlice", Some("default"), "kubernetes") else {
            return Ok(Verdict::NotApplicable("endpoints are unknown".into()));
        };
        // The data is back; that this cannot be asked is no reason to take it away again.
        let slice = match cx.host.object(&self.0.admin(), &target).await {
            Ok(Some(slice)) => slice,
            Ok(None) => {
                return Ok(Verdict::AlreadyDone("the API server makes the endpoints itself".into()));
            }
            Err(error) => {
                cx.warn(format!("the endpoints of the Service kubernetes cannot be read: {error}"));
                return Ok(Verdict::NotApplicable("the endpoints cannot be read".into()));
            }
        };
        let addresses = addresses(&slice);
        if addresses == [own.as_str()] {
            return Ok(Verdict::AlreadyDone(format!("the Service kubernetes leads to {own}")));
        }
        Ok(Verdict::Apply(vec![Step::Action(Arc::new(Mend { access: self.0.admin(), target, own }))]))
    }
}

/// Makes this control plane the only one that the Service leads to.
struct Mend {
    access: ApiAccess,
    target: ObjectRef,
    own: String,
}

#[async_trait]
impl Action for Mend {
    fn name(&self) -> &'static str {
        MEND_ACTION
    }

    fn describe(&self) -> String {
        format!("lead the Service kubernetes to {}", self.own)
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let patch = json!({"endpoints": [{"addresses": [self.own], "conditions": {"ready": true}}]});
        if let Err(error) = cx.host.patch(&self.access, &self.target, &patch).await {
            // The API server does the same by itself, later.
            let message = format!("the endpoints of the Service kubernetes cannot be changed: {error}");
            cx.reporter.report(Event::Warning { message });
        }
        Ok(())
    }
}

fn addresses(slice: &Value) -> Vec<&str> {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    endpoints
        .filter_map(|endpoint| endpoint["addresses"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
