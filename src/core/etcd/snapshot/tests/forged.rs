//! Files that were made to do harm.

use super::super::bolt::HEADER;
use super::*;

fn fault(bytes: &[u8]) -> Fault {
    match verified(bytes) {
        Err(SnapshotError::Damage(damage)) => damage.fault,
        other => panic!("{other:?}"),
    }
}

/// A database whose bucket `key` begins at the page that `key` makes.
fn with_key(key: impl FnOnce(&mut Forge) -> u64) -> Vec<u8> {
    let mut forge = Forge::new(4096);
    let meta = forge.tree(&[]);
    let key = key(&mut forge);
    let root = forge.tree(&[Forge::bucket("key", key), Forge::bucket("meta", meta)]);
    forge.finish(root, None)
}

fn revision(main: u8) -> Vec<u8> {
    vec![0, 0, 0, 0, 0, 0, 0, main, b'_', 0, 0, 0, 0, 0, 0, 0, 0]
}

#[test]
fn an_empty_database_is_one() {
    let report = verified(&with_key(|forge| forge.tree(&[]))).unwrap().report;
    assert_eq!((report.revision, report.compact_revision, report.records.total), (1, -1, 0));
}

#[test]
fn pages_that_lead_back_to_themselves_end() {
    let itself = with_key(|forge| {
        let id = forge.next();
        forge.node(false, &[Element::branch(revision(1), id)])
    });
    assert_eq!(fault(&itself), Fault::Reached);
    let twice = with_key(|forge| {
        let leaf = forge.node(true, &[]);
        forge.node(false, &[Element::branch(revision(1), leaf), Element::branch(revision(2), leaf)])
    });
    assert_eq!(fault(&twice), Fault::Reached);
    let deep = with_key(|forge| {
        let leaf = forge.node(true, &[]);
        (0..100).fold(leaf, |below, _| forge.node(false, &[Element::branch(revision(1), below)]))
    });
    assert_eq!(fault(&deep), Fault::Depth);
    let outside = with_key(|forge| forge.node(false, &[Element::branch(revision(1), 1 << 40)]));
    assert!(matches!(fault(&outside), Fault::Pointer { page, .. } if page == 1 << 40));
    let meta = with_key(|forge| forge.node(false, &[Element::branch(revision(1), 1)]));
    assert!(matches!(fault(&meta), Fault::Pointer { page: 1, .. }));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let change = |at: usize, with: &[u8]| {
        let mut bytes = with_key(|forge| forge.node(true, &[Element::entry(revision(1), b"")]));
        let page = 3 * 4096;
        bytes[page + at..page + at + with.len()].copy_from_slice(with);
        fault(&bytes)
    };
    assert_eq!(change(12, &[255; 4]), Fault::Overflow { pages: u32::MAX });
    assert_eq!(change(10, &[255; 2]), Fault::Gap { index: 0 });
    assert_eq!(change(HEADER + 4, &[255; 4]), Fault::Bounds { index: 0 });
    assert_eq!(change(HEADER + 12, &[255; 4]), Fault::Bounds { index: 0 });
    assert_eq!(change(HEADER + 4, &[17]), Fault::Gap { index: 0 });
    assert_eq!(change(HEADER, &[2]), Fault::ElementFlags { index: 0, flags: 2 });
    assert_eq!(change(8, &[4]), Fault::Kind { flags: 4 });
    assert!(matches!(change(HEADER, &[1]), Fault::NestedBucket { .. }));
}

#[test]
fn a_page_larger_than_memory_is_refused_before_it_is_read() {
    // Sparse: 2 GiB that take no room.
    let bytes = with_key(|forge| {
        let id = forge.node(true, &[]);
        let at = usize::try_from(id).unwrap() * 4096;
        forge.bytes[at + 12..at + 16].copy_from_slice(&500_000_u32.to_le_bytes());
        id
    });
    let scratch = Scratch::new(&bytes);
    let pages = 600_000_u64;
    for id in [0, 1] {
        let root = 4;
        let freelist = NO_FREELIST;
        let meta = Meta { page_size: 4096, root, root_sequence: 0, freelist, high_water: pages, txid: id };
        scratch.put(usize::try_from(id).unwrap() * 4096, &meta.page(id));
    }
    scratch.file.set_len(pages * 4096).unwrap();
    let error = scratch.verify().unwrap_err();
    assert!(
        matches!(&error, SnapshotError::Damage(it) if matches!(it.fault, Fault::TooLarge { .. })),
        "{error}"
    );
    let high_water = 1 << 50;
    let meta =
        Meta { page_size: 4096, root: 3, root_sequence: 0, freelist: NO_FREELIST, high_water, txid: 99 };
    scratch.put(0, &meta.page(0));
    assert!(matches!(scratch.verify(), Err(SnapshotError::TooManyPages { .. })));
}

#[test]
fn keys_out_of_place_are_found() {
    let entry = |main| Element::entry(revision(main), b"");
    let order = with_key(|forge| forge.node(true, &[entry(2), entry(2)]));
    assert_eq!(fault(&order), Fault::Order { index: 1 });
    let across = |keys: [u8; 2], above: [u8; 2]| {
        with_key(|forge| {
            let leaves = keys.map(|key| forge.node(true, &[entry(key)]));
            let branch = [0, 1].map(|n| Element::branch(revision(above[n]), leaves[n]));
            forge.node(false, &branch)
        })
    };
    assert!(verified(&across([1, 5], [1, 5])).is_ok());
    assert_eq!(fault(&across([5, 6], [1, 5])), Fault::Range);
    assert_eq!(fault(&across([1, 4], [1, 5])), Fault::Range);
    assert_eq!(fault(&across([1, 5], [2, 5])), Fault::Range);
    assert_eq!(fault(&across([1, 5], [5, 5])), Fault::Order { index: 1 });
}

#[test]
fn a_database_of_another_program_is_not_etcds() {
    let mut forge = Forge::new(4096);
    let root = forge.tree(&[]);
    let error = verified(&forge.finish(root, None)).unwrap_err();
    assert_eq!(error.to_string(), "the database has no bucket meta: it is not etcd's");
    let mut forge = Forge::new(4096);
    let root = forge.tree(&[Element::entry(*b"a", *b"b")]);
    assert_eq!(fault(&forge.finish(root, None)), Fault::NotABucket { index: 0 });
}

#[test]
fn a_list_of_free_pages_is_checked() {
    let make = |free: &[u64]| {
        let mut forge = Forge::new(4096);
        let (meta, key) = (forge.tree(&[]), forge.tree(&[]));
        let unused = forge.node(true, &[]);
        let root = forge.tree(&[Forge::bucket("key", key), Forge::bucket("meta", meta)]);
        let list = forge.node(true, &[]);
        let at = usize::try_from(list).unwrap() * 4096;
        forge.bytes[at + 8..at + 12].copy_from_slice(&[0x10, 0, u8::try_from(free.len()).unwrap(), 0]);
        for (n, page) in free.iter().enumerate() {
            forge.bytes[at + 16 + n * 8..at + 24 + n * 8].copy_from_slice(&page.to_le_bytes());
        }
        (forge.finish(root, Some(list)), key, unused)
    };
    let (good, key, unused) = make(&[4]);
    assert_eq!(unused, 4);
    assert!(verified(&good).is_ok());
    assert_eq!(fault(&make(&[]).0), Fault::Lost { page: unused });
    assert_eq!(fault(&make(&[unused, unused]).0), Fault::NotFree { page: unused });
    assert_eq!(fault(&make(&[unused, key]).0), Fault::NotFree { page: key });
    assert_eq!(fault(&make(&[unused, 1000]).0), Fault::NotFree { page: 1000 });
    assert_eq!(fault(&make(&[unused, 0]).0), Fault::NotFree { page: 0 });
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let error = verify(dir.path(), VerifyOptions::default()).unwrap_err();
    assert!(error.to_string().ends_with("is not a regular file"), "{error}");
    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(matches!(verify(&pipe, VerifyOptions::default()), Err(SnapshotError::NotAFile { .. })));
    let missing = verify(&dir.path().join("none"), VerifyOptions::default()).unwrap_err();
    assert!(missing.to_string().starts_with("open /"), "{missing}");
}
