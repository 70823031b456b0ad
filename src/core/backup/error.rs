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
    /// There is no room to unpack a backup.
    #[error("{} has {free} bytes free, and {needed} are needed to unpack the snapshot", path.display())]
    Unpacked {
        /// The directory.
        path: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// A signal asked to stop.
    #[error("stopped by {0}")]
    Stopped(&'static str),
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
    /// Nothing can be encrypted to it.
    #[error("{what} is no recipient: {why}")]
    Recipient {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
    /// Nothing can be decrypted with it.
    #[error("{} is no identity: {why}", path.display())]
    Identity {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is encrypted, and no key was given.
    #[error("{} is encrypted, and no identity was given", .0.display())]
    Sealed(PathBuf),
    /// It is encrypted to others.
    #[error("{} is encrypted to other keys than those of the identities that were given", .0.display())]
    WrongIdentity(PathBuf),
    /// It is encrypted, and what can be said of it without a key is not there.
    #[error("{} is encrypted, and nothing beside it says what it is: {why}", path.display())]
    Unlabelled {
        /// The archive.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A bucket said no.
    #[error("cannot {what} {url}: {why}")]
    Bucket {
        /// The verb.
        what: &'static str,
        /// Which.
        url: String,
        /// What the server said.
        why: String,
        /// It is a matter of rights.
        denied: bool,
    },
    /// A file that is not there.
    #[error("{} does not exist", .0.display())]
    Absent(PathBuf),
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
            Self::Room { .. } | Self::Unpacked { .. } => return true,
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
            Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                "whoever read it went away: what it got of the archive is not complete and must not be kept"
            }
            Self::Room { .. } => {
                "free some space, choose another directory with --dir, or let fewer backups be kept"
            }
            Self::Unpacked { .. } => {
                "free some space there; `backup verify` and `backup drill` take another directory with --scratch"
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
            Self::Bucket { denied: true, .. } => {
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; they need s3:ListBucket, GetObject, PutObject, DeleteObject and AbortMultipartUpload below the prefix"
            }
            Self::Bucket { .. } => {
                "check AWS_ENDPOINT_URL, AWS_REGION and the name of the bucket; http:// needs AWS_ALLOW_HTTP=true, an authority of your own AWS_CA_BUNDLE=FILE"
            }
            Self::Recipient { .. } => {
                "a recipient is what `age-keygen -y` prints (age1…), or a public key of SSH; `age-keygen` makes a pair, on another machine"
            }
            Self::Identity { .. } => {
                "--identity takes the file that `age-keygen` or `ssh-keygen` wrote for the private key"
            }
            Self::Sealed(_) | Self::WrongIdentity(_) => {
                "name the private key's file with --identity; it is one of those that --encrypt-to or --recipients-file named when the backup was made"
            }
            Self::Unlabelled { .. } => {
                "an identity opens it all the same: `rkadm backup verify FILE --identity KEY`"
            }
            Self::NotABackup { .. } => {
                "a plain snapshot of etcdctl is checked by `rkadm backup verify` as well, when its name ends with .db"
            }
            _ => return vec![],
        };
        vec![hint.to_owned()]
    }
}
