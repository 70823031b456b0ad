//! A directory to unpack a backup in. It holds all secrets of a cluster.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::BackupError;

const PREFIX: &str = ".rkadm-scratch-";
const LOCK: &str = "lock";

/// Is removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    /// Tells the next one that whoever made this one is alive.
    _lock: File,
}

impl Scratch {
    /// Makes one in `parent`, and removes those of processes that were killed.
    ///
    /// # Errors
    /// `parent` cannot be read or written to.
    pub fn make(parent: &Path) -> Result<Self, BackupError> {
        sweep(parent)?;
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
        let dir = dir.map_err(BackupError::io("write to", parent))?;
        let lock = lock(dir.path()).map_err(BackupError::io("lock", dir.path()))?;
        let lock = lock.ok_or_else(|| BackupError::Busy(dir.path().to_owned()))?;
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A directory is made and then locked; what has no lock yet and is young may be one that just begins.
fn sweep(parent: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(parent).map_err(BackupError::io("read", parent))? {
        let path = entry.map_err(BackupError::io("read", parent))?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if !ours || !is_own(&path) {
            continue;
        }
        if let Ok(Some(_dead)) = lock(&path) {
            fs::remove_dir_all(&path).map_err(BackupError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Some of the directories that scratch is made in are everybody's, and anybody can give a thing this name.
fn is_own(dir: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let own = |path: &Path| fs::symlink_metadata(path).ok().filter(|meta| meta.uid() == me);
    own(dir).is_some_and(|meta| meta.is_dir()) && own(&dir.join(LOCK)).is_some_and(|meta| meta.is_file())
}

/// `None` where another one has it.
fn lock(dir: &Path) -> std::io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(dir.join(LOCK))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_a_living_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(".rkadm-scratch-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("etcd"), "secrets").unwrap();
        let living = Scratch::make(parent.path()).unwrap();
        assert!(!dead.exists());
        let other = Scratch::make(parent.path()).unwrap();
        assert!(living.path().exists() && other.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    /// Opening a pipe waits for somebody to write to it.
    #[test]
    fn what_somebody_else_put_there_under_such_a_name_is_not_touched() {
        let parent = tempfile::tempdir().unwrap();
        let planted = parent.path().join(".rkadm-scratch-planted");
        fs::create_dir(&planted).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, planted.join(LOCK), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
        let linked = parent.path().join(".rkadm-scratch-linked");
        std::os::unix::fs::symlink(&planted, &linked).unwrap();
        drop(Scratch::make(parent.path()).unwrap());
        assert!(planted.join(LOCK).exists() && linked.exists());
    }
}
