//! The domain of rkadm: what a kubeadm-compatible cluster is made of, and the engine that changes a host step by step.
//!
//! Nothing here prints, reads argv or reads the environment.

pub mod kubeconfig;
pub mod pki;
pub mod yaml;
