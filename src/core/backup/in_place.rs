//! An archive that is not compressed has the snapshot as it is. It is written where it stays in the archive while it comes, behind room
//! for what stands before it and is known only afterwards: so it goes to the disk once, which is what takes the time, and needs its room
//! once.

use std::io;

use jiff::Timestamp;

use super::{Manifest, collect::Contents, entries::Entries, manifest::File};

/// For a manifest without its files.
const MANIFEST: usize = 128 << 10;
/// For each file in it.
const OF_FILE: usize = 512;

/// The room before the snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Bytes of the manifest, with spaces behind it.
    manifest: usize,
    /// Bytes of all that stands before the snapshot.
    pub head: u64,
}

impl Room {
    /// For an archive with these files.
    pub fn new(files: &[File], contents: &Contents, time: Timestamp) -> io::Result<Self> {
        let paths: usize = files.iter().map(|file| file.path.len() + OF_FILE).sum();
        let manifest = MANIFEST + paths;
        let head = head(&vec![b' '; manifest], files, contents, time, 0)?.len();
        Ok(Self { manifest, head: head as u64 })
    }

    /// All that stands before the snapshot; `None` where the room does not do.
    pub fn head(self, manifest: &Manifest, contents: &Contents) -> Option<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(manifest).ok().filter(|text| text.len() < self.manifest)?;
        text.resize(self.manifest - 1, b' ');
        text.push(b'\n');
        let head =
            head(&text, &manifest.files, contents, manifest.created_at, manifest.snapshot.size).ok()?;
        (head.len() as u64 == self.head).then_some(head)
    }
}

fn head(text: &[u8], files: &[File], contents: &Contents, time: Timestamp, size: u64) -> io::Result<Vec<u8>> {
    let mut entries = Entries::new(vec![], time);
    entries.begin(text, files, contents)?;
    entries.before_snapshot(size)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::FileExt as _, path::Path};

    use super::*;
    use crate::{
        backup::{
            BackupError,
            crypt::{Identities, Recipients},
            format::Compression,
            place::Directory,
            publish::Archive,
            read,
            tests::{DATA, sample},
        },
        engine::Cancel,
        etcd::snapshot::Part,
    };

    /// The archive of a snapshot that was written behind its room.
    fn kept(dir: &Path, manifest: &Manifest, of: &Manifest) -> std::path::PathBuf {
        let contents = BTreeMap::from([("/etc/kubernetes/pki/ca.key".to_owned(), b"key".to_vec())]);
        let room = Room::new(&of.files, &contents, of.created_at).unwrap();
        let partial = dir.join("partial");
        fs::File::create(&partial).unwrap().write_all_at(DATA, room.head).unwrap();
        let archive = Archive {
            manifest,
            contents: &contents,
            resources: dir,
            snapshot: Part { path: &partial, at: room.head, len: Some(DATA.len() as u64) },
            pressed: None,
            compression: Compression::None,
            recipients: &Recipients::default(),
            cancel: &Cancel::default(),
        };
        let bytes = archive.keep_in_place(dir, &Directory(dir.to_owned()), &room).unwrap();
        let path = dir.join(archive.name());
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
        path
    }

    fn snapshot_in(path: &Path, dir: &Path) -> Result<Vec<u8>, BackupError> {
        let snapshot = dir.join("unpacked");
        let _ = fs::remove_file(&snapshot);
        let mut targets = read::Targets { snapshot: snapshot.clone(), files: BTreeMap::new() };
        let found = read::check(path, &Identities::none(), Some(&mut targets))?;
        read::is_spotless(path, &found.odd)?;
        assert_eq!(targets.files.len(), found.manifest.files.len());
        Ok(fs::read(snapshot).unwrap())
    }

    #[test]
    fn what_is_read_is_what_was_written_and_a_flipped_bit_is_found_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = kept(dir.path(), &sample(), &sample());
        assert!(!dir.path().join("partial").exists(), "it became the archive");
        assert_eq!(snapshot_in(&path, dir.path()).unwrap(), DATA);
        let good = fs::read(&path).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        // All of its regions: headers, manifest, the spaces behind it, sums, files, the snapshot, and the end.
        let step = good.len() / 400;
        let ends = good.len() - 3000..good.len();
        for at in (0..2000).step_by(7).chain((2000..ends.start).step_by(step)).chain(ends.step_by(11)) {
            file.write_all_at(&[good[at] ^ 4], at as u64).unwrap();
            assert!(snapshot_in(&path, dir.path()).is_err(), "byte {at}");
            file.write_all_at(&good[at..=at], at as u64).unwrap();
        }
    }

    #[test]
    fn a_manifest_that_has_no_room_makes_an_archive_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut large = sample();
        large.etcd.version = "3".repeat(MANIFEST * 2);
        let path = kept(dir.path(), &large, &sample());
        assert_eq!(snapshot_in(&path, dir.path()).unwrap(), DATA);
    }
}
