//! etcd: its API over mTLS, and its files on the disk.

pub mod client;
mod error;
mod proto;
pub mod snapshot;
pub mod types;

pub use client::EtcdClient;
pub use error::EtcdError;
pub use types::{EtcdAccess, Member, MemberStatus, quorum};
