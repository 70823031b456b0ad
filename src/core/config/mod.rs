//! Configuration: kubeadm's kinds, read from files and flags, checked, and resolved to what the phases work from.

pub mod cidr;
mod component;
pub mod document;
pub mod duration;
pub mod error;
pub mod migrate;
pub mod print;
pub mod resolve;
pub mod schema;
pub mod secret;
pub mod types;
pub mod validate;

pub use cidr::Cidr;
pub use document::{Documents, Source};
pub use duration::GoDuration;
pub use error::{ConfigError, ConfigErrors, Warning};
pub use resolve::{
    Completed, FieldDifference, HostFacts, Image, InitFlags, JoinFlags, NodePaths, ResetFlags, ResolvedInit,
    ResolvedJoin, StoredConfigError, StoredSettings, UpgradedNode, contradictions, joined, resolve_init,
    resolve_join, resolve_reset, resolve_token, resolve_upgrade, stored_version, upgraded,
    validate_documents,
};
pub use secret::Secret;
