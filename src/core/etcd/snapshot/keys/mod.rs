//! The bucket `key`: every record checked, and the hash that etcd's `HashKV` call answers.
//!
//! HashKV is a CRC32C over the bucket's name and the records up to a revision, in their order. Records up to the
//! compacted revision count only when a compaction at the revision asked for would keep them: when they are the last
//! of their key and no deletion. So what is hashed at the beginning depends on what stands at the end, and etcd holds an
//! index of all keys in memory to know it. Here the bucket is read in two parts instead, the later one first:
//!
//! - *late*: records that no compaction has finished with, from the last to the first. A key that was not seen yet has
//!   its last record here. Keys are remembered: few, where a cluster compacts its history often, as Kubernetes does;
//! - *old*: what the last finished compaction left, one record a key. It is the last one if its key was not seen.
//!
//! The checksums of pages and parts are put together, which CRCs allow. Where more keys were seen than memory is meant
//! for, [`many`] does it in several passes.

mod directories;
mod many;
mod seen;

use std::collections::BTreeMap;

use super::bolt::{Bucket, Item, Node, Order, Range, Walker};
use super::error::{Fault, SnapshotError};
use super::record::{Change, Record};
use directories::Directories;
use seen::Seen;

type Result<T> = std::result::Result<T, SnapshotError>;

/// How many keys are remembered at once. The table has 2 Mi places of 9 bytes, and half of it again while it grows.
pub(crate) const MAX_SEEN: usize = 1_800_000;

/// The answer of etcd's `HashKV` call. Hashes can be compared where both revisions are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// CRC32C.
    pub hash: u32,
    /// The last revision that it covers.
    pub revision: i64,
    /// -1 before the first compaction, as etcd answers.
    pub compact_revision: i64,
}

/// What the records of the bucket `key` say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Records {
    /// Records of all revisions.
    pub total: u64,
    /// Records that are deletions.
    pub deletions: u64,
    /// Keys that exist at the revision of the hash.
    pub keys: u64,
    /// The revision of the first record; 0 without records.
    pub first: i64,
    /// The revision of the last record; 0 without records.
    pub last: i64,
}

/// How far the history was compacted; -1: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compaction {
    pub finished: i64,
    pub scheduled: i64,
}

impl Compaction {
    /// The revision that etcd calls compacted once it has opened the database.
    pub(crate) fn revision(self) -> i64 {
        self.finished.max(self.scheduled)
    }

    fn ever(self) -> bool {
        self.revision() >= 0
    }
}

/// A CRC32C and how many bytes it covers, so that another can be appended.
#[derive(Debug, Clone, Copy, Default)]
struct Crc {
    sum: u32,
    len: usize,
}

impl Crc {
    fn of(bytes: &[u8]) -> Self {
        Self { sum: crc32c::crc32c(bytes), len: bytes.len() }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        self.len += bytes.len();
    }

    fn then(self, after: Self) -> Self {
        if self.len == 0 || after.len == 0 {
            return if self.len == 0 { after } else { self };
        }
        Self { sum: crc32c::crc32c_combine(self.sum, after.sum, after.len), len: self.len + after.len }
    }

    /// Adds chosen items of a node, in order. Those beside each other are one piece of the page.
    fn add_items(&mut self, node: &Node, items: &[(usize, usize)]) {
        let mut piece: Option<(usize, usize)> = None;
        for (start, end) in items {
            piece = match piece {
                Some((from, to)) if to == *start => Some((from, *end)),
                Some((from, to)) => {
                    self.add(node.raw(from, to));
                    Some((*start, *end))
                }
                None => Some((*start, *end)),
            };
        }
        if let Some((from, to)) = piece {
            self.add(node.raw(from, to));
        }
    }
}

/// Where an item's key and value lie in its node.
fn extent(item: &Item<'_>) -> (usize, usize) {
    (item.start, item.start + item.key.len() + item.value.len())
}

/// The records of a leaf that belong to one part of the bucket.
fn records<'n>(
    node: &'n Node,
    late: bool,
    finished: i64,
) -> impl DoubleEndedIterator<Item = Result<(Item<'n>, Record<'n>)>> {
    let parse = |item: Item<'n>| {
        let fault = |why| node.place.damage(Fault::Record { index: item.index, why }).into();
        Record::parse(item.key, item.value).map(|record| (item, record)).map_err(fault)
    };
    let of_part = move |found: &Result<(Item<'n>, Record<'n>)>| match found {
        Ok((_, record)) => (record.revision.main > finished) == late,
        Err(_) => true,
    };
    node.items().map(parse).filter(of_part)
}

/// Visits the leaves with late or old records.
fn visit(
    walker: &mut Walker<'_>,
    bucket: &Bucket,
    compaction: Compaction,
    late: bool,
    leaf: &mut dyn FnMut(&Node) -> Result<()>,
) -> Result<()> {
    let edge = (compaction.finished + 1).to_be_bytes();
    let edge = (compaction.finished >= 0).then_some(&edge[..]);
    let range = match (late, compaction.ever()) {
        (true, true) => Range { from: edge, to: None, order: Order::Descending },
        (true, false) => Range::ALL,
        (false, _) => Range { from: None, to: edge, order: Order::Ascending },
    };
    walker.bucket(bucket, range, &mut |node, _| leaf(node))
}

/// What was found out about the bucket `key`.
pub(crate) struct Found {
    pub records: Records,
    pub hash_kv: HashKv,
    /// Keys that exist, by what stands before the last `/` of their names; `None` where those are too many.
    pub directories: Option<BTreeMap<String, u64>>,
}

/// Checks the bucket `key` and hashes it at revision `at`, or at the last one.
pub(crate) fn read(
    walker: &mut Walker<'_>,
    bucket: &Bucket,
    compaction: Compaction,
    at: Option<i64>,
    max_keys: usize,
) -> Result<Found> {
    let mut reader = Reader::new(compaction, at.unwrap_or(i64::MAX), max_keys);
    visit(walker, bucket, compaction, true, &mut |node| reader.late(node))?;
    if compaction.finished >= 0 {
        visit(walker, bucket, compaction, false, &mut |node| reader.old(node))?;
    }
    let (first, last) = (compaction.revision().max(1), reader.records.last.max(compaction.revision()).max(1));
    let revision = at.unwrap_or(last);
    if revision < first || revision > last {
        return Err(SnapshotError::Revision { revision, first, last });
    }
    if reader.seen.is_full() {
        many::read(walker, bucket, &mut reader)?;
    }
    let mut crc = reader.old.then(reader.late);
    if compaction.ever() && reader.kept == 0 {
        crc = all(walker, bucket, compaction, revision)?;
    }
    let crc = Crc::of(&bucket.name).then(crc);
    let hash = HashKv { hash: crc.sum, revision, compact_revision: compaction.revision() };
    Ok(Found { records: reader.records, hash_kv: hash, directories: reader.directories.finish() })
}

struct Reader {
    compaction: Compaction,
    /// Records beyond this revision are not hashed.
    upto: i64,
    seen: Seen,
    records: Records,
    directories: Directories,
    /// Records up to the compacted revision.
    compacted: u64,
    /// Keys that a compaction at `upto` would keep: those that exist, and the placeholder.
    kept: u64,
    late: Crc,
    old: Crc,
    /// Which items of the leaf are hashed.
    chosen: Vec<(usize, usize)>,
}

impl Reader {
    fn new(compaction: Compaction, upto: i64, max_keys: usize) -> Self {
        Self {
            compaction,
            upto,
            seen: Seen::new(max_keys),
            records: Records::default(),
            directories: Directories::default(),
            compacted: 0,
            kept: 0,
            late: Crc::default(),
            old: Crc::default(),
            chosen: vec![],
        }
    }

    fn count(&mut self, record: &Record<'_>) {
        let main = record.revision.main;
        let records = &mut self.records;
        records.total += 1;
        records.deletions += u64::from(record.change == Change::Deleted);
        records.first = if records.first == 0 { main } else { records.first.min(main) };
        records.last = records.last.max(main);
        self.compacted += u64::from(main <= self.compaction.revision());
    }

    /// A record that is the last of its key up to the revision asked for.
    fn count_last(&mut self, record: &Record<'_>) {
        self.kept += u64::from(record.change != Change::Deleted);
        if matches!(record.change, Change::Created | Change::Updated) {
            self.records.keys += 1;
            self.directories.add(record.key);
        }
    }

    fn late(&mut self, node: &Node) -> Result<()> {
        if !self.compaction.ever() {
            return self.uncompacted(node);
        }
        self.chosen.clear();
        for found in records(node, true, self.compaction.finished).rev() {
            let (item, record) = found?;
            self.count(&record);
            if record.revision.main > self.upto {
                continue;
            }
            let last = self.seen.insert(record.key);
            if last {
                self.count_last(&record);
            }
            if record.revision.main > self.compaction.revision() || (last && record.change != Change::Deleted)
            {
                self.chosen.push(extent(&item));
            }
        }
        self.chosen.reverse();
        let mut crc = Crc::default();
        crc.add_items(node, &self.chosen);
        self.late = crc.then(self.late);
        Ok(())
    }

    /// Where nothing was ever compacted everything counts, and every change of a key is there to be counted.
    fn uncompacted(&mut self, node: &Node) -> Result<()> {
        self.chosen.clear();
        for found in records(node, true, -1) {
            let (item, record) = found?;
            self.count(&record);
            if record.revision.main <= self.upto {
                self.chosen.push(extent(&item));
                match record.change {
                    Change::Created => {
                        self.records.keys += 1;
                        self.directories.add(record.key);
                    }
                    Change::Deleted => {
                        self.records.keys = self.records.keys.saturating_sub(1);
                        self.directories.remove(record.key);
                    }
                    Change::Updated | Change::Placeholder => {}
                }
            }
        }
        self.late.add_items(node, &self.chosen);
        Ok(())
    }

    fn old(&mut self, node: &Node) -> Result<()> {
        self.chosen.clear();
        for found in records(node, false, self.compaction.finished) {
            let (item, record) = found?;
            self.count(&record);
            if record.change != Change::Deleted && !self.seen.contains(record.key) {
                self.count_last(&record);
                self.chosen.push(extent(&item));
            }
        }
        self.old.add_items(node, &self.chosen);
        Ok(())
    }
}

/// The hash where a compaction would keep nothing. etcd then leaves nothing out but deletions at the compacted revision.
fn all(walker: &mut Walker<'_>, bucket: &Bucket, compaction: Compaction, upto: i64) -> Result<Crc> {
    let (mut crc, mut chosen) = (Crc::default(), vec![]);
    walker.reread(|walker| {
        walker.bucket(bucket, Range::ALL, &mut |node, _| {
            chosen.clear();
            for found in records(node, true, -1) {
                let (item, record) = found?;
                let main = record.revision.main;
                if main <= upto && !(record.change == Change::Deleted && main == compaction.revision()) {
                    chosen.push(extent(&item));
                }
            }
            crc.add_items(node, &chosen);
            Ok(())
        })
    })?;
    Ok(crc)
}
