//! Restoring: a snapshot becomes the data directory of a member of a new cluster.
//!
//! The new cluster has new ids, so that members of the old one cannot meddle, and begins with nothing but its members in
//! its log. What etcd needs to start is the database, a write-ahead log that says how the cluster came to be, and,
//! up to 3.6, a snapshot file with the same in the old format.

mod database;
mod membership;
mod snap;
mod wal;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::error::SnapshotError;
use super::verify::Verified;
use membership::NewCluster;
pub use membership::{MembershipError, NewMember};

/// By how much the revision is raised: more than a week of 1500 writes a second.
pub const DEFAULT_BUMP: u64 = 1_000_000_000;

/// The token that etcd and kubeadm use where nobody names another.
pub const DEFAULT_TOKEN: &str = "etcd-cluster";

/// What becomes of revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// The revision is raised by this much, and everything before it is compacted, as by etcdutl's `--bump-revision` and
    /// `--mark-compacted`. Clients of the old cluster that watched learn that they have to start anew.
    Bump(u64),
    /// The revision goes on where the snapshot ended. Watchers of the old cluster, such as everything in Kubernetes, miss
    /// changes without knowing it.
    Keep,
}

/// How to restore. All members of the new cluster are restored from the same file, with the same members and token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The member that the directory is for; one of `members`.
    pub name: String,
    /// All members of the new cluster.
    pub members: Vec<NewMember>,
    /// Makes ids differ from those of other clusters at the same addresses.
    pub token: String,
    pub history: History,
    /// Alarms are dropped unless this is set: a new cluster judges anew whether there is room.
    pub keep_alarms: bool,
}

impl RestoreOptions {
    /// For the member `name`, with the history that Kubernetes needs.
    pub fn new(name: impl Into<String>, members: Vec<NewMember>) -> Self {
        let (name, token) = (name.into(), DEFAULT_TOKEN.to_owned());
        Self { name, members, token, history: History::Bump(DEFAULT_BUMP), keep_alarms: false }
    }
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub member_id: u64,
    pub cluster_id: u64,
    /// The revision that etcd begins with.
    pub revision: i64,
    /// The revision up to which history is gone; -1: none of it.
    pub compact_revision: i64,
    /// Alarms that were left out.
    pub dropped_alarms: usize,
    /// Leases that were kept. Their time starts anew.
    pub leases: u64,
}

/// Why nothing was restored. What had been written is removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error("{} is there already", path.display())]
    Exists { path: PathBuf },
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("revision {revision} cannot be raised by {by}")]
    Revision { revision: i64, by: u64 },
    /// Buckets that are small in every etcd, and are written anew as a whole.
    #[error("bucket {bucket} has more than {limit} bytes")]
    Bucket { bucket: String, limit: usize },
}

impl RestoreError {
    fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

type Result<T> = std::result::Result<T, RestoreError>;

/// Whether these can be the members of a new cluster, with `name` among them.
///
/// # Errors
/// Why not.
pub fn check_members(members: &[NewMember], name: &str) -> std::result::Result<(), MembershipError> {
    NewCluster::new(members, name, DEFAULT_TOKEN).map(drop)
}

/// Makes the data directory `target`, which must not exist; its parent must.
///
/// When this returns, everything is on the disk. When it fails, or was cut off, nothing but `target` was touched. The
/// caller restores beside the place where etcd looks, and renames. Blocks for as long as copying the database takes.
pub fn restore(snapshot: &Verified, target: &Path, options: &RestoreOptions) -> Result<Restored> {
    let cluster = NewCluster::new(&options.members, &options.name, &options.token)?;
    make_dir(target)?;
    let result = fill(snapshot, target, options, &cluster);
    if result.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_dir_all(target);
    }
    result
}

fn fill(
    snapshot: &Verified,
    target: &Path,
    options: &RestoreOptions,
    cluster: &NewCluster,
) -> Result<Restored> {
    let member = target.join("member");
    let (snap, wal) = (member.join("snap"), member.join("wal"));
    for dir in [&member, &snap, &wal] {
        make_dir(dir)?;
    }
    let restored = database::write(snapshot, &snap.join("db"), options, cluster)?;
    wal::write(&wal, cluster)?;
    snap::write(&snap, cluster)?;
    for dir in [&wal, &snap, &member, target] {
        sync_dir(dir)?;
    }
    match target.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new("."))?,
        Some(parent) => sync_dir(parent)?,
        None => {}
    }
    Ok(restored)
}

fn make_dir(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => RestoreError::Exists { path: path.to_owned() },
        _ => RestoreError::io("make the directory", path)(source),
    })
}

fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(RestoreError::io("sync", path))
}

/// Creates a file that nobody else may read.
fn create(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).map_err(RestoreError::io("create", path))
}
