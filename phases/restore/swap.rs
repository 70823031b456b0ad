//! `swap`: the old data goes aside, the restored data takes its place.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::{Actuator, HostError, ServiceVerb},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Restore, pods::stop_pods};
use crate::init::KUBELET;

/// Name of the action in journals: never renamed.
pub const SWAP_ACTION: &str = "swap-etcd-data";
/// The output that says that the restored data is in its place.
pub(super) const SWAPPED: &str = "swapped";

pub struct SwapData(pub Arc<Restore>);

#[async_trait]
impl Phase for SwapData {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("swap", "Put the restored data in the place of the old data, which is kept")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.store.output(SWAPPED).is_some() {
            return Ok(Verdict::AlreadyDone("it was done before the interruption".into()));
        }
        Ok(Verdict::Apply(vec![
            Step::Action(Arc::new(self.0.swap())),
            Step::Record { name: SWAPPED.into(), value: self.0.aside().display().to_string().into() },
        ]))
    }
}

/// Two renames. How far they got is told by which of the names are there, so it can be gone on with, and taken back, from
/// anywhere: the old data is either at `live` or at `aside`, and the restored data at `fresh` or at `live`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swap {
    /// What etcd uses.
    pub live: PathBuf,
    /// The restored data.
    pub fresh: PathBuf,
    /// Where the old data goes.
    pub aside: PathBuf,
    /// The directory that was made for the restored data: `fresh`, or one above it.
    pub target: PathBuf,
    /// The runtime's socket URL.
    pub cri_socket: String,
}

/// What the undo needs besides.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Before {
    #[serde(flatten)]
    swap: Swap,
    /// Whether there was any old data.
    had_data: bool,
}

impl Swap {
    async fn there(host: &dyn Actuator, path: &std::path::Path) -> Result<bool, HostError> {
        Ok(host.stat(path).await?.is_some())
    }

    async fn forth(&self, host: &dyn Actuator) -> Result<(), StepError> {
        if Self::there(host, &self.fresh).await? {
            if Self::there(host, &self.live).await? {
                host.rename(&self.live, &self.aside).await?;
            }
            host.rename(&self.fresh, &self.live).await?;
        } else if !Self::there(host, &self.live).await? {
            return Err(StepError::Missing(self.fresh.clone()));
        }
        if self.target != self.fresh {
            host.remove_empty_dir(&self.target).await?;
        }
        Ok(())
    }

    async fn back(&self, host: &dyn Actuator, had_data: bool) -> Result<(), StepError> {
        let (live, fresh) = (Self::there(host, &self.live).await?, Self::there(host, &self.fresh).await?);
        let aside = Self::there(host, &self.aside).await?;
        // Restored data is at `live` only where the old data is aside, or where there was none.
        if live && !fresh && (aside || !had_data) {
            if self.target != self.fresh && !Self::there(host, &self.target).await? {
                host.make_dir(&self.target, 0o700).await?;
            }
            host.rename(&self.live, &self.fresh).await?;
        }
        if aside && !Self::there(host, &self.live).await? {
            host.rename(&self.aside, &self.live).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Action for Swap {
    fn name(&self) -> &'static str {
        SWAP_ACTION
    }

    fn describe(&self) -> String {
        format!(
            "rename {} to {}, and {} to {}",
            self.live.display(),
            self.aside.display(),
            self.fresh.display(),
            self.live.display()
        )
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        let had_data = Self::there(host, &self.live).await? || Self::there(host, &self.aside).await?;
        let before = Before { swap: self.clone(), had_data };
        serde_json::to_value(before).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        self.forth(cx.host).await
    }
}

/// Ends what uses the restored data, and brings the old data back.
pub struct UndoSwap;

#[async_trait]
impl UndoAction for UndoSwap {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let Before { swap, had_data } =
            serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))?;
        // An older step starts it again.
        host.control_service(KUBELET, ServiceVerb::Stop).await?;
        stop_pods(host, &swap.cri_socket).await?;
        swap.back(host, had_data).await
    }

    fn by_hand(&self, data: &Value) -> Vec<String> {
        let path = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        let (live, fresh, aside) = (path("live"), path("fresh"), path("aside"));
        vec![
            "systemctl stop kubelet".into(),
            "crictl stop $(crictl ps -q --name '^(etcd|kube-apiserver|kube-controller-manager|kube-scheduler)$')".into(),
            format!("[ ! -e {aside} ] || mv -nT {live} {fresh}"),
            format!("mv -nT {aside} {live}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, Fault, Node, World};

    use super::*;

    fn swap(mounted: bool) -> Swap {
        let mut restore = Restore { id: "1".into(), ..Restore::default() };
        restore.node.data_dir = "/var/lib/etcd".into();
        restore.node.mounted = mounted;
        restore.swap()
    }

    /// Old data with `old` in it, restored data with `new` in it.
    fn world(swap: &Swap) -> World {
        let mut world = World::ready();
        for dir in ["/var/lib/etcd".into(), swap.live.clone(), swap.target.clone(), swap.fresh.clone()] {
            world.paths.insert(dir, Node::Dir(0o700));
        }
        world.paths.insert(swap.live.join("old"), Node::File(vec![], 0o600));
        world.paths.insert(swap.fresh.join("new"), Node::File(vec![], 0o600));
        world
    }

    async fn undo(host: &FakeHost, swap: &Swap) {
        let data = serde_json::to_value(Before { swap: swap.clone(), had_data: true }).unwrap();
        UndoSwap.undo(host, &data).await.unwrap();
    }

    #[tokio::test]
    async fn it_can_be_gone_on_with_and_taken_back_from_anywhere() {
        for mounted in [false, true] {
            let swap = swap(mounted);
            for changes in 0.. {
                let host = FakeHost::new(world(&swap));
                host.inject(changes, Fault::Refuse);
                let cut_off = swap.forth(&host).await.is_err();
                let halfway = host.world();
                host.inject(usize::MAX, Fault::Refuse);
                undo(&host, &swap).await;
                assert_eq!(host.world().paths, world(&swap).paths, "back from {changes}");
                undo(&host, &swap).await;
                assert_eq!(host.world().paths, world(&swap).paths, "twice back from {changes}");

                let host = FakeHost::new(halfway);
                swap.forth(&host).await.unwrap();
                let done = host.world().paths;
                assert!(
                    done.contains_key(&swap.live.join("new")) && done.contains_key(&swap.aside.join("old"))
                );
                assert!(!done.contains_key(&swap.target));
                if !cut_off {
                    break;
                }
            }
        }
    }

    #[tokio::test]
    async fn data_is_never_lost_where_the_old_data_is_gone() {
        let swap = swap(false);
        let host = FakeHost::new(world(&swap));
        swap.forth(&host).await.unwrap();
        host.edit(|world| world.paths.retain(|path, _| !path.starts_with(&swap.aside)));
        let before = host.world().paths;
        undo(&host, &swap).await;
        assert_eq!(host.world().paths, before);
    }
}
