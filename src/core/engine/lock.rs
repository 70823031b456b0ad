//! One mutating command at a time on a machine.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::store::make_private_dir;

/// Held while a mutating command runs; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another rkadm works on this machine.
    #[error("another rkadm is at work on this machine: {holder}")]
    Held {
        /// Its process id and command.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {path}: {source}", path = path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl NodeLock {
    /// Takes the lock of the machine whose file system root this is, without waiting.
    ///
    /// `holder` tells others who we are: process id and command, without secrets.
    pub fn take(root: &Path, holder: &str) -> Result<Self, LockError> {
        let path = root.join("var/lib/rkadm/lock");
        let fail = |source| LockError::Io { path: path.clone(), source };
        // Only what is rkadm's own is closed to others.
        std::fs::create_dir_all(root.join("var/lib")).map_err(fail)?;
        make_private_dir(path.parent().unwrap_or(root)).map_err(fail)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(fail(error.into()));
            }
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder =
                Some(holder.trim()).filter(|holder| !holder.is_empty()).unwrap_or("it has just begun");
            return Err(LockError::Held { holder: holder.to_owned() });
        }
        file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(fail)?;
        Ok(Self { _file: file })
    }
}
