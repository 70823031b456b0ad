//! What came of the last drill of a backup: `<backup>.drill.json` beside it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DrillError, Findings};

/// Version of the file.
pub const SCHEMA: u32 = 1;

/// What came of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What was found, where the backup works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Findings>,
    /// Why it does not, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Record {
    /// Of a drill that showed that the backup does not work.
    pub fn of_failure(at: Timestamp, error: &DrillError) -> Self {
        Self { schema: SCHEMA, at, elapsed_ms: 0, findings: None, error: Some(error.to_string()) }
    }

    /// Whether the backup works.
    pub fn is_good(&self) -> bool {
        self.findings.is_some()
    }
}

/// Where the record of a backup is.
pub fn path(backup: &Path) -> PathBuf {
    let mut name = backup.file_name().unwrap_or_default().to_owned();
    name.push(".drill.json");
    backup.with_file_name(name)
}

/// Writes it, in place of the one before.
///
/// # Errors
/// The directory cannot be written to.
pub fn write(backup: &Path, record: &Record) -> Result<(), DrillError> {
    let path = path(backup);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    });
    written.map_err(DrillError::io("write", &path))
}

/// The record of a backup; `None` where there was no drill, or of a newer rkadm.
pub fn read(backup: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path(backup)).ok()?).ok()?;
    (record.schema <= SCHEMA).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_replaces_the_one_before_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let backup = dir.path().join("rkadm-backup-a.tar.gz");
        assert_eq!(read(&backup), None);
        let failed = Record::of_failure(Timestamp::UNIX_EPOCH, &DrillError::Failed("etcd ended".into()));
        write(&backup, &failed).unwrap();
        let good = Record {
            findings: Some(Findings {
                etcd_version: "3.7.0".into(),
                etcd_ms: 1,
                revision: 2,
                hash_kv: "0000000a".into(),
                keys: 4,
                api_server: None,
            }),
            error: None,
            ..failed.clone()
        };
        assert!(!read(&backup).unwrap().is_good());
        write(&backup, &good).unwrap();
        assert_eq!(read(&backup).unwrap(), good);
    }
}
