//! Taking the lease of upgrades and giving it back, each the other's undo.

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    engine::{
        Action,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::{Actuator, ApiAccess},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Upgrading,
    lease::{LEASE, lease, other_holder, target, under_way, way_out},
};

/// What is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// For this upgrade.
    Take,
    /// It is over.
    GiveBack,
}

/// Names of the actions in journals: never renamed.
pub const TAKE_ACTION: &str = "take-upgrade-lease";
/// See [`TAKE_ACTION`].
pub const GIVE_BACK_ACTION: &str = "give-upgrade-lease-back";

/// Takes it or gives it back. Each is the other's undo, so that a rollback keeps other upgrades out for as long as it lasts, too.
pub struct Hold {
    lease: OwnLease,
    what: Move,
}

/// Who and where: all that an undo needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OwnLease {
    access: ApiAccess,
    node: String,
    /// It was taken before, such as before a resume: who took it first gives it back.
    #[serde(default)]
    is_ours: bool,
}

impl Hold {
    pub fn new(access: ApiAccess, upgrading: &Upgrading, what: Move) -> Self {
        let node = upgrading.cluster.config.node_name().to_owned();
        Self { lease: OwnLease { access, node, is_ours: false }, what }
    }
}

#[async_trait]
impl Action for Hold {
    fn name(&self) -> &'static str {
        match self.what {
            Move::Take => TAKE_ACTION,
            Move::GiveBack => GIVE_BACK_ACTION,
        }
    }

    fn describe(&self) -> String {
        match self.what {
            Move::Take => format!("apply Lease kube-system/{LEASE}: other upgrades of this cluster wait"),
            Move::GiveBack => {
                format!("delete Lease kube-system/{LEASE}: other upgrades of this cluster may begin")
            }
        }
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        let is_ours = self.lease.is_held(host, &self.lease.access).await?;
        serde_json::to_value(OwnLease { is_ours, ..self.lease.clone() })
            .map_err(|error| StepError::Content(error.to_string()))
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let OwnLease { access, node, .. } = &self.lease;
        cx.unless_cancelled(async {
            match self.what {
                Move::Take => cx.host.apply(access, &lease(node, Timestamp::now())).await?,
                Move::GiveBack => cx.host.delete(access, &target()?).await?,
            }
            Ok(())
        })
        .await
    }
}

impl OwnLease {
    fn of(data: &Value) -> Result<Self, StepError> {
        serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn is_held(&self, host: &dyn Actuator, access: &ApiAccess) -> Result<bool, StepError> {
        let live = host.object(access, &target()?).await?;
        Ok(live.is_some_and(|lease| lease["spec"]["holderIdentity"] == self.node.as_str()))
    }

    /// The API server by which something can be done now: this machine's own, or the one that its kubeconfig names.
    async fn reachable(&self, host: &dyn Actuator) -> Option<ApiAccess> {
        let elsewhere = ApiAccess { server: None, ..self.access.clone() };
        for access in [self.access.clone(), elsewhere] {
            if host.api_health(&access, "/readyz").await.is_ok_and(|health| health.status == 200) {
                return Some(access);
            }
        }
        None
    }
}

/// Gives it back.
pub struct UndoTake;

#[async_trait]
impl UndoAction for UndoTake {
    async fn stays(&self, host: &dyn Actuator, data: &Value) -> Option<String> {
        let own = OwnLease::of(data).ok().filter(|own| !own.is_ours)?;
        match own.reachable(host).await {
            Some(_) => None,
            None => Some(format!(
                "no API server answers: Lease kube-system/{LEASE} stays, and keeps other upgrades of the cluster out for an hour"
            )),
        }
    }

    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let own = OwnLease::of(data)?;
        if own.is_ours {
            return Ok(());
        }
        // It ends by itself: no reason to be stuck.
        let Some(access) = own.reachable(host).await else { return Ok(()) };
        if own.is_held(host, &access).await? {
            host.delete(&access, &target()?).await?;
        }
        Ok(())
    }

    fn by_hand(&self, _data: &Value) -> Vec<String> {
        vec![format!("kubectl -n kube-system delete lease {LEASE}")]
    }
}

/// Takes it again for the way back, where nobody else has it.
pub struct UndoGiveBack;

#[async_trait]
impl UndoAction for UndoGiveBack {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let own = OwnLease::of(data)?;
        // Without an API server no other upgrade can begin.
        let Some(access) = own.reachable(host).await else { return Ok(()) };
        if let Some(holder) = other_holder(host.probe(), &access, &own.node).await? {
            return Err(StepError::Content(format!("{}: {}", under_way(&holder), way_out(&holder))));
        }
        Ok(host.apply(&access, &lease(&own.node, Timestamp::now())).await?)
    }

    fn by_hand(&self, _data: &Value) -> Vec<String> {
        vec![]
    }
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::{
        Probe as _,
        fake::{FakeHost, World},
    };

    use super::*;

    fn access() -> ApiAccess {
        ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: None }
    }

    fn data(is_ours: bool) -> Value {
        serde_json::to_value(OwnLease { access: access(), node: "cp1".into(), is_ours }).unwrap()
    }

    async fn holder(host: &FakeHost) -> Option<String> {
        let lease = host.object(&access(), &target().unwrap()).await.unwrap();
        lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
    }

    #[tokio::test]
    async fn a_rollback_takes_it_from_nobody_and_gives_it_back() {
        let mut world = World::ready();
        world.others_serve = true;
        let host = FakeHost::new(world);
        host.apply(&access(), &lease("cp2", Timestamp::now())).await.unwrap();
        let refused = UndoGiveBack.undo(&host, &data(false)).await.unwrap_err();
        assert!(
            refused.to_string().contains("another upgrade of this cluster is under way, on cp2: wait"),
            "{refused}"
        );
        UndoTake.undo(&host, &data(false)).await.unwrap();
        assert_eq!(holder(&host).await.as_deref(), Some("cp2"));

        host.delete(&access(), &target().unwrap()).await.unwrap();
        for _ in 0..2 {
            UndoGiveBack.undo(&host, &data(false)).await.unwrap();
            // What a resume took once more is not given back while older steps are still there.
            UndoTake.undo(&host, &data(true)).await.unwrap();
            assert_eq!(holder(&host).await.as_deref(), Some("cp1"));
        }
        UndoTake.undo(&host, &data(false)).await.unwrap();
        assert_eq!(holder(&host).await, None);
    }

    #[tokio::test]
    async fn without_an_api_server_it_is_told_and_nothing_is_stuck() {
        let host = FakeHost::new(World::ready());
        let said = UndoTake.stays(&host, &data(false)).await.unwrap();
        assert!(said.starts_with("no API server answers: Lease kube-system/rkadm-upgrade stays"), "{said}");
        UndoTake.undo(&host, &data(false)).await.unwrap();
        UndoGiveBack.undo(&host, &data(false)).await.unwrap();
        assert_eq!(UndoTake.stays(&host, &data(true)).await, None);
    }
}
