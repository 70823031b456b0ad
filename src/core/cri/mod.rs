//! The container runtime of this machine, over CRI v1.
//!
//! Owns the gRPC calls and their errors. Must not know which images or pods a cluster needs.

mod client;
mod error;
mod proto;
mod types;

pub use client::{CriClient, DEFAULT_PULL_TIMEOUT};
pub use error::CriError;
pub use types::{
    CgroupDriver, Condition, Container, ContainerFilter, ContainerState, ContainerStatus, Image,
    POD_UID_LABEL, Sandbox, SandboxFilter, Version, trouble,
};

#[cfg(test)]
mod tests;
