//! What can be wrong with a snapshot, in words for who has to act on it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a snapshot cannot be read, or must not be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The operating system refused or failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `read`.
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    /// Neither whole pages, as databases are, nor 32 bytes more, as snapshots are.
    #[error(
        "{length} bytes is the length of no snapshot, which has whole pages, and 32 bytes more with the hash that \
         `etcdctl snapshot save` appends: it was cut off, or something was added"
    )]
    Length { length: u64 },
    /// The contents differ from what was saved.
    #[error(
        "the contents do not have the SHA-256 that the file ends with: it was changed, damaged or cut off after it was \
         saved{}", damage.as_ref().map(|damage| format!("; {damage}")).unwrap_or_default()
    )]
    Hash {
        /// The first damage that was found in the contents, if it can be seen there.
        damage: Option<Box<Damage>>,
    },
    #[error(
        "neither of the two meta pages is one of a bbolt database: this is no etcd snapshot, or its beginning is damaged"
    )]
    NoMeta,
    #[error("the database uses {needed} bytes, and the file has only {length}: it was cut off")]
    CutOff { needed: u64, length: u64 },
    #[error("the database says that it uses {pages} pages, more than rkadm reads")]
    TooManyPages { pages: u64 },
    #[error(transparent)]
    Damage(#[from] Damage),
    /// A database of another program, or of an etcd that never started.
    #[error("the database has no bucket {bucket}: it is not etcd's")]
    NotEtcd { bucket: &'static str },
    #[error("revision {revision} is not in the snapshot, which holds {first} to {last}")]
    Revision { revision: i64, first: i64, last: i64 },
}

impl SnapshotError {
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

/// Something in the file is not as etcd writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("page {page} (at byte {offset}) is damaged: {fault}")]
pub struct Damage {
    /// The number of the page, from 0.
    pub page: u64,
    /// The byte of the file at which the page begins.
    pub offset: u64,
    pub fault: Fault,
}

/// What is wrong with a page. Elements are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    #[error("it says that it is page {found}")]
    Id { found: u64 },
    #[error("its flags {flags:#x} are those of no page that may be here")]
    Kind { flags: u16 },
    #[error("its flags are those of a meta page, but the page is not valid")]
    Meta,
    #[error("it leads nowhere: it is a branch without elements")]
    EmptyBranch,
    #[error("element {index} lies beyond the end of the page")]
    Bounds { index: usize },
    #[error("element {index} does not begin where the one before it ends")]
    Gap { index: usize },
    #[error("element {index} has the unknown flags {flags:#x}")]
    ElementFlags { index: usize, flags: u64 },
    #[error("the key of element {index} is not greater than the one before it")]
    Order { index: usize },
    #[error("its keys are not all in the range that the pages above it name")]
    Range,
    #[error("element {index} leads to page {page}, and the last one is {last}")]
    Pointer { index: usize, page: u64, last: u64 },
    #[error("more than one page leads to it")]
    Reached,
    #[error("it says that {pages} more pages belong to it, beyond the end of the database")]
    Overflow { pages: u32 },
    #[error("it has {bytes} bytes, more than rkadm reads at once ({limit})")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("it lies deeper in the tree than a tree can be")]
    Depth,
    #[error("the buckets have more than {limit} bytes, or are more, than etcd's can be")]
    Buckets { limit: usize },
    #[error("element {index} of the list of buckets is not a bucket")]
    NotABucket { index: usize },
    #[error("bucket {bucket}, which is part of it, is not as long as it says")]
    InlineLength { bucket: String },
    #[error("element {index} is a bucket inside bucket {bucket}, where etcd has none")]
    NestedBucket { bucket: String, index: usize },
    #[error("the list of free pages names page {page}, which is not free")]
    NotFree { page: u64 },
    #[error("the list of free pages does not name page {page}, which nothing leads to")]
    Lost { page: u64 },
    #[error("the list of free pages is longer than its page")]
    FreelistLength,
    /// A record of the bucket `key`, which holds every revision of every key.
    #[error("element {index} is not a record of a revision: {why}")]
    Record { index: usize, why: &'static str },
    /// An entry of one of etcd's other buckets.
    #[error("element {index} is not an entry of bucket {bucket}: {why}")]
    Entry { bucket: &'static str, index: usize, why: &'static str },
}
