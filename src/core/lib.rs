//! The domain of rkadm: what a kubeadm-compatible cluster is made of, and the engine that changes a host step by step.
//!
//! Nothing here prints, reads argv or reads the environment.

pub mod archive;
pub mod backup;
pub mod config;
pub mod coredns;
pub mod cri;
pub mod discovery;
pub mod drill;
pub mod engine;
pub mod etcd;
pub mod fleet;
pub mod health;
pub mod helm;
pub mod host;
pub mod kube;
pub mod kubeconfig;
pub mod kubelet;
pub mod manifest;
pub mod netfilter;
pub mod pki;
pub mod preflight;
pub mod text;
pub mod version;
pub mod yaml;

#[cfg(test)]
mod seeds_tests;
