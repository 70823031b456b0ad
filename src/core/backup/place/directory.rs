//! A directory.

use std::{
    fs::{self, File},
    io::{Read, Write as _},
    path::{Path, PathBuf},
};

use tempfile::Builder;

use super::{Place, Staged, is_absent, open_file};
use crate::backup::BackupError;

/// A directory of backups.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

impl Place for Directory {
    fn shown(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Result<Vec<(String, u64)>, BackupError> {
        let dir = self.0.as_path();
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(vec![]),
            Err(error) => return Err(BackupError::io("read", dir)(error)),
        };
        let mut names = vec![];
        for entry in entries {
            let path = entry.map_err(BackupError::io("read", dir))?.path();
            // One that goes meanwhile is none.
            let Ok(meta) = fs::metadata(&path) else { continue };
            if let (true, Some(name)) = (meta.is_file(), path.file_name().and_then(|name| name.to_str())) {
                names.push((name.to_owned(), meta.len()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read>, BackupError> {
        Ok(Box::new(open_file(&self.0.join(name))?))
    }

    fn keep(&self, staged: &Staged<'_>) -> Result<(), BackupError> {
        // First what is beside it, so that there is no archive without.
        for (name, text) in staged.beside {
            self.write(name, text)?;
        }
        let path = self.0.join(staged.name);
        let renamed = fs::rename(staged.file, &path).map_err(BackupError::io("rename", &path));
        if renamed.is_err() {
            for (name, _) in staged.beside {
                let _ = self.remove(name);
            }
        }
        renamed?;
        sync(&self.0)
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<(), BackupError> {
        let path = self.0.join(name);
        let written = Builder::new().prefix(".rkadm-").tempfile_in(&self.0).and_then(|mut file| {
            file.write_all(text)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        });
        written.map_err(BackupError::io("write", &path))?;
        sync(&self.0)
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if !is_absent(&error) => Err(BackupError::io("remove", path)(error)),
            _ => Ok(()),
        }
    }
}

fn sync(dir: &Path) -> Result<(), BackupError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(BackupError::io("sync", dir))
}
