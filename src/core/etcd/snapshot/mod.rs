//! Snapshots of etcd, read and written as etcd 3.5, 3.6 and 3.7 do, without any program of etcd.
//!
//! - [`verify`] finds out everything that a file says about itself, and whether it is what etcd wrote.
//! - [`restore`] makes a data directory of a verified snapshot.
//! - [`values`] gives the values of single keys.
//! - [`raft_state`] tells how far a member that does not run any more had got.
//! - [`TrailerHash`] hashes a snapshot while it comes in.
//!
//! A file is never trusted: whatever is in it leads to a report or to an error that names the page, in bounded time and
//! memory. Formats and decisions: `docs/design/etcd.md`.

mod bolt;
mod contents;
mod error;
mod keys;
mod proto;
mod raft_log;
mod record;
mod restore;
mod trailer;
mod values;
mod verify;

#[cfg(test)]
mod tests;

pub use bolt::Part;
pub use contents::{Alarm, AlarmKind, Contents, Member};
pub use error::{Damage, Fault, SnapshotError};
pub use keys::{HashKv, Records};
pub use raft_log::{LogError, RaftState, raft_state};
#[doc(hidden)]
pub use record::check_record;
pub use restore::{
    DEFAULT_BUMP, DEFAULT_TOKEN, History, MembershipError, NewMember, RestoreError, RestoreOptions, Restored,
    check_members, restore, restore_file,
};
pub use trailer::TrailerHash;
pub use values::values;
pub use verify::{FileHash, Report, Verified, VerifyOptions, newest, verify};
