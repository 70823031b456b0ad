//! The database of a restored member: a copy of the snapshot's, with the buckets that describe the cluster written anew.
//!
//! As bbolt does it, pages in use are never changed. New pages are appended, up to a new list of buckets, and then the
//! meta pages say where that is. The pages they replace are free: without a list of free pages, which etcd never stores,
//! bbolt looks for them when it opens the file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use serde_json::json;

use super::copy::Copy;
use super::membership::NewCluster;
use super::{History, RestoreError, RestoreOptions, Restored, Result};
use crate::etcd::snapshot::bolt::{Bucket, Db, Element, Meta, NO_FREELIST, Root, Walker, build};
use crate::etcd::snapshot::record::Revision;
use crate::etcd::snapshot::verify::Verified;

/// Of a bucket that is read and written as a whole.
const MAX_BUCKET: usize = 8 << 20;

pub(super) fn write(
    snapshot: &Verified,
    copy: Copy,
    options: &RestoreOptions,
    cluster: &NewCluster,
) -> Result<Restored> {
    let report = &snapshot.report;
    let mut rewrite = Rewrite::new(snapshot, copy);
    let members = cluster.members.iter().map(|member| Element::entry(member.key(), member.json()));
    rewrite.replace("members", members.collect())?;
    rewrite.replace("members_removed", vec![])?;
    if !options.keep_alarms {
        rewrite.replace("alarm", vec![])?;
    }
    let raised = match options.history {
        History::Bump(by) => Some(raise(report.revision, by)?),
        History::Keep => None,
    };
    if let Some(revision) = raised {
        rewrite.append("key", Element::entry(revision.bytes(), b""))?;
    }
    let mut meta = rewrite.entries("meta")?;
    set(&mut meta, "consistent_index", &cluster.index().to_be_bytes());
    set(&mut meta, "term", &NewCluster::TERM.to_be_bytes());
    // etcdutl leaves the voters of the old cluster here. etcd overwrites them once it has started.
    let conf_state = json!({ "voters": cluster.ids(), "auto_leave": false });
    set(&mut meta, "confState", conf_state.to_string().as_bytes());
    if let Some(revision) = raised {
        set(&mut meta, "scheduledCompactRev", &revision.bytes());
    }
    rewrite.replace("meta", meta)?;
    rewrite.finish()?;
    let raised = raised.map(|revision| revision.main);
    Ok(Restored {
        member_id: cluster.this,
        cluster_id: cluster.id,
        revision: raised.unwrap_or(report.revision),
        compact_revision: raised.unwrap_or(report.compact_revision),
        dropped_alarms: if options.keep_alarms { 0 } else { report.contents.alarms.len() },
        leases: report.contents.leases,
    })
}

/// The revision of the placeholder that raises the revision.
fn raise(revision: i64, by: u64) -> Result<Revision> {
    let main = i64::try_from(by).ok().filter(|by| *by > 0).and_then(|by| revision.checked_add(by));
    // etcd goes on counting from here.
    let main = main.filter(|main| *main < i64::MAX / 2).ok_or(RestoreError::Revision { revision, by })?;
    Ok(Revision { main, sub: 0 })
}

fn set(entries: &mut Vec<Element>, key: &str, value: &[u8]) {
    let element = Element::entry(key, value);
    match entries.binary_search_by(|entry| entry.key.as_slice().cmp(key.as_bytes())) {
        Ok(at) => entries[at] = element,
        Err(at) => entries.insert(at, element),
    }
}

struct Rewrite<'s> {
    db: &'s Db,
    /// In the order of their names.
    buckets: Vec<Bucket>,
    out: File,
    path: PathBuf,
    /// The first page that is not in use.
    next: u64,
}

impl<'s> Rewrite<'s> {
    fn new(snapshot: &'s Verified, copy: Copy) -> Self {
        let (db, buckets) = (&snapshot.db, snapshot.buckets.clone());
        Self { db, buckets, out: copy.out, path: copy.path, next: db.meta.high_water }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.out.write_all_at(bytes, offset).map_err(RestoreError::io("write", &self.path))
    }

    /// Everything in a small bucket; nothing if there is no such bucket.
    fn entries(&self, name: &str) -> Result<Vec<Element>> {
        let Some(bucket) = self.buckets.iter().find(|bucket| bucket.name == name.as_bytes()) else {
            return Ok(vec![]);
        };
        let (mut entries, mut size) = (vec![], 0);
        let mut too_large = false;
        let mut walker = Walker::new(self.db);
        walker.bucket(bucket, super::super::bolt::Range::ALL, &mut |node, _| {
            for item in node.items() {
                size += item.key.len() + item.value.len() + size_of::<Element>();
                too_large |= size > MAX_BUCKET;
                if !too_large {
                    entries.push(Element::entry(item.key, item.value));
                }
            }
            Ok(())
        })?;
        if too_large {
            return Err(RestoreError::Bucket { bucket: name.to_owned(), limit: MAX_BUCKET });
        }
        Ok(entries)
    }

    /// Writes a bucket anew, with these entries.
    fn replace(&mut self, name: &str, mut entries: Vec<Element>) -> Result<()> {
        // Members come in the order of their ids, but their keys are text, and not all of one length.
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        let root = self.tree(entries)?;
        self.set_root(name, root);
        Ok(())
    }

    fn set_root(&mut self, name: &str, root: u64) {
        let root = Root::Page(root);
        match self.buckets.binary_search_by(|bucket| bucket.name.as_slice().cmp(name.as_bytes())) {
            Ok(at) => self.buckets[at].root = root,
            Err(at) => self.buckets.insert(at, Bucket { name: name.into(), sequence: 0, root }),
        }
    }

    /// Adds an entry behind the last one of a bucket, which may be large.
    fn append(&mut self, name: &str, new: Element) -> Result<()> {
        let bucket = self.buckets.iter().find(|bucket| bucket.name == name.as_bytes());
        let Some(bucket @ Bucket { root: Root::Page(_), .. }) = bucket else {
            let mut entries = self.entries(name)?;
            entries.push(new);
            return self.replace(name, entries);
        };
        let path = Walker::new(self.db).last_path(bucket)?;
        let mut path = path.iter().rev();
        // What takes the place of the node one level up: itself, or itself and a new one beside it.
        let mut put = vec![];
        if let Some(leaf) = path.next() {
            let mut elements = leaf.elements();
            elements.push(new.clone());
            if build::node_size(&elements) <= self.db.page_size() {
                put.push(Element::branch(elements[0].key.clone(), self.node(true, &elements)?));
            } else {
                put.push(Element::branch(elements[0].key.clone(), leaf.place.page));
                put.push(Element::branch(new.key.clone(), self.node(true, &[new])?));
            }
        }
        for branch in path {
            let mut elements = branch.elements();
            if let (Some(old), Some(first)) = (elements.pop(), put.first_mut()) {
                first.key = old.key;
            }
            elements.append(&mut put);
            put = self.branches(&elements)?;
        }
        let root = match put.as_slice() {
            [only] => only.word,
            several => self.node(false, several)?,
        };
        self.set_root(name, root);
        Ok(())
    }

    /// Writes a branch, as two where one page has no room for all.
    fn branches(&mut self, elements: &[Element]) -> Result<Vec<Element>> {
        // Each half needs two children. With fewer than four, one page has to grow.
        let halves = match elements.len() {
            0..4 => vec![elements],
            _ if build::node_size(elements) <= self.db.page_size() => vec![elements],
            len => {
                let (left, right) = elements.split_at(len / 2);
                vec![left, right]
            }
        };
        halves
            .into_iter()
            .map(|half| Ok(Element::branch(half[0].key.clone(), self.node(false, half)?)))
            .collect()
    }

    /// Writes a tree and answers with the page of its root.
    fn tree(&mut self, mut elements: Vec<Element>) -> Result<u64> {
        if elements.is_empty() {
            return self.node(true, &[]);
        }
        let mut leaf = true;
        loop {
            let mut above = vec![];
            for group in build::groups(self.db.page_size(), &elements, leaf) {
                above.push(Element::branch(group[0].key.clone(), self.node(leaf, group)?));
            }
            if let [root] = above.as_slice() {
                return Ok(root.word);
            }
            (elements, leaf) = (above, false);
        }
    }

    /// Writes a node behind everything else and answers with its page.
    fn node(&mut self, leaf: bool, elements: &[Element]) -> Result<u64> {
        let id = self.next;
        let bytes = build::node(self.db.page_size(), id, leaf, elements);
        self.write_at(&bytes, self.db.place(id).offset)?;
        self.next += (bytes.len() / self.db.page_size()) as u64;
        Ok(id)
    }

    /// Writes the list of buckets and the meta pages, and brings everything to the disk.
    fn finish(mut self) -> Result<()> {
        let buckets = self.buckets.iter().map(Bucket::element).collect();
        let root = self.tree(buckets)?;
        let txid = self.db.meta.txid;
        let meta = Meta { root, high_water: self.next, freelist: NO_FREELIST, ..self.db.meta };
        // Both lead to the new tree: if one is ever damaged, the other must not bring the old members back.
        for txid in [txid, txid.saturating_add(1)] {
            let id = txid % 2;
            self.write_at(&Meta { txid, ..meta }.page(id), self.db.place(id).offset)?;
        }
        self.out.sync_all().map_err(RestoreError::io("sync", &self.path))
    }
}
