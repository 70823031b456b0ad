//! Why a machine could not answer or act.

use std::path::PathBuf;

use crate::{backup::BackupError, etcd::EtcdError, kube::KubeError};

/// Why the host could not answer or act.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file operation failed.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    File {
        /// The verb: `read`, `write`, …
        what: &'static str,
        /// The path as the operator knows it.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A command could not be started.
    #[error("cannot run `{command}`: {source}")]
    Spawn {
        /// The program and its arguments.
        command: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A command ran and failed.
    #[error("`{command}` ended with code {code}: {stderr}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// Its exit code.
        code: i32,
        /// The end of its standard error.
        stderr: String,
    },
    /// The API server could not be asked or said no.
    #[error(transparent)]
    Api(#[from] KubeError),
    /// The container runtime could not be asked or said no.
    #[error(transparent)]
    Cri(#[from] crate::cri::CriError),
    /// etcd could not be asked or said no.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// A backup or the data of etcd could not be read or made.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A content is only known once the plan is carried out (dry run).
    #[error("the content of {path} is known only after apply", path = .0.display())]
    KnownAfterApply(PathBuf),
    /// A fault that a test asked for.
    #[error("injected fault: {0}")]
    Injected(String),
}

impl HostError {
    /// Whether the file system had no room left.
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::File { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded),
            Self::Backup(error) => error.is_disk_full(),
            _ => false,
        }
    }

    /// Whether something uses what was to be unmounted.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy)
    }

    /// Whether a test asked for it: trying again would hide it.
    pub fn is_injected(&self) -> bool {
        matches!(self, Self::Injected(_))
    }

    /// Whether the file system refuses writes.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem)
    }
}
