//! `restore etcd`: the data of this control plane's etcd becomes that of a backup.
//!
//! All that takes time and can fail is done beside the data in use, before anything is stopped. What was in use is kept.

mod backup;
mod check;
mod cluster;
mod node;
mod pods;
mod repair;
mod report;
mod room;
mod start;
mod stop;
mod survey;
mod survivor;
mod swap;
mod together;
mod trial;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rkadm_core::{
    backup::trial::{Peer, Trial},
    engine::{Phase, PhaseMeta, Workflow},
    fleet::{Gate, Open},
    kube::storage::Objects,
};
use serde::{Deserialize, Serialize};

pub use cluster::{
    CLUSTER_WORKFLOW, ClusterRestore, REMOVED_OUTPUT, RemoveNodes, metas as cluster_metas, own_static_pod,
    workflow as cluster_workflow,
};
pub use node::NodeEtcd;
pub use pods::{STOP_ACTION, stop_pods_of};
pub use repair::{CLEAR_ACTION, MEND_ACTION};
pub use report::REPORT_OUTPUT;
pub use survey::{Doubt, Survey, fits, survey, survey_one_of_several};
pub use swap::{SWAP_ACTION, Swap, UndoSwap};
pub use together::{Point, TOGETHER_ACTION};
pub use trial::{TRIAL_ACTION, UndoTrial};

/// The name of the operation.
pub const WORKFLOW: &str = "restore etcd";

/// The backup, as far as it was read and found whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Whether it is a plain snapshot, with nothing that says where it is from.
    pub plain: bool,
    /// Whether nothing tells that its bytes are those that were written: the copy of a member's own file has no hash at its end.
    #[serde(default)]
    pub unhashed: bool,
    /// Files with private keys that open it.
    #[serde(default)]
    pub identities: Vec<PathBuf>,
    /// Of the file.
    pub sha256: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of the snapshot in it.
    pub size: u64,
    /// When it was taken; of a plain snapshot, when the file was written.
    pub created_at: Option<Timestamp>,
    /// The machine that it was taken on.
    pub node: Option<String>,
    /// The revision that it has.
    pub revision: i64,
    /// Keys at that revision.
    pub keys: u64,
    /// Objects at that revision, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Objects>,
    /// Version of the storage format; etcd 3.5 writes none.
    pub storage_version: Option<String>,
    /// SHA-256 of public keys of the authorities and of the service account.
    pub fingerprints: BTreeMap<String, String>,
    /// How objects in it are encrypted, where they are.
    pub encryption: Option<Encryption>,
}

/// The file that told the API server of a backup how to encrypt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// Where it was.
    pub path: String,
    /// Its SHA-256.
    pub sha256: String,
}

/// What is to be restored, and how. It is kept with the operation, so that a resume goes on with the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Ends the names of what is made beside the data directory.
    pub id: String,
    /// The backup.
    pub source: Source,
    /// The etcd of this machine, as it was when the operation began.
    pub node: NodeEtcd,
    /// Go on where keys differ, or where the members of the cluster cannot be known.
    pub force: bool,
    /// By how much the revision is raised, so that nobody takes old data for new; 0: it is not.
    pub bump: u64,
    /// The runtime's socket URL.
    pub cri_socket: String,
    /// There is no backup: what this machine's own member has left becomes a cluster of its own.
    #[serde(default)]
    pub survivor: bool,
    /// Other members of the new cluster, which are restored at the same time.
    #[serde(default)]
    pub others: Vec<Peer>,
    /// What the new cluster's ids are made of besides.
    #[serde(default)]
    pub token: String,
    /// This machine had no etcd before.
    #[serde(default)]
    pub anew: bool,
}

impl Restore {
    /// Whether a finished one can be taken back. From a survivor's data it would be to a cluster that does not work; and one of
    /// several machines alone cannot go back.
    pub fn is_reversible(&self) -> bool {
        !self.survivor && self.others.is_empty()
    }

    /// Where the new data is made.
    pub fn target(&self) -> PathBuf {
        self.named("rkadm")
    }

    /// Where the old data goes.
    pub fn aside(&self) -> PathBuf {
        self.named("before")
    }

    /// What changes places: the data directory, or, where that is a file system of its own, what is in it.
    pub fn swap(&self) -> Swap {
        let part = self.node.mounted.then(|| "member".into());
        Swap {
            live: self.node.data_dir.clone(),
            fresh: self.target(),
            aside: self.aside(),
            again: self.named("again"),
            part,
            cri_socket: self.cri_socket.clone(),
            name: self.node.name.clone(),
            peer_urls: self.node.peer_urls.clone(),
            began_at: self.trial().new_revision(),
            as_it_was: self.survivor || !self.others.is_empty(),
            anew: self.anew,
        }
    }

    /// How the new data is made.
    pub fn trial(&self) -> Trial {
        Trial {
            file: self.source.file.clone(),
            plain: self.source.plain,
            identities: self.source.identities.clone(),
            sha256: self.source.sha256.clone(),
            target: self.target(),
            like: self.node.data_dir.clone(),
            name: self.node.name.clone(),
            peer_urls: self.node.peer_urls.clone(),
            revision: self.source.revision,
            bump: self.bump,
            others: self.others.clone(),
            token: self.token.clone(),
            survivor: self.survivor,
            incomplete: self.force,
        }
    }

    fn named(&self, what: &str) -> PathBuf {
        if self.node.mounted {
            return self.node.data_dir.join(format!("{what}-{}", self.id));
        }
        let name = self.node.data_dir.file_name().unwrap_or_default().to_string_lossy();
        self.node.data_dir.with_file_name(format!("{name}.{what}-{}", self.id))
    }

    /// A manifest while its pod must not run.
    fn put_by(&self, file_name: &str) -> PathBuf {
        crate::init::Cluster::kubeconfig(&format!("{file_name}.rkadm-{}", self.id))
    }
}

/// The phases, in order.
pub fn workflow(restore: &Arc<Restore>) -> Workflow {
    let open: Arc<dyn Gate> = Arc::new(Open);
    workflow_together(restore, &open)
}

/// The same, where `gate` waits for the other machines that are restored at the same time.
pub fn workflow_together(restore: &Arc<Restore>, gate: &Arc<dyn Gate>) -> Workflow {
    let together = |point| -> Option<Box<dyn Phase>> {
        let others = restore.others.len();
        (others > 0)
            .then(|| Box::new(together::Together { point, others, gate: Arc::clone(gate) }) as Box<dyn Phase>)
    };
    let trial = Box::new(trial::MakeTrial(Arc::clone(restore)));
    let stop = Box::new(stop::Stop(Arc::clone(restore)));
    // What a member has left is complete when it has ended. Without a quorum nobody is served meanwhile.
    let (first, second): (Box<dyn Phase>, Box<dyn Phase>) =
        if restore.survivor { (stop, trial) } else { (trial, stop) };
    let mut phases: Vec<Box<dyn Phase>> = vec![Box::new(check::Check(Arc::clone(restore))), first];
    phases.extend(together(Point::Restored));
    phases.push(second);
    phases.push(Box::new(swap::SwapData(Arc::clone(restore))));
    phases.extend(together(Point::Replaced));
    phases.push(Box::new(start::Start(Arc::clone(restore))));
    phases.extend(together(Point::Started));
    phases.push(Box::new(repair::Repair(Arc::clone(restore))));
    phases
        .push(Box::new(report::Report { restore: Arc::clone(restore), reversible: restore.is_reversible() }));
    Workflow { name: WORKFLOW.into(), phases }
}

/// The declarations of the phases, in order: they do not depend on the request.
pub fn metas() -> Vec<PhaseMeta> {
    workflow(&Arc::default()).metas()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(mounted: bool) -> Restore {
        let node = NodeEtcd { data_dir: "/var/lib/etcd".into(), mounted, ..NodeEtcd::default() };
        Restore { id: "1".into(), node, ..Restore::default() }
    }

    #[test]
    fn the_new_data_is_beside_the_old_or_within_its_file_system() {
        let paths = |swap: &Swap| {
            [&swap.live, &swap.fresh, &swap.aside].map(|dir| swap.at(dir).display().to_string())
        };
        assert_eq!(
            paths(&restore(false).swap()),
            ["/var/lib/etcd", "/var/lib/etcd.rkadm-1", "/var/lib/etcd.before-1"]
        );
        assert_eq!(
            paths(&restore(true).swap()),
            ["/var/lib/etcd/member", "/var/lib/etcd/rkadm-1/member", "/var/lib/etcd/before-1/member"]
        );
    }
}
