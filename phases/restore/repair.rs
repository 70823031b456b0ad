//! `repair`: what the restored data says of a control plane that is no more.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    engine::{
        Action, Event, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
    },
    etcd::EtcdAccess,
    host::{Actuator, ApiAccess},
    kube::ObjectRef,
};
use serde_json::{Value, json};

use super::Restore;
use crate::init::Cluster;

/// Name of the action in journals: never renamed.
pub const MEND_ACTION: &str = "mend-kubernetes-endpoints";
/// Name of the action in journals: never renamed.
pub const CLEAR_ACTION: &str = "clear-master-leases";

/// Whoever leads renews its Lease every two seconds.
const RENEWED_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// Of those who are leaders only for the cluster to work.
const LEADERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

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
        PhaseMeta::new("repair", "Clear away what is left of processes that are no more").help(
            "API servers of the backup's time may still stand in the endpoints of the Service kubernetes, and a controller \
             manager and a scheduler of that time as leaders. All of it runs out by itself; until then a part of all requests \
             from pods would lead nowhere, and nothing would be scheduled or controlled.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.is_dry_run() {
            return Ok(Verdict::NotApplicable("whether it is needed is known only afterwards".into()));
        }
        let Some(own) = self.0.node.api_address() else {
            return Ok(Verdict::NotApplicable("there is no API server on this machine".into()));
        };
        let mut steps = vec![];
        // Of several, each stands there itself.
        if self.0.others.is_empty() {
            // First: the API server makes the endpoints of them, over and over.
            let (access, prefix) = (self.0.node.access.clone(), self.0.node.master_leases());
            let kept = format!("{prefix}{own}");
            steps.push(Step::Action(Arc::new(Clear { access, prefix, kept })));
            steps.extend(self.endpoints(cx, &own).await);
        }
        for name in LEADERS {
            steps.extend(self.leader(cx, name).await);
        }
        Ok(Verdict::from_steps(
            steps,
            format!("the Service kubernetes leads to {own}, and leaders are at work"),
        ))
    }
}

impl Repair {
    /// An object of the API. The data is back; that it cannot be asked is no reason to take it away again.
    async fn object(
        &self,
        cx: &PlanCx<'_>,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<(ObjectRef, Value)> {
        let target = ObjectRef::new(kind, Some(namespace), name).ok()?;
        match cx.host.object(&self.0.admin(), &target).await {
            Ok(object) => Some((target, object?)),
            Err(error) => {
                cx.warn(format!("{target} cannot be read: {error}"));
                None
            }
        }
    }

    /// The API server makes its endpoints itself where there are none.
    async fn endpoints(&self, cx: &PlanCx<'_>, own: &str) -> Option<Step> {
        let (target, slice) = self.object(cx, "EndpointSlice", "default", "kubernetes").await?;
        if addresses(&slice) == [own] {
            return None;
        }
        let patch = json!({"endpoints": [{"addresses": [own], "conditions": {"ready": true}}]});
        Some(self.mend(target, patch, format!("lead the Service kubernetes to {own}")))
    }

    /// One that leads now is left alone.
    async fn leader(&self, cx: &PlanCx<'_>, name: &str) -> Option<Step> {
        let (target, lease) = self.object(cx, "Lease", "kube-system", name).await?;
        let holder = stale_holder(&lease, Timestamp::now())?;
        let text = format!("let {name} have a new leader: {holder} is no more");
        Some(self.mend(target, json!({"spec": {"holderIdentity": null}}), text))
    }

    fn mend(&self, target: ObjectRef, patch: Value, text: String) -> Step {
        Step::Action(Arc::new(Mend { access: self.0.admin(), target, patch, text }))
    }
}

/// Who holds a Lease without having renewed it.
fn stale_holder(lease: &Value, now: Timestamp) -> Option<&str> {
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
    let renewed: Timestamp = lease["spec"]["renewTime"].as_str()?.parse().ok()?;
    (now.duration_since(renewed) > RENEWED_WITHIN).then_some(holder)
}

/// Changes an object that would become right by itself, later.
struct Mend {
    access: ApiAccess,
    target: ObjectRef,
    patch: Value,
    text: String,
}

#[async_trait]
impl Action for Mend {
    fn name(&self) -> &'static str {
        MEND_ACTION
    }

    fn describe(&self) -> String {
        self.text.clone()
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        if let Err(error) = cx.host.patch(&self.access, &self.target, &self.patch).await {
            let message = format!("{} cannot be changed: {error}", self.target);
            cx.reporter.report(Event::Warning { message });
        }
        Ok(())
    }
}

/// Removes the leases of API servers that are no more.
struct Clear {
    access: EtcdAccess,
    prefix: String,
    kept: String,
}

#[async_trait]
impl Action for Clear {
    fn name(&self) -> &'static str {
        CLEAR_ACTION
    }

    fn describe(&self) -> String {
        format!("remove what etcd has below {} but {}: API servers that are no more", self.prefix, self.kept)
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        match cx.host.etcd_delete_beside(&self.access, &self.prefix, &self.kept).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_injected() => Err(error.into()),
            // They run out within seconds anyway.
            Err(error) => {
                let message = format!("leases of earlier API servers cannot be removed: {error}");
                cx.reporter.report(Event::Warning { message });
                Ok(())
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_renews_its_lease_is_left_alone() {
        let now: Timestamp = "2026-11-25T12:00:10Z".parse().unwrap();
        let lease = |holder: &str, at: &str| json!({"spec": {"holderIdentity": holder, "renewTime": at}});
        assert_eq!(stale_holder(&lease("a", "2026-11-25T12:00:08.123456Z"), now), None);
        assert_eq!(stale_holder(&lease("a", "2026-11-25T12:00:04.000000Z"), now), Some("a"));
        assert_eq!(stale_holder(&lease("", "2026-11-25T11:00:00.000000Z"), now), None);
        assert_eq!(stale_holder(&json!({"spec": {}}), now), None);
    }
}
