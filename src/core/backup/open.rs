//! A backup, opened and verified whatever it is: an archive, or a plain snapshot.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    BackupError, Manifest,
    crypt::Identities,
    read::{self, Checked, Targets},
};
use crate::etcd::snapshot::{self, Verified, VerifyOptions};

/// A backup in which everything is as it should be.
#[derive(Debug)]
pub struct Opened {
    /// What an archive says about itself.
    pub manifest: Option<Manifest>,
    /// SHA-256 of an archive.
    pub sha256: Option<String>,
    /// What is not as it was written, where nothing is kept: [`read::is_spotless`].
    pub odd: Vec<String>,
    /// The other files of an archive, by their path on the machine.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The snapshot.
    pub snapshot: Verified,
    /// Where it is: the file itself, or what was unpacked.
    pub path: PathBuf,
}

/// Reads all of it, and the snapshot page by page. That of an archive is unpacked into `scratch`, a directory of the caller's.
/// Blocks.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn open(path: &Path, identities: &Identities, scratch: &Path) -> Result<Opened, BackupError> {
    if read::is_plain_snapshot(path) {
        return Ok(Opened {
            manifest: None,
            sha256: None,
            odd: vec![],
            files: BTreeMap::new(),
            snapshot: snapshot::verify(path, VerifyOptions::default())?,
            path: path.to_owned(),
        });
    }
    let mut targets = Targets { snapshot: scratch.join("snapshot.db"), files: BTreeMap::new() };
    let Checked { manifest, sha256, odd } = read::check(path, identities, Some(&mut targets))?;
    let verified = snapshot::verify(&targets.snapshot, VerifyOptions::default())?;
    let (told, found) = (&manifest.snapshot, &verified.report);
    if (told.revision, told.hash_kv) != (found.revision, found.hash_kv.hash) {
        let why = format!(
            "its manifest says revision {} and hash {:08x}, the snapshot in it has {} and {:08x}",
            told.revision, told.hash_kv, found.revision, found.hash_kv.hash
        );
        return Err(BackupError::Damaged { path: path.to_owned(), why });
    }
    Ok(Opened {
        manifest: Some(manifest),
        sha256: Some(sha256),
        odd,
        files: targets.files,
        snapshot: verified,
        path: targets.snapshot,
    })
}
