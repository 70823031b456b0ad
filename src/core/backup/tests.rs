use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use super::{
    manifest::{EtcdCluster, File, MANIFEST, SCHEMA, SNAPSHOT, Snapshot, Verified},
    *,
};
use crate::text::sha256_hex;

pub(super) const DATA: &[u8] = b"a snapshot, as far as archives care";

pub(super) fn sample() -> Manifest {
    Manifest {
        schema: SCHEMA,
        created_at: "2026-11-25T03:00:00Z".parse().unwrap(),
        rkadm: "0".into(),
        node: "cp1".into(),
        kubernetes_version: None,
        etcd: EtcdCluster {
            cluster_id: "a".into(),
            member_id: "b".into(),
            version: "3.6.0".into(),
            members: vec![],
        },
        snapshot: Snapshot {
            size: DATA.len() as u64,
            sha256: sha256_hex(DATA),
            revision: 7,
            compact_revision: -1,
            keys: 1,
            hash_kv: 1,
            storage_version: None,
        },
        files: vec![File {
            path: "/etc/kubernetes/pki/ca.key".into(),
            size: 3,
            sha256: sha256_hex(b"key"),
            mode: 0o600,
            uid: 0,
            gid: 0,
        }],
        objects: None,
        resources: vec![],
        encryption: None,
        fingerprints: BTreeMap::new(),
        verified: Verified { snapshot: true, live_hash: true, live_hash_why: None, read_back: true },
    }
}

/// A tar of these entries: name, content, kind.
fn tar_of(entries: &[(&str, &[u8], tar::EntryType)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(vec![]);
    for (name, content, kind) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_entry_type(*kind);
        header.set_mode(0o600);
        // The builder refuses names that an attacker would use.
        let field = &mut header.as_gnu_mut().unwrap().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

const PLAIN: tar::EntryType = tar::EntryType::Regular;

fn whole(manifest: &Manifest) -> Vec<u8> {
    let text = serde_json::to_vec(manifest).unwrap();
    tar_of(&[
        (MANIFEST, &text, PLAIN),
        ("files/etc/kubernetes/pki/ca.key", b"key", PLAIN),
        (SNAPSHOT, DATA, PLAIN),
    ])
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    compressed(plain, format::Compression::Gzip)
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    compressed(plain, format::Compression::Zstd)
}

fn compressed(plain: &[u8], compression: format::Compression) -> Vec<u8> {
    let mut encoder = format::Encoder::new(vec![], compression).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn formats(plain: &[u8]) -> [Vec<u8>; 3] {
    [plain.to_vec(), gzip(plain), zstd(plain)]
}

fn checked(dir: &Path, bytes: &[u8]) -> Result<read::Checked, BackupError> {
    let path = dir.join("rkadm-backup-x.tar.gz");
    fs::write(&path, bytes).unwrap();
    read::check(&path, &crypt::Identities::none(), None)
}

#[test]
fn an_archive_gives_back_what_was_put_in() {
    let dir = tempfile::tempdir().unwrap();
    // The name says nothing: people rename files.
    let path = dir.path().join("rkadm-backup-x.tar.gz");
    for (number, archive) in formats(&whole(&sample())).into_iter().enumerate() {
        fs::write(&path, archive).unwrap();
        let snapshot = dir.path().join(format!("db{number}"));
        let mut targets = read::Targets { snapshot, files: BTreeMap::new() };
        let found = read::check(&path, &crypt::Identities::none(), Some(&mut targets)).unwrap();
        assert_eq!(found.manifest, sample());
        assert_eq!(
            read::manifest(&path, fs::File::open(&path).unwrap(), &crypt::Identities::none()).unwrap(),
            sample()
        );
        assert_eq!(fs::read(targets.snapshot).unwrap(), DATA);
        assert_eq!(targets.files["/etc/kubernetes/pki/ca.key"], b"key");
    }
}

#[test]
fn a_bit_that_flipped_anywhere_is_found_by_the_sum_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    for good in formats(&whole(&sample())) {
        let sum = checked(dir.path(), &good).unwrap().sha256;
        let sums = dir.path().join("rkadm-backup-x.tar.gz.sha256");
        fs::write(&sums, format!("{sum}  rkadm-backup-x.tar.gz\n")).unwrap();
        checked(dir.path(), &good).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(checked(dir.path(), &bad).is_err(), "byte {at} of {}", good.len());
        }
        fs::remove_file(sums).unwrap();
    }
}

#[test]
fn what_is_cut_off_or_goes_on_is_refused_without_a_sum_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let spotless = |bytes: &[u8]| checked(dir.path(), bytes).is_ok_and(|found| found.odd.is_empty());
    for good in formats(&whole(&sample())) {
        assert!(spotless(&good));
        for length in 0..good.len() {
            assert!(!spotless(&good[..length]), "{length} of {} bytes", good.len());
        }
    }
    for good in [gzip(&whole(&sample())), zstd(&whole(&sample()))] {
        // A frame that every zstd skips.
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4].to_vec();
        for more in [b"more".to_vec(), gzip(b"more"), zstd(b""), skipped, good.clone()] {
            let more = [&good[..], &more].concat();
            assert!(checked(dir.path(), &more).is_err());
        }
    }
    let plain = [&whole(&sample())[..], b"more"].concat();
    assert!(checked(dir.path(), &plain).unwrap_err().to_string().contains("behind its end"));
}

/// Whoever compresses a backup anew can restore it; that it is not what was written, a check says.
#[test]
fn one_that_was_compressed_anew_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut gzip =
        flate2::GzBuilder::new().filename("x.tar").mtime(1).write(vec![], flate2::Compression::best());
    gzip.write_all(&whole(&sample())).unwrap();
    let zstd = ::zstd::encode_all(&whole(&sample())[..], 19).unwrap();
    for anew in [gzip.finish().unwrap(), zstd] {
        let found = checked(dir.path(), &anew).unwrap();
        assert_eq!(found.manifest, sample());
        let error = read::is_spotless(Path::new("x"), &found.odd).unwrap_err().to_string();
        assert!(error.contains("cut off there, or compressed anew. What it holds is whole"), "{error}");
    }
}

#[test]
fn who_made_a_file_does_not_choose_how_much_memory_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let mut encoder = ::zstd::Encoder::new(vec![], 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&whole(&sample())).unwrap();
    let error = checked(dir.path(), &encoder.finish().unwrap()).unwrap_err().to_string();
    assert!(error.contains("too much memory"), "{error}");
}

#[test]
fn what_an_attacker_would_put_in_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = serde_json::to_vec(&sample()).unwrap();
    let refused = |entries: &[(&str, &[u8], tar::EntryType)], words: &str| {
        let error = checked(dir.path(), &tar_of(entries)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let manifest: (&str, &[u8], _) = (MANIFEST, &text, PLAIN);
    refused(&[], "empty");
    refused(&[("x", b"", PLAIN)], "does not begin with a manifest");
    refused(&[(MANIFEST, b"{}", PLAIN)], "schema");
    refused(&[manifest, ("../../etc/passwd", b"x", PLAIN)], "is not in its manifest");
    refused(&[manifest, ("/etc/passwd", b"x", PLAIN)], "is not in its manifest");
    for kind in
        [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Directory]
    {
        refused(&[manifest, (SNAPSHOT, b"", kind)], "is no plain file");
    }
    refused(&[manifest, (SNAPSHOT, b"x", PLAIN)], "1 bytes, its manifest says");
    refused(&[manifest, (SNAPSHOT, DATA, PLAIN)], "files/etc/kubernetes/pki/ca.key is missing");
    let twice = ("files/etc/kubernetes/pki/ca.key", b"key".as_slice(), PLAIN);
    refused(&[manifest, twice, twice], "is not in its manifest");
    refused(&[manifest, ("files/etc/kubernetes/pki/ca.key", b"kez", PLAIN)], "is not what was backed up");
    for path in ["etc/passwd", "/etc/../etc/passwd", "/etc/./passwd"] {
        let mut evil = sample();
        evil.files[0].path = path.into();
        // A dot alone is dropped by every reader of paths, so it only has to do no harm.
        let result = checked(dir.path(), &whole(&evil));
        assert!(result.is_err(), "{path}");
    }
    let mut huge = sample();
    huge.files[0].size = 1 << 40;
    assert!(checked(dir.path(), &whole(&huge)).unwrap_err().to_string().contains("manifest names"));
    let newer = Manifest { schema: SCHEMA + 1, ..sample() };
    assert!(checked(dir.path(), &whole(&newer)).unwrap_err().to_string().contains("newer rkadm"));
}

#[test]
fn names_are_as_long_as_paths_are_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("/{}/ca.key", "d".repeat(200));
    let mut manifest = sample();
    manifest.files[0].path.clone_from(&long);
    let contents = BTreeMap::from([(long.clone(), b"key".to_vec())]);
    let snapshot = dir.path().join("snapshot");
    fs::write(&snapshot, DATA).unwrap();
    let recipients = crypt::Recipients::default();
    let archive = publish::Archive {
        manifest: &manifest,
        contents: &contents,
        resources: dir.path(),
        snapshot: (&snapshot).into(),
        pressed: None,
        compression: format::Compression::Zstd,
        recipients: &recipients,
        cancel: &crate::engine::Cancel::default(),
    };
    archive.keep(dir.path(), &place::Directory(dir.path().to_owned())).unwrap();
    let mut targets = read::Targets { snapshot: dir.path().join("db"), files: BTreeMap::new() };
    let path = dir.path().join(archive.name());
    read::check(&path, &crypt::Identities::none(), Some(&mut targets)).unwrap();
    assert_eq!(targets.files[&long], b"key");
    // Gigabytes of a name compress to nothing.
    let text = serde_json::to_vec(&sample()).unwrap();
    let name = vec![b'a'; 5000];
    let refused = |kind: tar::EntryType, words: &str| {
        let plain = tar_of(&[(MANIFEST, &text, PLAIN), ("././@LongLink", &name, kind)]);
        for archive in formats(&plain) {
            let error = checked(dir.path(), &archive).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    };
    refused(tar::EntryType::GNULongName, "it has a name of 5000 bytes");
    for kind in [
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
        tar::EntryType::GNULongLink,
        tar::EntryType::GNUSparse,
    ] {
        refused(kind, "is no plain file");
    }
    let last = tar_of(&[(MANIFEST, &text, PLAIN), ("././@LongLink", b"a", tar::EntryType::GNULongName)]);
    assert!(checked(dir.path(), &last).unwrap_err().to_string().contains("has no content"));
    manifest.files[0].path = format!("/{}", "a".repeat(5000));
    assert!(checked(dir.path(), &whole(&manifest)).unwrap_err().to_string().contains("its manifest names"));
}

#[test]
fn a_catalog_knows_its_own_and_removes_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let named = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    let sample = || {
        let mut manifest = sample();
        manifest.fingerprints.insert("ca".into(), "sha256:own".into());
        manifest
    };
    let mut older = sample();
    older.created_at = "2026-11-24T03:00:00Z".parse().unwrap();
    let mut other = older.clone();
    other.etcd.cluster_id = "another".into();
    other.fingerprints.insert("ca".into(), "sha256:other".into());
    other.node = "cp2".into();
    // Addresses and etcd's id are the same, the authority is not.
    let mut namesake = older.clone();
    namesake.fingerprints.insert("ca".into(), "sha256:0".into());
    namesake.node = "cp3".into();
    let (newest, second) = (sample().file_name("tar"), older.file_name("tar"));
    for manifest in [&sample(), &older, &other, &namesake] {
        named(&manifest.file_name("tar"), &whole(manifest));
    }
    named("rkadm-backup-4.tar", b"not a tar");
    named("precious.tar", &whole(&older));
    named("rkadm-backup-before-the-move.tar", &whole(&older));
    named(&format!("{second}.drill.json"), b"{}");
    let place = place::Directory(dir.path().to_owned());
    let catalog = Catalog::read(&place).unwrap();
    assert_eq!((catalog.backups.len(), catalog.unreadable.len()), (5, 1), "{catalog:?}");
    let now = "2026-11-25T04:00:00Z".parse().unwrap();
    assert_eq!(catalog.latest(now).unwrap().name, newest);
    let policy = retention::Policy { last: 1, ..retention::Policy::default() };
    let gone = catalog.expendable(&policy, now);
    assert_eq!(gone.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), [second.as_str()]);
    // Each restore finds its own: the names of nodes tell them apart here.
    let chosen = |authority: Option<&str>| {
        let choice = catalog.choose(authority, now);
        (choice.backup.map(|backup| backup.manifest.node.clone()), choice.foreign, choice.clusters)
    };
    assert_eq!(chosen(Some("sha256:0")).0.as_deref(), Some("cp3"));
    let own = Some("sha256:own");
    assert_eq!(chosen(own), (Some(sample().node), 0, 0));
    assert_eq!(chosen(Some("sha256:1")), (None, 5, 0));
    assert_eq!(chosen(None).2, 3);
    // A clock that was set back: all of them are told of.
    let early = catalog.choose(own, "2020-01-01T00:00:00Z".parse().unwrap());
    assert!(early.backup.is_none());
    assert_eq!(early.future.len(), 5);
    // What proved not to work is no reason to remove what may.
    named(
        &format!("{newest}.drill.json"),
        br#"{"schema":1,"at":"2026-11-25T03:30:00Z","elapsedMs":1,"error":"x"}"#,
    );
    let condemned = Catalog::read(&place).unwrap();
    assert!(condemned.expendable(&policy, now).is_empty());
    let choice = condemned.choose(own, now);
    assert_eq!(choice.backup.unwrap().name, "rkadm-backup-before-the-move.tar");
    assert_eq!(choice.condemned.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), [newest.as_str()]);
    catalog::remove(&place, gone[0]).unwrap();
    let left = Catalog::read(&place).unwrap();
    assert_eq!(left.backups.len(), 4);
    assert!(!dir.path().join(format!("{second}.drill.json")).exists());
    assert!(Catalog::read(&place::Directory(dir.path().join("nowhere"))).unwrap().backups.is_empty());
}

#[test]
fn what_cannot_be_read_and_may_be_newer_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let named = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    named(&sample().file_name("tar"), &whole(&sample()));
    named("rkadm-backup-cp-r1-20260101T000000Z-r5.tar.gz", b"older");
    let place = place::Directory(dir.path().to_owned());
    let newer = || {
        let catalog = Catalog::read(&place).unwrap();
        let latest = catalog.latest("2026-11-25T04:00:00Z".parse().unwrap()).unwrap();
        let files = catalog.unreadable_after(latest);
        files.iter().map(|(path, _)| path.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(newer().is_empty());
    named("rkadm-backup-cp1-20261125T033000Z-r9.tar.gz", b"newer");
    named("rkadm-backup-mine.tar", b"of any time");
    assert_eq!(newer(), ["rkadm-backup-cp1-20261125T033000Z-r9.tar.gz", "rkadm-backup-mine.tar"]);
}
