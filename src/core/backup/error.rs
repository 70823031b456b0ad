//! What can go wrong with backups.

use std::{io, path::PathBuf};

use crate::etcd::{
    EtcdError,
    snapshot::{LogError, RestoreError, SnapshotError},
};

/// Why a backup could not be made, read or trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The verb.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Where etcd is cannot be found out.
    #[error("{0}")]
    Source(String),
    /// etcd said no.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The member must not be backed up from.
    #[error("the etcd member at {endpoint} is not fit for a backup: {why}")]
    Member {
        /// Its client URL.
        endpoint: String,
        /// Why.
        why: String,
    },
    /// The snapshot is not what etcd sent.
    #[error("the snapshot was cut off or damaged on its way: {0}")]
    Transfer(String),
    /// The snapshot cannot be trusted.
    #[error("the snapshot does not verify: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The snapshot differs from the member that it came from.
    #[error(
        "the snapshot has the hash {ours:08x} at revision {revision}, the member has {theirs:08x}: one of them is damaged"
    )]
    HashDiffers {
        /// Of the file.
        ours: u32,
        /// Of the member.
        theirs: u32,
        /// Of both.
        revision: i64,
    },
    /// There is no room.
    #[error("{} has {free} bytes free, and {needed} are needed", path.display())]
    Room {
        /// The directory.
        path: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// Another backup is at work on the same directory.
    #[error("another backup is at work in {}", .0.display())]
    Busy(PathBuf),
    /// The file is no backup of rkadm's.
    #[error("{} is no backup: {why}", path.display())]
    NotABackup {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Something in the archive is not what its manifest says.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What.
        why: String,
    },
    /// No data directory can be made of the snapshot.
    #[error("the snapshot cannot be restored: {0}")]
    Restore(#[from] RestoreError),
    /// The log of a member cannot be read.
    #[error("the log of etcd cannot be read: {0}")]
    Log(#[from] LogError),
    /// Data of a member that was cut off.
    #[error(
        "the database in {} lacks {missing} entries of its log that count: etcd was cut off before it had written them",
        path.display()
    )]
    Incomplete {
        /// The data directory.
        path: PathBuf,
        /// How many.
        missing: u64,
    },
    /// What was made is not what was to be made.
    #[error("the restored data in {} is not what is in the backup: {why}", path.display())]
    Differs {
        /// The directory.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// No backup there.
    #[error("{} holds no backup", .0.display())]
    None(PathBuf),
}

impl BackupError {
    /// A file operation on a path.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// Whether a file system had no room left.
    pub fn is_disk_full(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } | Self::Restore(RestoreError::Io { source, .. }) => source,
            Self::Room { .. } => return true,
            _ => return false,
        };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// What the operator can do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space, or choose another directory with --dir"
            }
            Self::Room { .. } => {
                "free some space, choose another directory with --dir, or let fewer backups be kept"
            }
            Self::Source(_) => {
                "run this on a control plane as root, or name etcd with --etcd-endpoints, --etcd-cacert, --etcd-cert and --etcd-key"
            }
            Self::Etcd(EtcdError::Unreachable { .. } | EtcdError::Timeout { .. }) => {
                "check that etcd runs: `crictl ps --name etcd`, and its logs"
            }
            Self::Member { .. } => "back up from another control plane until this member is well again",
            Self::HashDiffers { .. } => {
                "run it again; when it happens again, compare the members with `etcdctl endpoint hashkv --cluster` and back up from another one"
            }
            Self::Incomplete { .. } => {
                "let the kubelet start etcd once more: it writes them although there is no quorum, and then run this again. To go on without them: --force"
            }
            Self::Busy(_) => "wait until it has ended",
            Self::Damaged { .. } | Self::Snapshot(_) => {
                "use another backup: `rkadm backup list` shows those that are there"
            }
            Self::NotABackup { .. } => {
                "a plain snapshot of etcdctl is checked by `rkadm backup verify` as well, when its name ends with .db"
            }
            _ => return vec![],
        };
        vec![hint.to_owned()]
    }
}
