//! The backups of a place.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::{SignedDuration, Timestamp};

use crate::drill::record::{self, Record};

use super::{
    BackupError, Manifest, beside,
    crypt::{self, Identities},
    format::Compression,
    label::{self, Label},
    manifest::{PREFIX, time_in_name},
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
    /// What came of the last drill.
    pub drill: Option<Record>,
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
        let mut refused = None;
        let names = place.names()?;
        let is_there = |wanted: &str| names.binary_search_by(|(name, _)| name.as_str().cmp(wanted)).is_ok();
        for (name, bytes) in names.iter().filter(|(name, _)| is_ours(name)) {
            let (path, name, bytes) = (place.shown(name), name.clone(), *bytes);
            match described(place, &name, bytes) {
                Ok((manifest, recipients)) => {
                    // Each question to a bucket takes its time.
                    let drilled = is_there(&record::name(&name));
                    // Where it may not be read, nobody knows whether this one works: nothing may be removed for it.
                    let drill = if drilled { record::read(place, &name)? } else { None };
                    catalog.backups.push(Backup { path, name, bytes, recipients, manifest, drill });
                }
                // One that another one removed meanwhile.
                Err(BackupError::Absent(_)) => {}
                // The place as a whole fails.
                Err(error @ BackupError::Bucket { denied: false, .. }) => return Err(error),
                // One object may be for others, or in an archive class of storage.
                Err(error @ BackupError::Bucket { .. }) => {
                    catalog.unreadable.push((path, error.to_string()));
                    refused.get_or_insert(error);
                }
                Err(error) => catalog.unreadable.push((path, error.to_string())),
            }
        }
        // All of them: these are no rights to read backups with.
        if let (true, Some(error)) = (catalog.backups.is_empty(), refused) {
            return Err(error);
        }
        catalog.backups.sort_by_key(|backup| std::cmp::Reverse(backup.manifest.created_at));
        catalog.unreadable.sort();
        Ok(catalog)
    }

    /// The newest one that verified. One that claims to be from the future is not the newest: a clock was wrong.
    pub fn latest(&self, now: Timestamp) -> Option<&Backup> {
        self.good(now).next()
    }

    /// Files that may be newer than this one and cannot be read: whoever asks for the latest would get an older one. A name tells when it
    /// was made; one without may be of any time.
    pub fn unreadable_after(&self, chosen: &Backup) -> Vec<&(PathBuf, String)> {
        let time = time_in_name(chosen.manifest.created_at);
        let is_older = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            made_at(&name).is_some_and(|made| made <= time.as_str())
        };
        self.unreadable.iter().filter(|(path, _)| !is_older(path)).collect()
    }

    /// Those that verified, newest first.
    fn good(&self, now: Timestamp) -> impl Iterator<Item = &Backup> {
        self.backups
            .iter()
            .filter(move |backup| is_past(backup, now))
            .filter(|backup| backup.manifest.verified.snapshot)
    }

    /// The one that a restore takes where it is left the choice: the newest that no drill condemned, of the cluster whose authority has
    /// this fingerprint. A machine that knows none takes it as long as all are of one cluster.
    pub fn choose(&self, authority: Option<&str>, now: Timestamp) -> Choice<'_> {
        let mut choice = Choice::default();
        let foreign = |backup: &Backup| match (authority, backup.authority()) {
            (Some(here), Some(there)) => here != there,
            _ => false,
        };
        for backup in self.good(now) {
            if foreign(backup) {
                choice.foreign += 1;
            } else if backup.condemned() {
                choice.condemned.push(backup);
            } else {
                choice.backup = Some(backup);
                break;
            }
        }
        choice.future = self.backups.iter().filter(|backup| !is_past(backup, now)).collect();
        if authority.is_none() {
            choice.clusters = self.good(now).map(Backup::cluster).collect::<BTreeSet<_>>().len();
        }
        choice
    }

    /// Those that the policy does not keep, judged for each cluster by itself: a place may hold several. What has another name
    /// than it was given, somebody has put there, and keeps.
    pub fn expendable(&self, policy: &Policy, now: Timestamp) -> Vec<&Backup> {
        let mut clusters: BTreeMap<_, Vec<&Backup>> = BTreeMap::new();
        for backup in self.backups.iter().filter(|backup| backup.is_named_as_made()) {
            clusters.entry(backup.cluster()).or_default().push(backup);
        }
        let mut gone = vec![];
        for own in clusters.into_values() {
            let candidates: Vec<_> = own.iter().map(|backup| backup.candidate()).collect();
            gone.extend(policy.expendable(&candidates, now).into_iter().map(|index| own[index]));
        }
        gone
    }
}

/// The time in the name of a backup, as [`Manifest::file_name`] makes it.
fn made_at(name: &str) -> Option<&str> {
    let stem = name.split('.').next()?;
    let (before, _revision) = stem.rsplit_once("-r")?;
    let time = before.rsplit('-').next()?;
    let digits = time.bytes().filter(u8::is_ascii_digit).count();
    (time.len() == 16 && digits == 14 && time.ends_with('Z')).then_some(time)
}

/// What a restore takes, and what it passes over.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    /// The one that it takes.
    pub backup: Option<&'a Backup>,
    /// Newer ones whose last drill failed.
    pub condemned: Vec<&'a Backup>,
    /// Those that claim to be from the future: a clock was wrong.
    pub future: Vec<&'a Backup>,
    /// How many newer ones are of another cluster.
    pub foreign: usize,
    /// Of how many clusters they are; counted only where the machine does not know its own.
    pub clusters: usize,
}

fn is_past(backup: &Backup, now: Timestamp) -> bool {
    backup.manifest.created_at <= now + SignedDuration::from_mins(5)
}

impl Backup {
    fn authority(&self) -> Option<&str> {
        self.manifest.fingerprints.get("ca").map(String::as_str)
    }

    /// The cluster that it is of. etcd's id is made of addresses and a name that all clusters share: those of two networks with
    /// the same addresses are told apart by their authority.
    fn cluster(&self) -> (&str, Option<&str>) {
        (&self.manifest.etcd.cluster_id, self.authority())
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            created_at: self.manifest.created_at,
            verified: self.manifest.verified.snapshot,
            condemned: self.condemned(),
        }
    }

    /// Its last drill found that it does not work.
    pub fn condemned(&self) -> bool {
        self.drill.as_ref().is_some_and(|drill| !drill.is_good())
    }

    fn is_named_as_made(&self) -> bool {
        let plain = self.name.strip_suffix(crypt::EXTENSION).unwrap_or(&self.name);
        Compression::ALL.into_iter().any(|kind| self.manifest.file_name(kind.extension()) == plain)
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
    let beside =
        [format!("{name}{}", beside::EXTENSION), format!("{name}{}", label::EXTENSION), record::name(name)];
    [name].into_iter().chain(&beside).try_for_each(|name| place.remove(name))
}
