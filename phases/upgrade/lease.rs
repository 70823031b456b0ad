//! The lease that keeps two upgrades of one cluster apart. Both phases are hidden: they are the way, not the work.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict},
    host::{ApiAccess, HostError, Probe},
    kube::ObjectRef,
};
use serde_json::{Value, json};

use super::{
    Upgrading, WORKER,
    hold::{Hold, Move},
};

/// Name of the Lease in namespace `kube-system`.
pub const LEASE: &str = "rkadm-upgrade";
/// The phase of an upgrade that restarts a control plane, and so the mark of one.
pub const TAKE: &str = "take-lease";
/// Longer than any upgrade of one node takes. After that its holder is taken for dead.
const DURATION: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn target() -> Result<ObjectRef, HostError> {
    ObjectRef::new("Lease", Some("kube-system"), LEASE).map_err(HostError::from)
}

/// Takes it, where nobody else has it.
pub struct Take {
    upgrading: Arc<Upgrading>,
}

impl Take {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }

    async fn free(&self, cx: &PlanCx<'_>) -> Result<(), PhaseError> {
        let access = self.upgrading.cluster.admin(cx.host).await?;
        match other_holder(cx.host, &access, self.upgrading.cluster.config.node_name()).await? {
            Some(holder) => Err(PhaseError::Unusable { message: under_way(&holder), hint: way_out(&holder) }),
            None => Ok(()),
        }
    }
}

/// The node that has it, where that is another one.
///
/// # Errors
/// The API server does not answer or refuses.
pub async fn other_holder(
    host: &dyn Probe,
    access: &ApiAccess,
    own: &str,
) -> Result<Option<String>, HostError> {
    let live = host.object(access, &target()?).await?;
    let holder = live.as_ref().and_then(|lease| held(lease, Timestamp::now()));
    Ok(holder.filter(|holder| *holder != own).map(str::to_owned))
}

/// What it means that another node has it.
pub fn under_way(holder: &str) -> String {
    format!("another upgrade of this cluster is under way, on {holder}")
}

/// What to do then.
pub fn way_out(holder: &str) -> String {
    format!(
        "wait until it has ended; where nobody works there any more: `rkadm op list` on {holder}, and when nothing is unfinished \
         there, `kubectl -n kube-system delete lease {LEASE}`"
    )
}

#[async_trait]
impl Phase for Take {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta { hidden: true, ..PhaseMeta::new(TAKE, "Keep other upgrades of this cluster out") }
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.upgrading.request.control_plane {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        let access = self.upgrading.cluster.admin(cx.host).await?;
        // On a resume the API server may be down until the control plane is up again, and the lease was taken before.
        let answers = cx.host.api_health(&access, "/readyz").await.is_ok_and(|health| health.status == 200);
        if cx.store.output(TAKEN).is_some() && !answers {
            return Ok(Verdict::AlreadyDone("it is held".into()));
        }
        self.free(cx).await?;
        Ok(Verdict::Apply(vec![
            Step::Action(Arc::new(Hold::new(access, &self.upgrading, Move::Take))),
            Step::Record { name: TAKEN.into(), value: true.into() },
        ]))
    }

    /// Of two that take it in the same moment, mostly the last one has it, and the first one finds that here.
    async fn verify(&self, cx: &PlanCx<'_>) -> Result<(), PhaseError> {
        self.free(cx).await
    }
}

/// The output that says that it is held.
const TAKEN: &str = "lease taken";

/// Gives it back.
pub struct GiveBack {
    upgrading: Arc<Upgrading>,
}

impl GiveBack {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }
}

#[async_trait]
impl Phase for GiveBack {
    fn meta(&self) -> PhaseMeta {
        let meta = PhaseMeta::new("give-lease-back", "Let other upgrades of this cluster begin");
        PhaseMeta { hidden: true, ..meta }
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.upgrading.request.control_plane {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        let access = self.upgrading.cluster.admin(cx.host).await?;
        match cx.host.object(&access, &target()?).await? {
            None if !cx.is_dry_run() => Ok(Verdict::AlreadyDone("it is free".into())),
            Some(lease) if lease["spec"]["holderIdentity"] != self.upgrading.cluster.config.node_name() => {
                Ok(Verdict::NotApplicable("another upgrade holds it by now".into()))
            }
            _ => Ok(Verdict::Apply(vec![Step::Action(Arc::new(Hold::new(
                access,
                &self.upgrading,
                Move::GiveBack,
            )))])),
        }
    }
}

pub(super) fn lease(holder: &str, now: Timestamp) -> Value {
    let now = now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": "kube-system"},
        "spec": {
            "holderIdentity": holder, "acquireTime": now, "renewTime": now,
            "leaseDurationSeconds": DURATION.as_secs(),
        },
    })
}

/// Who holds it now.
fn held(lease: &Value, now: Timestamp) -> Option<&str> {
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
    let renewed: Timestamp = lease["spec"]["renewTime"].as_str()?.parse().ok()?;
    let duration = SignedDuration::from_secs(lease["spec"]["leaseDurationSeconds"].as_i64().unwrap_or(0));
    (now.duration_since(renewed) < duration).then_some(holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_until_its_time_is_up_or_it_is_given_back() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let taken = lease("cp1", now);
        assert_eq!(held(&taken, now), Some("cp1"));
        assert_eq!(held(&taken, now + SignedDuration::from_mins(59)), Some("cp1"));
        assert_eq!(held(&taken, now + SignedDuration::from_mins(61)), None);
        assert_eq!(held(&json!({"spec": {"holderIdentity": ""}}), now), None);
    }
}
