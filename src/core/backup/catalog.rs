//! The backups of a directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    BackupError, Manifest, crypt,
    format::Compression,
    label::Label,
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
    /// To how many keys it is encrypted; 0: it is not.
    pub recipients: usize,
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
            if !is_ours(&name) {
                continue;
            }
            let bytes = fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            match described(&path, bytes) {
                Ok((manifest, recipients)) => {
                    catalog.backups.push(Backup { path, bytes, recipients, manifest });
                }
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

/// Whether a file has the name of a backup.
fn is_ours(name: &str) -> bool {
    let plain = name.strip_suffix(crypt::EXTENSION).unwrap_or(name);
    let mut endings = Compression::ALL.into_iter().map(Compression::extension);
    name.starts_with(PREFIX) && endings.any(|ending| plain.ends_with(&format!(".{ending}")))
}

/// What an archive, or the label beside it, says of it, and to how many keys it is encrypted.
fn described(path: &Path, bytes: u64) -> Result<(Manifest, usize), BackupError> {
    if !path.to_string_lossy().ends_with(crypt::EXTENSION) {
        return Ok((read::manifest(path)?, 0));
    }
    let label = Label::read(path)?;
    if label.bytes != bytes {
        let why = format!("it has {bytes} bytes, its label says {}", label.bytes);
        return Err(BackupError::Damaged { path: path.to_owned(), why });
    }
    Ok((label.manifest, label.recipients.max(1)))
}

/// Removes an archive, then what is beside it.
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
    let beside = [backup.path.with_file_name(format!("{name}.sha256")), Label::beside(&backup.path)];
    for path in beside {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BackupError::io("remove", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
