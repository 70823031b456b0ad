//! Restored directories, as far as no etcd is needed to judge them.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn options() -> RestoreOptions {
    let member =
        |n: u8| NewMember { name: format!("m{n}"), peer_urls: vec![format!("http://10.0.0.{n}:2380")] };
    RestoreOptions::new("m1", (1..=3).map(member).collect())
}

#[test]
fn everything_is_in_place_and_private() {
    for line in LINES {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new");
        let snapshot = verify(&path(line, "db"), VerifyOptions::default()).unwrap();
        let done = restore(&snapshot, &target, &options()).unwrap();
        let mode = |path: &str| fs::metadata(target.join(path)).unwrap().permissions().mode() & 0o7777;
        for dir in ["", "member", "member/snap", "member/wal"] {
            assert_eq!(mode(dir), 0o700, "{dir}");
        }
        let wal = "member/wal/0000000000000000-0000000000000000.wal";
        for file in ["member/snap/db", "member/snap/0000000000000001-0000000000000003.snap", wal] {
            assert_eq!(mode(file), 0o600, "{file}");
        }
        assert_eq!(fs::metadata(target.join(wal)).unwrap().len(), 64_000_000);

        let report = verify(&target.join("member/snap/db"), VerifyOptions::default()).unwrap().report;
        let old = &snapshot.report;
        assert_eq!((report.revision, report.compact_revision), (done.revision, done.revision));
        assert_eq!(done.revision, old.revision + 1_000_000_000);
        assert_eq!(report.records.total, old.records.total + 1);
        assert_eq!(report.records.keys, old.records.keys);
        assert!(report.compacting && report.bad_meta_page.is_none());
        let contents = &report.contents;
        assert_eq!((contents.consistent_index, contents.term), (3, 1));
        assert_eq!((contents.leases, contents.users, contents.roles), (1, 1, 1));
        assert_eq!(contents.storage_version, old.contents.storage_version);
        assert_eq!(contents.cluster_version, old.contents.cluster_version);
        assert_eq!((contents.alarms.len(), done.dropped_alarms), (0, 1));
        assert!(contents.removed_members.is_empty());
        let mut names: Vec<_> =
            contents.members.iter().map(|member| (member.name.as_str(), member.learner)).collect();
        names.sort_unstable();
        assert_eq!(names, [("m1", false), ("m2", false), ("m3", false)]);
        assert!(contents.members.iter().any(|member| member.id == done.member_id));
    }
}

/// Ids below 2^60 are shorter in writing than others, and come later in the order of texts than in that of numbers.
#[test]
fn members_whose_ids_are_of_different_lengths_make_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = verify(&path("3.6", "db"), VerifyOptions::default()).unwrap();
    let mut mixed = 0;
    for n in 0..40 {
        let target = dir.path().join(n.to_string());
        let options = RestoreOptions { token: format!("token-{n}"), ..options() };
        restore(&snapshot, &target, &options).unwrap();
        let report = verify(&target.join("member/snap/db"), VerifyOptions::default()).unwrap().report;
        let short = report.contents.members.iter().filter(|member| member.id < 1 << 60).count();
        mixed += usize::from(short == 1 || short == 2);
        fs::remove_dir_all(target).unwrap();
    }
    assert!(mixed > 0, "no token made ids of different lengths");
}

#[test]
fn what_was_restored_can_be_restored() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = path("3.6", "db");
    let mut revision = hash_kv("3.6").revision;
    for n in 0..3 {
        let snapshot = verify(&file, VerifyOptions::default()).unwrap();
        let target = dir.path().join(n.to_string());
        revision += 10;
        let options = RestoreOptions { history: History::Bump(10), ..options() };
        assert_eq!(restore(&snapshot, &target, &options).unwrap().revision, revision);
        file = target.join("member/snap/db");
        let report = verify(&file, VerifyOptions::default()).unwrap().report;
        assert_eq!((report.records.keys, report.revision), (50, revision));
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = verify(&path("3.6", "db"), VerifyOptions::default()).unwrap();
    let target = dir.path().join("new");
    let error = restore(&snapshot, dir.path(), &options()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is there already", dir.path().display()));
    for by in [0, i64::MAX.unsigned_abs(), u64::MAX] {
        let options = RestoreOptions { history: History::Bump(by), ..options() };
        let error = restore(&snapshot, &target, &options).unwrap_err();
        assert_eq!(error.to_string(), format!("revision 8 cannot be raised by {by}"));
        assert!(!target.exists());
    }
    let stranger = RestoreOptions { name: "other".to_owned(), ..options() };
    assert!(matches!(restore(&snapshot, &target, &stranger), Err(RestoreError::Membership(_))));
    let error = restore(&snapshot, &dir.path().join("no/where"), &options()).unwrap_err();
    assert!(error.to_string().starts_with("make the directory "), "{error}");
    assert!(!target.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_order_in_which_members_are_named_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = verify(&path("3.6", "db"), VerifyOptions::default()).unwrap();
    let mut other = options();
    other.members.reverse();
    let one = restore(&snapshot, &dir.path().join("1"), &options()).unwrap();
    let two = restore(&snapshot, &dir.path().join("2"), &other).unwrap();
    assert_eq!(one, two);
    let wal = |n| {
        fs::read(dir.path().join(format!("{n}/member/wal/0000000000000000-0000000000000000.wal"))).unwrap()
    };
    assert_eq!(wal(1), wal(2));
}
