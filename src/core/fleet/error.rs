//! What can go wrong on the way to other machines.

use thiserror::Error;

use crate::text::chain;

/// Why a machine could not be reached or told what to do.
#[derive(Debug, Error)]
pub enum FleetError {
    /// The machine of the operator has no ssh.
    #[error("ssh is not installed on this machine")]
    NoSsh,
    /// No connection came about.
    #[error("{machine} cannot be reached by ssh: {why}")]
    Unreachable {
        /// As it was named.
        machine: String,
        /// ssh's own words.
        why: String,
    },
    /// The connection is gone.
    #[error("the connection to {machine} was lost: {why}")]
    Lost {
        /// As it was named.
        machine: String,
        /// What is known.
        why: String,
    },
    /// A command could not be run there, or failed.
    #[error("{machine}: cannot {what}: {why}")]
    Failed {
        /// As it was named.
        machine: String,
        /// What was to be done.
        what: String,
        /// The last words of the command, or of the system.
        why: String,
    },
    /// A file of this machine cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
}

impl FleetError {
    /// What to do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoSsh => vec!["apt-get install openssh-client, or dnf install openssh-clients".into()],
            Self::Unreachable { machine, why } => {
                let known = why.contains("Host key verification failed") || why.contains("host key");
                let hint = if known {
                    format!(
                        "its key must be in known_hosts: `ssh {machine}` once by hand, and compare the fingerprint"
                    )
                } else {
                    format!(
                        "`ssh {machine} true` has to work without a question; names, users, keys and ports go into ~/.ssh/config"
                    )
                };
                vec![hint]
            }
            Self::Lost { .. } | Self::Failed { .. } | Self::Read { .. } => vec![],
        }
    }

    /// An error of the ssh crate, with what is behind it.
    pub(super) fn lost(machine: &str, error: &openssh::Error) -> Self {
        if matches!(error, openssh::Error::Remote(_)) {
            return Self::Failed { machine: machine.into(), what: "run a command".into(), why: chain(error) };
        }
        Self::Lost { machine: machine.into(), why: chain(error) }
    }
}
