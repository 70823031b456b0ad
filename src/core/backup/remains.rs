//! What a member has left whose cluster has lost its quorum, read from its files.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{BackupError, trial};
use crate::etcd::{
    Member,
    snapshot::{self, LogError, VerifyOptions, raft_state},
};

/// A member that runs may write while its file is read; without a quorum it hardly does.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// The database and the log of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remains {
    /// The members of the cluster, as this one knows them.
    pub members: Vec<Member>,
    /// The newest revision in the database.
    pub revision: i64,
    /// Bytes of the database.
    pub size: u64,
    /// The last entry of the log that is in the database.
    pub applied: u64,
    /// The last entry that the member knows to be committed.
    pub commit: u64,
    /// The last entry that it has.
    pub last: u64,
    /// The newest term that it knows.
    pub term: u64,
}

impl Remains {
    /// Entries that count but are not in the database yet: etcd puts them there when it runs, and when it is stopped.
    pub fn missing(&self) -> u64 {
        self.commit.saturating_sub(self.applied)
    }

    /// Entries at the end of the log of which nobody here knows whether a majority had them.
    pub fn undecided(&self) -> u64 {
        self.last.saturating_sub(self.commit.max(self.applied))
    }
}

/// Reads them. Blocks for as long as it takes to read the database.
///
/// # Errors
/// The database or the log cannot be read, or is damaged.
pub fn remains(data_dir: &Path) -> Result<Remains, BackupError> {
    let mut tries = 1;
    loop {
        match read(data_dir) {
            Err(_) if tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

fn read(data_dir: &Path) -> Result<Remains, BackupError> {
    let log = raft_state(data_dir)?;
    // What is cut off at its very beginning says nothing.
    if log.member_id == 0 {
        return Err(LogError::Empty { dir: data_dir.join("member/wal") }.into());
    }
    let found = snapshot::verify(&data_dir.join("member/snap/db"), VerifyOptions::default())?.report;
    Ok(Remains {
        revision: found.revision,
        size: found.size,
        applied: found.contents.consistent_index,
        commit: log.commit,
        last: log.last_index,
        term: log.term,
        members: trial::members(found.contents.members),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_and_what_nobody_knows_are_told_apart() {
        let left = |applied, commit, last| Remains { applied, commit, last, ..Remains::default() };
        let told = |left: &Remains| (left.missing(), left.undecided());
        assert_eq!(told(&left(7, 7, 7)), (0, 0));
        assert_eq!(told(&left(5, 7, 9)), (2, 2));
        // What is committed is noted in the log with the next entry only.
        assert_eq!(told(&left(8, 7, 9)), (0, 1));
    }
}
