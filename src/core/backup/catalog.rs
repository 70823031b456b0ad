//! The backups of a place.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use crate::drill::record;

use super::{
    BackupError, Manifest,
    crypt::{self, Identities},
    format::Compression,
    label::{self, Label},
    manifest::PREFIX,
    place::Place,
    read,
    retention::{Candidate, Policy},
};

/// An archive whose manifest was read.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Where, for people.
    pub path: PathBuf,
    /// Its name in its place.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// To how many keys it is encrypted; 0: it is not.
    pub recipients: usize,
    /// What it says about itself.
    pub manifest: Manifest,
}

/// What is in a place.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Newest first.
    pub backups: Vec<Backup>,
    /// Files with the name of a backup that are none, and why. They are never removed.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Catalog {
    /// Reads the manifests of all archives in a place. None where there is no such place.
    ///
    /// # Errors
    /// The place cannot be read.
    pub fn read(place: &dyn Place) -> Result<Self, BackupError> {
        let mut catalog = Self::default();
        for (name, bytes) in place.names()?.into_iter().filter(|(name, _)| is_ours(name)) {
            let path = place.shown(&name);
            match described(place, &name, bytes) {
                Ok((manifest, recipients)) => {
                    catalog.backups.push(Backup { path, name, bytes, recipients, manifest });
                }
                // One that another one removed meanwhile.
                Err(BackupError::Absent(_)) => {}
                // The place as a whole fails.
                Err(error @ BackupError::Bucket { .. }) => return Err(error),
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
fn described(place: &dyn Place, name: &str, bytes: u64) -> Result<(Manifest, usize), BackupError> {
    let path = place.shown(name);
    if !name.ends_with(crypt::EXTENSION) {
        return Ok((read::manifest(&path, place.open(name)?, &Identities::none())?, 0));
    }
    let label = Label::of(place, name)?;
    if label.bytes != bytes {
        let why = format!("it has {bytes} bytes, its label says {}", label.bytes);
        return Err(BackupError::Damaged { path, why });
    }
    Ok((label.manifest, label.recipients.max(1)))
}

/// Removes an archive, then what is beside it.
///
/// # Errors
/// It cannot be removed.
pub fn remove(place: &dyn Place, backup: &Backup) -> Result<(), BackupError> {
    let name = &backup.name;
    let drill = record::path(name.as_ref()).display().to_string();
    let beside = [format!("{name}.sha256"), format!("{name}{}", label::EXTENSION), drill];
    [name].into_iter().chain(&beside).try_for_each(|name| place.remove(name))
}
