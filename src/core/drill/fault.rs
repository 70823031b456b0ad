//! Whether a drill that fails says something of the backup.

use std::{error::Error, path::Path, process::Command};

use serde::{Deserialize, Serialize};

use super::{Order, program::NotReady};
use crate::text::chain;

/// Why a drill does not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", content = "why", rename_all = "camelCase")]
pub enum Fault {
    /// What was started reads the backup, and it is not what was backed up.
    Backup(String),
    /// Something else fails: a program that does not run, a full disk, a slow machine.
    Machine(String),
    /// There is no namespace to try it in.
    Namespace(String),
}

impl Fault {
    /// Of something that is not the backup.
    pub fn machine(error: &dyn Error) -> Self {
        Self::Machine(chain(error))
    }
}

/// An etcd that gives up and says why has read the data. One that says nothing, lacks room, is slow, or is older than the data, tells
/// nothing of a backup.
pub(super) fn rejected(not: NotReady, order: &Order) -> Fault {
    let NotReady::Ended { text, gave_up: true } = not else { return Fault::Machine(not.to_string()) };
    let mine = version_of(&order.etcd);
    match (mine.as_deref().and_then(minor), order.storage_version.as_deref().and_then(minor)) {
        (Some(mine), Some(wanted)) if mine < wanted => Fault::Machine(format!(
            "etcd {}.{} cannot read data of etcd {}.{}: {text}",
            mine.0, mine.1, wanted.0, wanted.1
        )),
        (Some(_), _) => Fault::Backup(text),
        // Whatever it is, it is no etcd.
        (None, _) => Fault::Machine(text),
    }
}

/// What `--version` begins with: `etcd Version: 3.6.4`.
fn version_of(etcd: &Path) -> Option<String> {
    let output = Command::new(etcd).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("etcd Version: ")).map(|version| version.trim().to_owned())
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn order(dir: &Path, says: &str) -> Order {
        let etcd = dir.join("etcd");
        fs::write(&etcd, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        fs::set_permissions(&etcd, fs::Permissions::from_mode(0o755)).unwrap();
        let storage_version = Some("3.6.0".to_owned());
        Order { dir: dir.to_owned(), etcd, storage_version, ..Order::default() }
    }

    #[test]
    fn only_an_etcd_that_can_read_the_data_condemns_it() {
        let dir = tempfile::tempdir().unwrap();
        let ended = |gave_up| NotReady::Ended { text: "etcd ended (exit status: 1): no".into(), gave_up };
        let judged = |not, says| rejected(not, &order(dir.path(), says));
        assert!(matches!(judged(ended(true), "etcd Version: 3.6.4"), Fault::Backup(_)));
        assert!(matches!(judged(ended(true), "etcd Version: 3.7.0"), Fault::Backup(_)));
        // `/bin/true`, a full disk, an etcd that is too old, a slow machine.
        assert!(matches!(judged(ended(true), ""), Fault::Machine(_)));
        assert!(matches!(judged(ended(false), "etcd Version: 3.6.4"), Fault::Machine(_)));
        let Fault::Machine(older) = judged(ended(true), "etcd Version: 3.5.21") else { panic!("condemned") };
        assert!(older.contains("etcd 3.5 cannot read data of etcd 3.6"), "{older}");
        assert!(matches!(judged(NotReady::Slow("late".into()), "etcd Version: 3.6.4"), Fault::Machine(_)));
    }
}
