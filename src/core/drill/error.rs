//! What can go wrong with a drill.

use std::{io, path::PathBuf};

use crate::backup::BackupError;

/// Why a drill did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// The backup itself.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What was started on the backup is not what was backed up, or cannot read it.
    #[error("the backup does not work: {0}")]
    Failed(String),
    /// Something other than the backup is to blame, or may be.
    #[error("the drill failed, which says nothing of the backup: {0}")]
    Inconclusive(String),
    /// There is no program to start.
    #[error("no {name} runs on this machine as its manifest says, to take the program from")]
    NoProgram {
        /// `etcd` or `kube-apiserver`.
        name: &'static str,
    },
    /// The backup lacks what an API server needs.
    #[error("an API server cannot be started on this backup: {0}")]
    NoApiServer(String),
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
    /// It cannot be kept apart from this machine.
    #[error("the drill could not be run apart from this machine: {0}")]
    Isolation(String),
    /// Somebody stopped it.
    #[error("the drill was stopped")]
    Stopped,
}

impl DrillError {
    /// A file operation on a path.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// Whether it says something of the backup, rather than of the drill.
    pub fn condemns(&self) -> bool {
        matches!(
            self,
            Self::Failed(_)
                | Self::Backup(
                    BackupError::Damaged { .. } | BackupError::Snapshot(_) | BackupError::NotABackup { .. }
                )
        )
    }

    /// What the operator can do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Backup(error) => return error.hints(),
            Self::Failed(_) => "use another backup, and make a new one: `rkadm backup etcd`",
            Self::Inconclusive(_) => {
                "try again with room, time, and an etcd (--etcd) that is not older than the backup; until then nobody knows whether it works"
            }
            Self::NoProgram { name: "etcd" } => {
                "run it on a control plane whose etcd runs, or name the program: --etcd PROGRAM"
            }
            Self::NoProgram { .. } => {
                "run it on a control plane whose API server runs, or name the program: --kube-apiserver PROGRAM"
            }
            Self::NoApiServer(_) => "without --apiserver, etcd alone is tried",
            Self::Isolation(_) => {
                "it needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, and unshare (util-linux) and ip (iproute2)"
            }
            _ => return vec![],
        };
        vec![hint.to_owned()]
    }
}
