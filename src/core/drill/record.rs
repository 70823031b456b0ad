//! What came of the last drill of a backup: `<backup>.drill.json` beside it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DrillError, Findings};
use crate::backup::{
    BackupError,
    place::{Place, small},
};

/// Version of the file.
pub const SCHEMA: u32 = 1;
/// More is no record.
const MOST: u64 = 1 << 20;

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

/// Name of the record of a backup, in its place.
pub fn name(backup: &str) -> String {
    format!("{backup}.drill.json")
}

/// Keeps it beside the backup, in place of the one before.
///
/// # Errors
/// The backup is not there any more, or its place cannot be written to.
pub fn write(place: &dyn Place, backup: &str, record: &Record) -> Result<(), BackupError> {
    // Of one that went meanwhile nobody would ever remove it.
    if !place.names()?.iter().any(|(name, _)| name == backup) {
        return Err(BackupError::Absent(place.shown(backup)));
    }
    let text =
        serde_json::to_string_pretty(record).map_err(|error| BackupError::Transfer(error.to_string()))?;
    place.write(&name(backup), (text + "\n").as_bytes())
}

/// The record of a backup; `None` where there was no drill, or one of a newer rkadm.
///
/// # Errors
/// Its place cannot be read.
pub fn read(place: &dyn Place, backup: &str) -> Result<Option<Record>, BackupError> {
    let text = match small(place, &name(backup), MOST) {
        Err(BackupError::Absent(_)) => return Ok(None),
        text => text?,
    };
    let record: Option<Record> = serde_json::from_slice(&text).ok();
    Ok(record.filter(|record| record.schema <= SCHEMA))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::place::Directory;

    #[test]
    fn a_record_replaces_the_one_before_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let place = Directory(dir.path().to_owned());
        let backup = "rkadm-backup-a.tar.gz";
        let read = || read(&place, backup).unwrap();
        let write = |record: &Record| write(&place, backup, record);
        assert_eq!(read(), None);
        let failed = Record::of_failure(Timestamp::UNIX_EPOCH, &DrillError::Failed("etcd ended".into()));
        let error = write(&failed).unwrap_err().to_string();
        assert!(error.ends_with("rkadm-backup-a.tar.gz does not exist"), "{error}");
        std::fs::write(dir.path().join(backup), "").unwrap();
        write(&failed).unwrap();
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
        assert!(!read().unwrap().is_good());
        write(&good).unwrap();
        assert_eq!(read().unwrap(), good);
        let newer = Record { schema: SCHEMA + 1, ..good.clone() };
        write(&newer).unwrap();
        assert_eq!(read(), None);
        std::fs::write(dir.path().join(name(backup)), "no record").unwrap();
        assert_eq!(read(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "something was left");
    }
}
