//! Verification: everything that can be known about a snapshot from the file alone.

use std::collections::BTreeMap;
use std::thread;

use sha2::{Digest as _, Sha256};

use super::bolt::{Bucket, Db, Part, Tail, Walker};
use super::contents::Contents;
use super::error::SnapshotError;
use super::keys::{self, HashKv, Records};
use super::record::{REVISION, Revision};

type Result<T> = std::result::Result<T, SnapshotError>;

/// Read at once while hashing: little enough to be still in the processor's cache when it is hashed.
const CHUNK: usize = 128 << 10;

/// How to verify.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// The revision to compute [`HashKv`] at; the last one by default.
    pub revision: Option<i64>,
    /// The hash at the end was compared already, such as by [`TrailerHash`](super::TrailerHash) while the file was written.
    pub hash_is_known: bool,
}

/// Whether the file ends with the SHA-256 of its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHash {
    /// It does, and it is right.
    Matches([u8; 32]),
    /// It has one, which was not compared because the caller had done it.
    NotCompared,
    /// There is none: a copy of `member/snap/db`. Damage inside values cannot be seen then.
    Absent,
}

/// What was found out about a snapshot, all of it checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub hash: FileHash,
    /// Bytes of the database, without the hash at the end.
    pub size: u64,
    /// Bytes of the pages that hold something.
    pub in_use: u64,
    /// Bytes.
    pub page_size: u32,
    /// Pages of the database, in use or free.
    pub pages: u64,
    /// The meta page that is not valid, while the other one is; only a copy of a running member's file may have one.
    pub bad_meta_page: Option<u64>,
    pub records: Records,
    /// Keys that exist, by what stands before the last `/` of their names; `None` where those are too many to be told.
    pub directories: Option<BTreeMap<String, u64>>,
    /// The revision that etcd will have when it opens the snapshot.
    pub revision: i64,
    /// The revision up to which history was given up; -1: none of it.
    pub compact_revision: i64,
    /// A compaction was under way. etcd finishes it when it opens the snapshot.
    pub compacting: bool,
    pub hash_kv: HashKv,
    pub contents: Contents,
}

/// A snapshot that was verified, as an open file: what is restored from it is what was verified.
#[derive(Debug)]
pub struct Verified {
    pub(crate) db: Db,
    pub(crate) buckets: Vec<Bucket>,
    pub report: Report,
}

/// Verifies a snapshot: a file of `etcdctl snapshot save`, or a copy of a stopped member's `member/snap/db`.
///
/// The file is read once, and needs some 40 MiB of memory however large it is. This blocks for as long as it takes to
/// read the file, on two threads.
pub fn verify<'a>(snapshot: impl Into<Part<'a>>, options: VerifyOptions) -> Result<Verified> {
    verify_within(snapshot, options, keys::MAX_SEEN)
}

/// The newest revision that is written in a snapshot, of which nothing is verified: [`Report::revision`] may be another.
pub fn newest<'a>(snapshot: impl Into<Part<'a>>) -> Result<i64> {
    let db = Db::open_part(&snapshot.into())?;
    let mut walker = Walker::new(&db);
    let buckets = walker.buckets()?;
    let key = buckets.iter().find(|bucket| bucket.name == b"key");
    let path = walker.last_path(key.ok_or(SnapshotError::NotEtcd { bucket: "key" })?)?;
    let last = path.last().and_then(|leaf| leaf.elements().pop());
    // That of a deletion is longer.
    let revision = last.and_then(|last| Revision::parse(last.key.get(..REVISION)?));
    Ok(revision.map_or(1, |revision| revision.main))
}

/// Verifies with memory for so many keys.
pub(crate) fn verify_within<'a>(
    snapshot: impl Into<Part<'a>>,
    options: VerifyOptions,
    max_keys: usize,
) -> Result<Verified> {
    verify_open(Db::open_part(&snapshot.into())?, options, max_keys)
}

/// Verifies a file that is open.
pub(super) fn verify_open(db: Db, options: VerifyOptions, max_keys: usize) -> Result<Verified> {
    let (walked, hashed) = thread::scope(|scope| {
        let compare = db.tail == Tail::Hash && !options.hash_is_known;
        let hasher = compare.then(|| thread::Builder::new().spawn_scoped(scope, || hash(&db)));
        let walked = walk(&db, options.revision, max_keys);
        let hashed = hasher.map(|hasher| match hasher {
            Ok(hasher) => hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No thread could be had: one after the other then.
            Err(_) => hash(&db),
        });
        (walked, hashed)
    });
    let hash = match hashed.transpose()? {
        Some((found, expected)) if found == expected => FileHash::Matches(found),
        Some(_) => {
            let damage = match walked {
                Err(SnapshotError::Damage(damage)) => Some(Box::new(damage)),
                _ => None,
            };
            return Err(SnapshotError::Hash { damage });
        }
        None if db.tail == Tail::Hash => FileHash::NotCompared,
        None => FileHash::Absent,
    };
    let (buckets, mut report) = walked?;
    report.hash = hash;
    Ok(Verified { db, buckets, report })
}

/// The SHA-256 of the database, and the one behind it.
fn hash(db: &Db) -> Result<([u8; 32], [u8; 32])> {
    let mut sha = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < db.len {
        let size = usize::try_from(db.len - at).unwrap_or(CHUNK).min(CHUNK);
        db.read_at(&mut chunk[..size], at)?;
        sha.update(&chunk[..size]);
        at += size as u64;
    }
    let mut expected = [0; 32];
    db.read_at(&mut expected, db.len)?;
    Ok((sha.finalize().into(), expected))
}

fn walk(db: &Db, at: Option<i64>, max_keys: usize) -> Result<(Vec<Bucket>, Report)> {
    let mut walker = Walker::new(db);
    let buckets = walker.buckets()?;
    let missing = |name: &'static str| SnapshotError::NotEtcd { bucket: name };
    let find = |name: &'static str| buckets.iter().find(|bucket| bucket.name == name.as_bytes());
    find("meta").ok_or_else(|| missing("meta"))?;
    let key = find("key").ok_or_else(|| missing("key"))?;
    let contents = Contents::read(&mut walker, &buckets)?;
    let compaction = contents.compaction();
    let keys::Found { records, hash_kv, directories } =
        keys::read(&mut walker, key, compaction, at, max_keys)?;
    walker.check_freelist()?;
    let page_size = u64::from(db.meta.page_size);
    let report = Report {
        hash: FileHash::Absent,
        size: db.len,
        in_use: walker.reached * page_size,
        page_size: db.meta.page_size,
        pages: db.meta.high_water,
        bad_meta_page: db.bad_meta,
        records,
        directories,
        revision: records.last.max(compaction.revision()).max(1),
        compact_revision: compaction.revision(),
        compacting: compaction.scheduled > compaction.finished,
        hash_kv,
        contents,
    };
    Ok((buckets, report))
}

/// The pages that are in use.
#[cfg(test)]
pub(crate) fn reached(db: &Db) -> Result<Vec<u64>> {
    let mut walker = Walker::new(db);
    for bucket in walker.buckets()? {
        walker.bucket(&bucket, super::bolt::Range::ALL, &mut |_, _| Ok(()))?;
    }
    Ok((0..db.meta.high_water).filter(|page| !walker.mark(*page)).collect())
}
