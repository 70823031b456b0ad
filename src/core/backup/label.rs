//! What may be said in the open of an encrypted backup: a file beside it, so that lists, retention and a check of its bytes need
//! no private key.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    BackupError, Manifest,
    manifest::SCHEMA,
    place::{Directory, Place, small},
    trial::sha256_of,
};
use crate::text::sha256_hex;

/// Follows the name of the archive.
pub const EXTENSION: &str = ".json";
/// More is no label.
const MOST: u64 = 1 << 20;

/// In place of the sum, while that is made.
fn no_sum() -> String {
    "0".repeat(64)
}

/// Beside an encrypted archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// Bytes of the archive.
    pub bytes: u64,
    /// SHA-256 of the archive, as it is encrypted.
    pub sha256: String,
    /// To how many keys it is encrypted.
    pub recipients: usize,
    /// That of the archive without files, objects and members, and with the fingerprint of the cluster's authority alone.
    pub manifest: Manifest,
    /// SHA-256 of the label's text, with zeros in place of this one.
    pub sum: String,
}

impl Label {
    /// Of an archive that was written and read back.
    pub fn new(manifest: &Manifest, bytes: u64, sha256: String, recipients: usize) -> Self {
        let mut manifest = Manifest {
            files: vec![],
            resources: vec![],
            objects: None,
            encryption: None,
            ..manifest.clone()
        };
        manifest.fingerprints.retain(|name, _| name == "ca");
        manifest.etcd.members.clear();
        Self { bytes, sha256, recipients, manifest, sum: no_sum() }
    }

    /// Its text, with its sum.
    ///
    /// # Errors
    /// It is none that JSON has.
    pub fn text(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string_pretty(&Self { sum: no_sum(), ..self.clone() })? + "\n";
        // It is the last field.
        let (before, after) = text.rsplit_once(&no_sum()).unwrap_or((&text, ""));
        Ok(format!("{before}{}{after}", sha256_hex(text.as_bytes())))
    }

    /// Where that of an archive is.
    pub fn beside(archive: &Path) -> PathBuf {
        let mut name = archive.file_name().unwrap_or_default().to_owned();
        name.push(EXTENSION);
        archive.with_file_name(name)
    }

    /// That of an archive in a place.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn of(place: &dyn Place, name: &str) -> Result<Self, BackupError> {
        let own = format!("{name}{EXTENSION}");
        let unlabelled = |why: String| BackupError::Unlabelled { path: place.shown(name), why };
        match small(place, &own, MOST) {
            Ok(text) => Self::parse(&text).map_err(unlabelled),
            Err(BackupError::Absent(path)) => Err(unlabelled(format!("there is no {}", path.display()))),
            Err(error) => Err(error),
        }
    }

    /// That of an archive in a directory.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(archive: &Path) -> Result<Self, BackupError> {
        let dir = archive.parent().unwrap_or(Path::new("")).to_owned();
        Self::of(&Directory(dir), &archive.file_name().unwrap_or_default().to_string_lossy())
    }

    /// From its text.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let label: Self = serde_json::from_slice(bytes).map_err(|error| format!("its label: {error}"))?;
        if label.manifest.schema > SCHEMA {
            return Err("its label is of a newer rkadm".into());
        }
        let text = std::str::from_utf8(bytes).map_err(|error| format!("its label: {error}"))?;
        let (before, after) = text.rsplit_once(&label.sum).unwrap_or((text, ""));
        if sha256_hex(format!("{before}{}{after}", no_sum()).as_bytes()) != label.sum {
            return Err("its label is not as it was written".into());
        }
        Ok(label)
    }

    /// Whether it says of an archive what that says of itself.
    ///
    /// # Errors
    /// It does not.
    pub fn compare(
        &self,
        archive: &Path,
        bytes: u64,
        sha256: &str,
        inside: &Manifest,
    ) -> Result<(), BackupError> {
        let told = Self::new(inside, bytes, sha256.to_owned(), self.recipients);
        if (Self { sum: no_sum(), ..self.clone() }) == told {
            return Ok(());
        }
        let why = format!("{} says something else than what is in it", Self::beside(archive).display());
        Err(BackupError::Damaged { path: archive.to_owned(), why })
    }

    /// Whether the archive is, byte by byte, what was written and read back when it was made.
    ///
    /// # Errors
    /// It is not, or cannot be read.
    pub fn check(&self, archive: &Path) -> Result<(), BackupError> {
        if sha256_of(archive)? == self.sha256 {
            return Ok(());
        }
        let why = "its bytes are not those that were written when it was made".into();
        Err(BackupError::Damaged { path: archive.to_owned(), why })
    }
}
