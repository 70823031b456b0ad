//! Restoring: a snapshot becomes the data directory of a member of a new cluster.
//!
//! The new cluster has new ids, so that members of the old one cannot meddle, and begins with nothing but its members in
//! its log. What etcd needs to start is the database, a write-ahead log that says how the cluster came to be, and,
//! up to 3.6, a snapshot file with the same in the old format.

mod copy;
mod database;
mod membership;
mod snap;
mod wal;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use super::bolt::Db;
use super::error::SnapshotError;
use super::keys::MAX_SEEN;
use super::verify::{Report, Verified, VerifyOptions, verify_open};
use copy::Copy;
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
    let dirs = Dirs::make(target)?;
    dirs.or_nothing(|| {
        let copy = Copy::of(&snapshot.db, &dirs.database())?;
        copy.run()?;
        dirs.fill(snapshot, copy, options, &cluster)
    })
}

/// Verifies a snapshot while it is copied to where it is restored, which takes as long as the slower of both. What becomes of it is
/// decided with what was found: `options` gives that, or refuses. Otherwise as [`verify`](super::verify) and [`restore`].
pub fn restore_file<E: From<RestoreError> + From<SnapshotError>>(
    path: &Path,
    target: &Path,
    options: impl FnOnce(&Report) -> std::result::Result<RestoreOptions, E>,
) -> std::result::Result<(Verified, Restored), E> {
    let db = Db::open(path)?;
    let dirs = Dirs::make(target)?;
    dirs.or_nothing(|| {
        let copy = Copy::of(&db, &dirs.database())?;
        let (verified, copied) = thread::scope(|scope| {
            // Also onto the disk, which would be waited for at the end otherwise.
            let copying =
                thread::Builder::new().spawn_scoped(scope, || copy.run().and_then(|()| copy.sync()));
            let verified = verify_open(db, VerifyOptions::default(), MAX_SEEN);
            let copied = match copying {
                Ok(copying) => copying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // No thread could be had: one after the other then.
                Err(_) => copy.run(),
            };
            (verified, copied)
        });
        // A file that is damaged says more than a copy that ends early.
        let verified = verified?;
        copied?;
        let options = options(&verified.report)?;
        let cluster = NewCluster::new(&options.members, &options.name, &options.token);
        let cluster = cluster.map_err(RestoreError::from)?;
        let restored = dirs.fill(&verified, copy, &options, &cluster)?;
        Ok((verified, restored))
    })
}

/// A data directory that is made.
struct Dirs {
    target: PathBuf,
}

impl Dirs {
    /// Empty ones.
    fn make(target: &Path) -> Result<Self> {
        make_dir(target)?;
        let dirs = Self { target: target.to_owned() };
        dirs.or_nothing(|| {
            [dirs.member(), dirs.snap(), dirs.wal()].iter().try_for_each(|dir| make_dir(dir))
        })?;
        Ok(dirs)
    }

    /// Nothing is left of it when the work fails.
    fn or_nothing<T, E>(
        &self,
        work: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let done = work();
        if done.is_err() {
            // The error that matters is the first one.
            let _ = fs::remove_dir_all(&self.target);
        }
        done
    }

    fn member(&self) -> PathBuf {
        self.target.join("member")
    }

    fn snap(&self) -> PathBuf {
        self.member().join("snap")
    }

    fn wal(&self) -> PathBuf {
        self.member().join("wal")
    }

    fn database(&self) -> PathBuf {
        self.snap().join("db")
    }

    fn fill(
        &self,
        snapshot: &Verified,
        copy: Copy,
        options: &RestoreOptions,
        cluster: &NewCluster,
    ) -> Result<Restored> {
        let restored = database::write(snapshot, copy, options, cluster)?;
        wal::write(&self.wal(), cluster)?;
        snap::write(&self.snap(), cluster)?;
        for dir in [&self.wal(), &self.snap(), &self.member(), &self.target] {
            sync_dir(dir)?;
        }
        match self.target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new("."))?,
            Some(parent) => sync_dir(parent)?,
            None => {}
        }
        Ok(restored)
    }
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
