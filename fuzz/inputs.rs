//! What the fuzzer calls, and `make unit` with the seeds: bytes that nobody can trust, through each reader of files. A panic,
//! a hang or a file where none may come is a find.

use std::{fs, io::Cursor, path::Path};

use super::rkadm_core::{
    archive::{self, Removal},
    backup::{crypt::Identities, read},
    etcd::snapshot::{VerifyOptions, check_record, raft_state, verify},
};

type Target = fn(&[u8]);

/// Every target by its name, which is that of its directory of seeds.
#[allow(dead_code, reason = "the fuzzer names one")]
pub const ALL: [(&str, Target); 5] =
    [("database", database), ("record", record), ("log", log), ("backup", backup), ("unpack", unpack)];

/// A database of etcd. Its meta pages get a right checksum: nothing behind them would ever be reached.
pub fn database(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for at in [0, 4096] {
        if let Some(page) = bytes.get_mut(at..at + 80) {
            let sum = page[16..72].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            page[72..80].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("db");
    fs::write(&path, &bytes).expect("a file");
    let _ = verify(&path, VerifyOptions::default());
}

/// A record of the bucket `key`: the first byte says how long its key is.
pub fn record(bytes: &[u8]) {
    if let Some((length, rest)) = bytes.split_first() {
        let (key, value) = rest.split_at(usize::from(*length).min(rest.len()));
        let _ = check_record(key, value);
    }
}

/// A write-ahead log: as it is, and as one whose records hold these bytes and have a right checksum.
pub fn log(bytes: &[u8]) {
    for log in [bytes.to_vec(), framed(bytes)] {
        let dir = tempfile::tempdir().expect("a directory");
        let wal = dir.path().join("member/wal");
        fs::create_dir_all(&wal).expect("a directory");
        fs::write(wal.join("0000000000000000-0000000000000000.wal"), log).expect("a file");
        let _ = raft_state(dir.path());
    }
}

/// Records of one byte that says their kind, one that says their length, and their data.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let (mut log, mut crc) = (vec![], 0);
    while let [kind, length, rest @ ..] = bytes {
        let (data, rest) = rest.split_at(usize::from(*length & 0x7f).min(rest.len()));
        bytes = rest;
        crc = crc32c(crc, data);
        let mut record = vec![8, kind % 7, 16];
        let mut left = crc;
        while left > 0x7f {
            record.push(u8::try_from(left & 0x7f).unwrap_or_default() | 0x80);
            left >>= 7;
        }
        record.extend([
            u8::try_from(left).unwrap_or_default(),
            26,
            u8::try_from(data.len()).unwrap_or_default(),
        ]);
        record.extend(data);
        let padding = (8 - record.len() % 8) % 8;
        let head = record.len() as u64 | if padding == 0 { 0 } else { (0x80 | padding as u64) << 56 };
        log.extend(head.to_le_bytes());
        log.extend(&record);
        log.extend(&[0; 8][..padding]);
    }
    log
}

fn crc32c(crc: u32, data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !data.iter().fold(!crc, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A backup: its manifest, and all of it.
pub fn backup(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("backup.tar");
    fs::write(&path, bytes).expect("a file");
    let none = Identities::none();
    let _ = read::manifest(&path, Cursor::new(bytes.to_vec()), &none);
    let mut targets = read::Targets { snapshot: dir.path().join("snapshot"), files: [].into() };
    let _ = read::check(&path, &none, Some(&mut targets));
}

/// The archive of a reset. Nothing of it may come anywhere but where the removals were.
pub fn unpack(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    for path in [root.join("etc/kubernetes"), outside.clone()] {
        fs::create_dir_all(path).expect("a directory");
    }
    // What a link in an archive of the seeds leads to.
    std::os::unix::fs::symlink(&outside, root.join("door")).expect("a link");
    fs::write(root.join("archive.tar.gz"), bytes).expect("a file");
    let what = [Removal::contents("/etc/kubernetes"), Removal::whole("/var")];
    let _ = archive::unpack(&root, Path::new("/archive.tar.gz"), &what);
    let count = |dir: &Path| fs::read_dir(dir).expect("a directory").count();
    assert_eq!(count(&outside), 0, "something came through a link");
    assert_eq!(count(dir.path()), 2, "something came beside the root");
}
