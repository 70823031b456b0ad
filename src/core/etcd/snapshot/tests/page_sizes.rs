//! Databases of machines with other pages than 4 KiB.

use super::super::bolt::{Db, Order, Range, Walker};
use super::*;

/// The database of a fixture with pages of another size.
pub(super) fn repaged(line: &str, page_size: usize) -> Vec<u8> {
    let db = Db::open(&path(line, "db")).unwrap();
    let mut walker = Walker::new(&db);
    let mut forge = Forge::new(page_size);
    let mut list = vec![];
    for bucket in walker.buckets().unwrap() {
        let mut elements = vec![];
        let all = Range { from: None, to: None, order: Order::Ascending };
        walker
            .bucket(&bucket, all, &mut |node, _| {
                elements.extend(node.elements());
                Ok(())
            })
            .unwrap();
        list.push(Forge::bucket(&bucket.name(), forge.tree(&elements)));
    }
    let root = forge.tree(&list);
    forge.finish(root, None)
}

#[test]
fn pages_of_every_size_hold_the_same() {
    let member = NewMember { name: "a".to_owned(), peer_urls: vec!["http://10.0.0.1:2380".to_owned()] };
    let options = RestoreOptions { history: History::Bump(5), ..RestoreOptions::new("a", vec![member]) };
    for line in LINES {
        let original = verify(&path(line, "db"), VerifyOptions::default()).unwrap().report;
        for page_size in [1024, 2048, 4096, 8192, 16_384, 65_536] {
            let scratch = Scratch::new(&repaged(line, page_size));
            let snapshot = scratch.verify().unwrap();
            let report = &snapshot.report;
            assert_eq!(report.page_size as usize, page_size);
            assert_eq!((report.hash_kv, report.records), (original.hash_kv, original.records));
            assert_eq!(report.contents, original.contents);
            let target = scratch.dir.path().join("new");
            let done = restore(&snapshot, &target, &options).unwrap();
            let restored = verify(&target.join("member/snap/db"), VerifyOptions::default()).unwrap().report;
            assert_eq!((restored.page_size as usize, restored.revision), (page_size, done.revision));
            assert_eq!(restored.records.keys, original.records.keys);
            // The second meta page is found without the first, wherever it is.
            scratch.put(20, &[0; 30]);
            assert_eq!(scratch.verify().unwrap().report.bad_meta_page, Some(0), "{page_size}");
        }
    }
}
