//! Configuration: kubeadm's kinds, read from files and flags, checked, and resolved to what the phases work from.

pub mod document;
pub mod duration;
pub mod error;
pub mod schema;
pub mod secret;
pub mod types;

pub use document::{Documents, Source};
pub use duration::GoDuration;
pub use error::{ConfigError, ConfigErrors, Warning};
pub use secret::Secret;
