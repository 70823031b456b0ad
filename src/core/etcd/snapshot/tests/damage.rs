//! Flipped bits and cut files: all that can be seen is seen.

use super::super::bolt::{Db, HEADER, Header, Node};
use super::*;

/// The bytes of a bare database that say how it is built: meta pages, and the headers, elements and keys of pages in use.
fn structure(bytes: &[u8]) -> Vec<usize> {
    let scratch = Scratch::new(bytes);
    let db = Db::open(&scratch.path()).unwrap();
    let size = db.page_size();
    let reached = verify::reached(&db).unwrap();
    let mut structure: Vec<usize> = (0..80).chain(size..size + 80).collect();
    for page in reached.into_iter().filter(|page| *page > 1) {
        let at = usize::try_from(page).unwrap() * size;
        // Pages that belong to one before them have no header of their own; the fixtures have none.
        let header = Header::of(&bytes[at..]);
        assert_eq!((header.id, header.overflow), (page, 0));
        let node = Node::parse(db.place(page), bytes[at..at + size].to_vec()).unwrap();
        // No element follows the last one, whose place would say how long its value is.
        structure
            .extend(at..at + HEADER * (1 + node.len()) - if node.leaf && node.len() > 0 { 4 } else { 0 });
        // Keys of branches may be smaller than what they lead to; and which of the changes in one transaction came first
        // matters for no more than their order.
        for item in node.items().filter(|_| node.leaf) {
            let key = if item.key.len() > 16 && item.key[8] == b'_' { 9 } else { item.key.len() };
            structure.extend(at + item.start..at + item.start + key);
        }
    }
    structure
}

#[test]
fn every_flipped_bit_of_the_structure_is_found_without_a_hash() {
    for line in LINES {
        let bytes = bare(line);
        let scratch = Scratch::new(&bytes);
        let whole = scratch.verify().unwrap().report;
        let mut missed = vec![];
        // A prime step, so that each kind of bit comes up.
        let bits = structure(&bytes).into_iter().flat_map(|at| (0..8).map(move |bit| (at, bit)));
        for (at, bit) in bits.step_by(7) {
            scratch.put(at, &[bytes[at] ^ (1 << bit)]);
            if scratch.verify().is_ok_and(|found| found.report == whole) {
                missed.push((at, bit));
            }
            scratch.put(at, &bytes[at..=at]);
        }
        assert_eq!(missed, [], "{line}");
        assert_eq!(scratch.verify().unwrap().report, whole);
    }
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_found() {
    for line in LINES {
        let bytes = fixture(line);
        let scratch = Scratch::new(&bytes);
        // The hash does not know regions; the step goes through all of them, free pages and the hash itself too.
        for bit in (0..bytes.len() * 8).step_by(101) {
            let (at, bit) = (bit / 8, bit % 8);
            scratch.put(at, &[bytes[at] ^ (1 << bit)]);
            let error = scratch.verify().expect_err("a flipped bit");
            assert!(matches!(error, SnapshotError::Hash { .. }), "{line}, byte {at}: {error}");
            scratch.put(at, &bytes[at..=at]);
        }
        assert!(scratch.verify().is_ok());
    }
}

#[test]
fn a_cut_file_is_refused() {
    let bytes = fixture("3.6");
    for len in [0, 1, 31, 32, 100, 511, 512, 544, 4096, 4128, 8192, 12_288, 12_320, bytes.len() - 32 - 4096] {
        assert!(verified(&bytes[..len]).is_err(), "{len} bytes");
    }
    for len in (0..bytes.len() - 32).step_by(509) {
        assert!(verified(&bytes[..len]).is_err(), "{len} bytes");
    }
    // The hash alone is gone: a bare database.
    assert_eq!(verified(&bytes[..bytes.len() - 32]).unwrap().report.hash, FileHash::Absent);
    for more in [1, 32, 480, 512] {
        let longer = [&bytes[..], &vec![0; more]].concat();
        assert!(verified(&longer).is_err(), "{more} more bytes");
    }
}

#[test]
fn messages_say_what_and_where() {
    let message = |bytes: &[u8]| verified(bytes).unwrap_err().to_string();
    let whole = fixture("3.7");
    assert_eq!(
        message(&whole[..whole.len() - 100]),
        "61372 bytes is the length of no snapshot, which has whole pages, and 32 bytes more with the hash that \
         `etcdctl snapshot save` appends: it was cut off, or something was added"
    );
    assert_eq!(
        message(&whole[..8192]),
        "the database uses 61440 bytes, and the file has only 8192: it was cut off"
    );
    assert_eq!(
        message(&[0; 4096]),
        "neither of the two meta pages is one of a bbolt database: this is no etcd snapshot, or its beginning is damaged"
    );
    let mut flipped = whole.clone();
    flipped[20_000] ^= 1;
    assert!(message(&flipped).starts_with(
        "the contents do not have the SHA-256 that the file ends with: it was changed, damaged or cut off after it was saved"
    ));
    // The key of the root's first element.
    let root = Db::open(&path("3.7", "db")).unwrap().meta.root;
    let mut bytes = bare("3.7");
    let at = usize::try_from(root).unwrap() * 4096;
    bytes[at] ^= 1;
    assert_eq!(
        message(&bytes),
        format!("page {root} (at byte {at}) is damaged: it says that it is page {}", root ^ 1)
    );
}

#[test]
fn the_other_meta_page_is_used_and_named() {
    let mut bytes = bare("3.6");
    bytes[4096 + 30] ^= 4;
    let report = verified(&bytes).unwrap().report;
    assert_eq!((report.bad_meta_page, report.hash_kv), (Some(1), hash_kv("3.6")));
    bytes[4096 + 30] ^= 4;
    bytes[30] ^= 4;
    let report = verified(&bytes).unwrap().report;
    assert_eq!((report.bad_meta_page, report.hash_kv), (Some(0), hash_kv("3.6")));
}
