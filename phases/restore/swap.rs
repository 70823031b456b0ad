//! `swap`: the old data goes aside, the restored data takes its place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use rkadm_core::{
    backup::trial::Rebase,
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swap {
    /// The data directory that etcd uses.
    pub live: PathBuf,
    /// That with the restored data.
    pub fresh: PathBuf,
    /// Where the old data goes.
    pub aside: PathBuf,
    /// Where the undo makes the old data newer than all that was served meanwhile.
    pub again: PathBuf,
    /// What of them changes places; all where there is nothing here.
    pub part: Option<PathBuf>,
    /// The runtime's socket URL.
    pub cri_socket: String,
    /// Name of the member.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// The revision that the restored data began with.
    pub began_at: i64,
    /// The undo brings the old data back as it was: it is of several members, and no data of one is like it.
    #[serde(default)]
    pub as_it_was: bool,
    /// There was no old data, so what is in place is restored data.
    #[serde(default)]
    pub anew: bool,
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
    /// What changes places.
    pub(super) fn at(&self, dir: &Path) -> PathBuf {
        self.part.as_ref().map_or_else(|| dir.to_owned(), |part| dir.join(part))
    }

    async fn there(&self, host: &dyn Actuator, dir: &Path) -> Result<bool, HostError> {
        Ok(host.stat(&self.at(dir)).await?.is_some())
    }

    async fn rename(&self, host: &dyn Actuator, from: &Path, to: &Path) -> Result<(), HostError> {
        if self.part.is_some() && host.stat(to).await?.is_none() {
            host.make_dir(to, 0o700).await?;
        }
        host.rename(&self.at(from), &self.at(to)).await
    }

    /// What is a directory around nothing.
    async fn tidy(&self, host: &dyn Actuator, dirs: &[&PathBuf]) -> Result<(), HostError> {
        for dir in dirs {
            if self.part.is_some() && host.stat(dir).await?.is_some() {
                host.remove_empty_dir(dir).await?;
            }
        }
        Ok(())
    }

    async fn forth(&self, host: &dyn Actuator) -> Result<(), StepError> {
        if self.there(host, &self.fresh).await? {
            let live = self.there(host, &self.live).await?;
            if live && (self.anew || self.there(host, &self.aside).await?) {
                // The old data is aside, or there was none, so what is in place is the restored data, and this is the same once more.
                host.remove_tree(&self.at(&self.fresh)).await?;
                return Ok(self.tidy(host, &[&self.fresh]).await?);
            }
            if live {
                self.rename(host, &self.live, &self.aside).await?;
            }
            self.rename(host, &self.fresh, &self.live).await?;
        } else if !self.there(host, &self.live).await? {
            return Err(StepError::Missing(self.at(&self.fresh)));
        }
        Ok(self.tidy(host, &[&self.fresh]).await?)
    }

    async fn back(&self, host: &dyn Actuator, had_data: bool) -> Result<(), StepError> {
        let (live, fresh) = (self.there(host, &self.live).await?, self.there(host, &self.fresh).await?);
        let aside = self.there(host, &self.aside).await?;
        // Restored data is at `live` only where the old data is aside, or where there was none.
        if live && !fresh && (aside || !had_data) {
            if aside && !self.as_it_was {
                host.rebase_etcd(&self.rebase()).await?;
            }
            self.rename(host, &self.live, &self.fresh).await?;
        }
        if !self.there(host, &self.live).await? {
            // Made before the restored data left its place, so it is whole.
            if self.there(host, &self.again).await? {
                self.rename(host, &self.again, &self.live).await?;
            } else if aside {
                self.rename(host, &self.aside, &self.live).await?;
            }
        }
        // Its like is in place.
        if self.there(host, &self.aside).await? {
            host.remove_tree(&self.at(&self.aside)).await?;
        }
        Ok(self.tidy(host, &[&self.aside, &self.again]).await?)
    }

    fn rebase(&self) -> Rebase {
        Rebase {
            old: self.aside.clone(),
            served: self.live.clone(),
            began_at: self.began_at,
            target: self.again.clone(),
            name: self.name.clone(),
            peer_urls: self.peer_urls.clone(),
        }
    }
}

#[async_trait]
impl Action for Swap {
    fn name(&self) -> &'static str {
        SWAP_ACTION
    }

    fn describe(&self) -> String {
        if self.anew {
            return format!("rename {} to {}", self.at(&self.fresh).display(), self.at(&self.live).display());
        }
        format!(
            "rename {} to {}, and {} to {}",
            self.at(&self.live).display(),
            self.at(&self.aside).display(),
            self.at(&self.fresh).display(),
            self.at(&self.live).display()
        )
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        let had_data = self.there(host, &self.live).await? || self.there(host, &self.aside).await?;
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
        let swap: Swap = serde_json::from_value(data.clone()).unwrap_or_default();
        let path = |dir: &Path| swap.at(dir).display().to_string();
        let (live, fresh, aside) = (path(&swap.live), path(&swap.fresh), path(&swap.aside));
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
        for dir in [&swap.live, &swap.fresh] {
            world.paths.insert(dir.clone(), Node::Dir(0o700));
            world.paths.insert(dir.join("member"), Node::Dir(0o700));
        }
        world.paths.insert(swap.live.join("member/old"), Node::File(vec![], 0o600));
        world.paths.insert(swap.fresh.join("member/new"), Node::File(vec![], 0o600));
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
                assert!(done.contains_key(&swap.live.join("member/new")));
                assert!(done.contains_key(&swap.aside.join("member/old")));
                assert!(!done.contains_key(&swap.fresh));
                if !cut_off {
                    break;
                }
            }
        }
    }

    /// Cut off at any change, and begun again.
    #[tokio::test]
    async fn data_that_was_served_is_followed_by_newer_old_data() {
        for mounted in [false, true] {
            let swap = swap(mounted);
            for changes in 0.. {
                let host = FakeHost::new(world(&swap));
                swap.forth(&host).await.unwrap();
                let served = swap.live.join("member/served");
                host.edit(|world| drop(world.paths.insert(served, Node::File(vec![], 0o600))));
                host.inject(changes, Fault::Refuse);
                let cut_off = swap.back(&host, true).await.is_err();
                host.inject(usize::MAX, Fault::Refuse);
                undo(&host, &swap).await;
                let mut expected = world(&swap).paths;
                expected.insert(swap.fresh.join("member/served"), Node::File(vec![], 0o600));
                assert_eq!(host.world().paths, expected, "cut off at {changes}, mounted: {mounted}");
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
