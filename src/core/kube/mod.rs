//! The Kubernetes API: the objects that a cluster starts with.

pub mod objects;
