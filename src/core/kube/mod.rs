//! The Kubernetes API: the connection to it, and how its objects are named.
//!
//! Owns requests, their retries and their errors. Must not know what the objects mean.

pub mod census;
pub mod client;
pub mod discovery;
pub mod error;
pub mod objects;
pub mod reference;
pub mod storage;

mod list;
mod retry;
mod transport;

pub use client::{KubeClient, Options};
pub use error::KubeError;
pub use list::{Keep, Selector};
pub use reference::ObjectRef;

#[cfg(test)]
mod tests;
