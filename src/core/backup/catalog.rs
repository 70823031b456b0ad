//! The backups of a directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};

use crate::drill::record;

use super::{
    BackupError, Manifest,
    manifest::PREFIX,
    read,
    retention::{Candidate, Policy},
};

/// An archive whose manifest was read.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Where.
    pub path: PathBuf,
    /// Bytes.
    pub bytes: u64,
    /// What it says about itself.
    pub manifest: Manifest,
}

/// What is in a directory.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Newest first.
    pub backups: Vec<Backup>,
    /// Files with the name of a backup that are none, and why. They are never removed.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Catalog {
    /// Reads the manifests of all archives in a directory. None where there is no directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn read(dir: &Path) -> Result<Self, BackupError> {
        let mut catalog = Self::default();
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(catalog),
            Err(error) => return Err(BackupError::io("read", dir)(error)),
        };
        for entry in entries {
            let path = entry.map_err(BackupError::io("read", dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let archive = [".tar", ".tar.gz"].iter().any(|ending| name.strip_suffix(ending).is_some());
            if !name.starts_with(PREFIX) || !archive {
                continue;
            }
            let bytes = fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            match read::manifest(&path) {
                Ok(manifest) => catalog.backups.push(Backup { path, bytes, manifest }),
                Err(error) => catalog.unreadable.push((path, error.to_string())),
            }
        }
        catalog.backups.sort_by_key(|backup| std::cmp::Reverse(backup.manifest.created_at));
        catalog.unreadable.sort();
        Ok(catalog)
    }

    /// The newest one that verified. One that claims to be from the future is not the newest: a clock was wrong.
    pub fn latest(&self, now: Timestamp) -> Option<&Backup> {
        let past = |backup: &&Backup| backup.manifest.created_at <= now + SignedDuration::from_mins(5);
        self.backups.iter().filter(past).find(|backup| backup.manifest.verified.snapshot)
    }

    /// Those that the policy does not keep, judged for each cluster of etcd by itself: a directory may hold several.
    pub fn expendable(&self, policy: &Policy, now: Timestamp) -> Vec<&Backup> {
        let mut clusters: Vec<&str> =
            self.backups.iter().map(|backup| backup.manifest.etcd.cluster_id.as_str()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        let mut gone = vec![];
        for cluster in clusters {
            let own: Vec<_> =
                self.backups.iter().filter(|it| it.manifest.etcd.cluster_id == cluster).collect();
            let candidates: Vec<_> = own
                .iter()
                .map(|backup| Candidate {
                    created_at: backup.manifest.created_at,
                    verified: backup.manifest.verified.snapshot,
                })
                .collect();
            gone.extend(policy.expendable(&candidates, now).into_iter().map(|index| own[index]));
        }
        gone
    }
}

/// Removes an archive, then the sum and the record of its drill beside it.
///
/// # Errors
/// It cannot be removed.
pub fn remove(backup: &Backup) -> Result<(), BackupError> {
    match fs::remove_file(&backup.path) {
        // Another one was quicker.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        result => result.map_err(BackupError::io("remove", &backup.path))?,
    }
    let name = backup.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sums = backup.path.with_file_name(format!("{name}.sha256"));
    for beside in [sums, record::path(&backup.path)] {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BackupError::io("remove", beside)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
