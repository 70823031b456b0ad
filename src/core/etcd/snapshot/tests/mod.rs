//! Snapshots of real etcd 3.5, 3.6 and 3.7 (`fixtures`, made by `tests/etcd/fixtures.rs`), damaged, forged and restored.

mod damage;
mod forged;
mod logs;
mod mutants;
mod page_sizes;
mod restored;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::bolt::{BUCKET, Element, Meta, NO_FREELIST, build};
use super::keys::HashKv;
use super::*;

const LINES: [&str; 3] = ["3.5", "3.6", "3.7"];

fn fixture(line: &str) -> Vec<u8> {
    fs::read(path(line, "db")).unwrap()
}

/// A database without the hash behind it, as in a data directory.
fn bare(line: &str) -> Vec<u8> {
    let mut bytes = fixture(line);
    bytes.truncate(bytes.len() - 32);
    bytes
}

fn path(line: &str, extension: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("etcd/snapshot/fixtures");
    dir.join(format!("{line}.{extension}"))
}

/// What the real etcd answered to HashKV.
fn hash_kv(line: &str) -> HashKv {
    let text = fs::read_to_string(path(line, "hashkv")).unwrap();
    let numbers: Vec<i64> = text.split_whitespace().map(|it| it.parse().unwrap()).collect();
    HashKv { hash: numbers[0].try_into().unwrap(), revision: numbers[1], compact_revision: numbers[2] }
}

/// A file that is changed in place.
struct Scratch {
    dir: tempfile::TempDir,
    file: File,
}

impl Scratch {
    fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("db"), bytes).unwrap();
        let file = OpenOptions::new().write(true).open(dir.path().join("db")).unwrap();
        Self { dir, file }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        self.file.write_all_at(bytes, at as u64).unwrap();
    }

    fn verify(&self) -> Result<Verified, SnapshotError> {
        verify(&self.path(), VerifyOptions::default())
    }
}

fn verified(bytes: &[u8]) -> Result<Verified, SnapshotError> {
    Scratch::new(bytes).verify()
}

/// A database with these buckets, its pages as large as asked for.
struct Forge {
    page_size: usize,
    bytes: Vec<u8>,
}

impl Forge {
    fn new(page_size: usize) -> Self {
        Self { page_size, bytes: vec![0; 2 * page_size] }
    }

    fn next(&self) -> u64 {
        (self.bytes.len() / self.page_size) as u64
    }

    fn node(&mut self, leaf: bool, elements: &[Element]) -> u64 {
        let id = self.next();
        self.bytes.extend(build::node(self.page_size, id, leaf, elements));
        id
    }

    fn tree(&mut self, elements: &[Element]) -> u64 {
        let (mut level, mut leaf) = (elements.to_vec(), true);
        if level.is_empty() {
            return self.node(true, &[]);
        }
        loop {
            let mut above = vec![];
            for group in build::groups(self.page_size, &level, leaf) {
                above.push(Element::branch(group[0].key.clone(), self.node(leaf, group)));
            }
            if let [root] = above.as_slice() {
                return root.word;
            }
            (level, leaf) = (above, false);
        }
    }

    fn bucket(name: &str, root: u64) -> Element {
        let value = [root.to_le_bytes(), [0; 8]].concat();
        Element { key: name.into(), value, word: BUCKET }
    }

    /// Ends with the list of buckets at page `root`.
    fn finish(mut self, root: u64, freelist: Option<u64>) -> Vec<u8> {
        let page_size = u32::try_from(self.page_size).unwrap();
        let (high_water, freelist) = (self.next(), freelist.unwrap_or(NO_FREELIST));
        for id in [0, 1] {
            let meta = Meta { page_size, root, root_sequence: 0, freelist, high_water, txid: 4 + id };
            let at = usize::try_from(id).unwrap() * self.page_size;
            let page = meta.page(id);
            self.bytes[at..at + page.len()].copy_from_slice(&page);
        }
        self.bytes
    }
}

#[test]
fn snapshots_of_every_line_are_what_etcd_says() {
    for line in LINES {
        let report = verify(&path(line, "db"), VerifyOptions::default()).unwrap().report;
        assert_eq!(report.hash_kv, hash_kv(line), "{line}");
        assert!(matches!(report.hash, FileHash::Matches(_)));
        assert_eq!(report.records.keys, 50, "{line}");
        assert_eq!(report.compacting, line == "3.6");
        assert_eq!((report.contents.leases, report.contents.users, report.contents.roles), (1, 1, 1));
        assert_eq!(report.contents.alarms.len(), 1);
        assert_eq!(report.contents.members.iter().filter(|member| member.learner).count(), 1);
        assert_eq!(report.pages * u64::from(report.page_size), report.size);
        assert!(report.in_use < report.size);
    }
}

#[test]
fn a_hash_in_several_passes_is_the_same() {
    for line in LINES {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = verify(&path(line, "db"), VerifyOptions::default()).unwrap();
        let member = NewMember { name: "a".to_owned(), peer_urls: vec!["http://10.0.0.1:2380".to_owned()] };
        restore(&snapshot, &dir.path().join("new"), &RestoreOptions::new("a", vec![member])).unwrap();
        // In what was restored, a compaction of everything is under way.
        for file in [path(line, "db"), dir.path().join("new/member/snap/db")] {
            let one = verify(&file, VerifyOptions::default()).unwrap().report;
            for keys in [2, 7, 40] {
                let several = verify::verify_within(&file, VerifyOptions::default(), keys).unwrap().report;
                assert_eq!(several, one, "{line}, {keys} keys at once");
            }
        }
    }
}
