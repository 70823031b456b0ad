//! The copy of a snapshot's database that becomes the one of the new member.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{RestoreError, Result, create};
use crate::etcd::snapshot::bolt::Db;
use crate::etcd::snapshot::error::SnapshotError;

/// Copied at once where the kernel cannot copy by itself.
const CHUNK: usize = 1 << 20;

pub(super) struct Copy {
    from: File,
    from_path: PathBuf,
    /// Where in the file it begins.
    at: u64,
    /// Bytes: without the hash, and without what lies behind the last page.
    end: u64,
    pub out: File,
    pub path: PathBuf,
}

impl Copy {
    /// Creates the file.
    pub fn of(db: &Db, path: &Path) -> Result<Self> {
        let from = db.file.try_clone().map_err(SnapshotError::io("open", &db.path))?;
        let (from_path, at, end) = (db.path.clone(), db.at, db.used());
        Ok(Self { from, from_path, at, end, out: create(path)?, path: path.to_owned() })
    }

    /// Copies the database as it is.
    pub fn run(&self) -> Result<()> {
        let (mut from, mut to) = (self.at, 0);
        while to < self.end {
            let len = usize::try_from(self.end - to).unwrap_or(usize::MAX);
            // Where the file system can, the copy shares the blocks of the original.
            match rustix::fs::copy_file_range(&self.from, Some(&mut from), &self.out, Some(&mut to), len) {
                Ok(0) => return Err(SnapshotError::CutOff { needed: self.end, length: to }.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(
                    Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM | Errno::BADF,
                ) => {
                    return self.by_hand(to);
                }
                Err(error) => return Err(RestoreError::io("copy to", &self.path)(error.into())),
            }
        }
        Ok(())
    }

    fn by_hand(&self, mut from: u64) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        while from < self.end {
            let size = usize::try_from(self.end - from).unwrap_or(CHUNK).min(CHUNK);
            self.from
                .read_exact_at(&mut chunk[..size], self.at + from)
                .map_err(SnapshotError::io("read", &self.from_path))?;
            let written = self.out.write_all_at(&chunk[..size], from);
            written.map_err(RestoreError::io("write", &self.path))?;
            from += size as u64;
        }
        Ok(())
    }

    /// Brings what was copied to the disk.
    pub fn sync(&self) -> Result<()> {
        self.out.sync_data().map_err(RestoreError::io("sync", &self.path))
    }
}
