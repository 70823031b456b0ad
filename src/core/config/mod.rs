//! Configuration: kubeadm's kinds, read from files and flags, checked, and resolved to what the phases work from.

pub mod duration;
pub mod secret;
pub mod types;

pub use duration::GoDuration;
pub use secret::Secret;
