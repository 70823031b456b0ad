//! etcd: its API over mTLS.

pub mod client;
mod error;
mod proto;
pub mod types;

pub use client::EtcdClient;
pub use error::EtcdError;
pub use types::{EtcdAccess, Member, MemberStatus, quorum};
