//! What may be said in the open of an encrypted backup: a file beside it, so that lists, retention and a check of its bytes need
//! no private key.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{BackupError, Manifest, manifest::SCHEMA, trial::sha256_of};

/// Follows the name of the archive.
pub const EXTENSION: &str = ".json";
/// More is no label.
const MOST: u64 = 1 << 20;

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
    /// That of the archive without files, fingerprints and members.
    pub manifest: Manifest,
}

impl Label {
    /// Of an archive that was written and read back.
    pub fn new(manifest: &Manifest, bytes: u64, sha256: String, recipients: usize) -> Self {
        let mut manifest =
            Manifest { files: vec![], fingerprints: std::collections::BTreeMap::new(), ..manifest.clone() };
        manifest.etcd.members.clear();
        Self { bytes, sha256, recipients, manifest }
    }

    /// Where that of an archive is.
    pub fn beside(archive: &Path) -> PathBuf {
        let mut name = archive.file_name().unwrap_or_default().to_owned();
        name.push(EXTENSION);
        archive.with_file_name(name)
    }

    /// That of an archive.
    ///
    /// # Errors
    /// There is none, or it is not that of this archive.
    pub fn read(archive: &Path) -> Result<Self, BackupError> {
        let path = Self::beside(archive);
        let unlabelled = |why: String| BackupError::Unlabelled { path: archive.to_owned(), why };
        let bytes = match fs::metadata(&path) {
            Ok(meta) if meta.len() > MOST => return Err(unlabelled("the label is too large".into())),
            Ok(_) => fs::read(&path).map_err(BackupError::io("read", &path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(unlabelled(format!("there is no {}", path.display())));
            }
            Err(error) => return Err(BackupError::io("read", path)(error)),
        };
        Self::parse(&bytes).map_err(unlabelled)
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
        Ok(label)
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
