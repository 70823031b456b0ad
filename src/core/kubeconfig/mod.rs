//! Kubeconfig files: the ones kubeadm writes, as data, and reading, building and checking any of them.
//!
//! No files are read or written here. Key material and tokens are wiped when dropped and hidden from `Debug`.

mod build;
mod check;
pub mod list;
mod secret;
mod types;

pub use build::{Credentials, build};
pub use check::{Expected, KubeconfigProblem, problems};
pub use secret::Secret;
pub use types::{Cluster, Context, Kubeconfig, KubeconfigError, NamedCluster, NamedContext, NamedUser, User};

/// Mode of kubeconfig files, as kubeadm sets it: they hold private keys.
pub const KUBECONFIG_MODE: u32 = 0o600;
