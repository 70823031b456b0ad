//! Restores a backup beside the data directory that is in use, and verifies what was made. Nothing else is touched.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    BackupError,
    crypt::Identities,
    read::{self, Targets},
    remains::remains,
    source::below,
    take::hex,
};
use crate::etcd::{
    Member,
    snapshot::{self, DEFAULT_BUMP, History, NewMember, RestoreOptions, VerifyOptions, raft_state},
};

/// What becomes of which backup, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// The backup: an archive, or a plain snapshot.
    pub file: PathBuf,
    /// Whether it is a plain snapshot.
    pub plain: bool,
    /// Files with private keys that open it. The keys themselves are never kept.
    #[serde(default)]
    pub identities: Vec<PathBuf>,
    /// Of the file, when it was checked.
    pub sha256: String,
    /// The data directory to make, a path of the machine.
    pub target: PathBuf,
    /// The directory in use: the new one belongs to the same user.
    pub like: PathBuf,
    /// Name of the member.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// The revision that the snapshot has.
    pub revision: i64,
    /// By how much the revision is raised, with everything before marked as compacted; 0: it is not.
    pub bump: u64,
    /// The other members of the new cluster.
    #[serde(default)]
    pub others: Vec<Peer>,
    /// What ids of the new cluster are made of besides; empty: something of its own.
    #[serde(default)]
    pub token: String,
    /// The file is what a member that has ended left in `like`, and changes until it ends. The revision of what is made of
    /// it is nevertheless the one that was announced.
    #[serde(default)]
    pub survivor: bool,
    /// Make it although entries of the survivor's log are not in its database.
    #[serde(default)]
    pub incomplete: bool,
}

/// Another member of the new cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
}

/// Old data that is to be used again after newer revisions were served from other data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebase {
    /// The old data directory.
    pub old: PathBuf,
    /// The data directory that was served meanwhile.
    pub served: PathBuf,
    /// The revision that the latter began with.
    pub began_at: i64,
    /// The data directory to make.
    pub target: PathBuf,
    /// Name of the member.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
}

impl Trial {
    /// The snapshot of an archive, while the data directory is made of it.
    pub fn extracted(&self) -> PathBuf {
        let mut name = self.target.file_name().map(OsString::from).unwrap_or_default();
        name.push(".db");
        self.target.with_file_name(name)
    }

    /// The revision that etcd will begin with.
    pub fn new_revision(&self) -> i64 {
        self.revision.saturating_add(i64::try_from(self.bump).unwrap_or(i64::MAX))
    }
}

/// By how much to raise a revision so that nobody who has seen `seen` takes old data for new.
pub fn bump_over(revision: i64, seen: i64) -> u64 {
    DEFAULT_BUMP + u64::try_from(seen.saturating_sub(revision)).unwrap_or(0)
}

/// etcd makes ids of peer URLs and a token. With the token that kubeadm's clusters have, the new cluster would have the ids of
/// the old one, and members of that, when they come back, would take it for theirs and write over what was restored.
fn options(name: &str, peer_urls: &[String], bump: u64, target: &Path) -> RestoreOptions {
    let id = target.file_name().unwrap_or_default().to_string_lossy();
    let member = NewMember { name: name.to_owned(), peer_urls: peer_urls.to_vec() };
    let history = if bump > 0 { History::Bump(bump) } else { History::Keep };
    RestoreOptions { history, token: format!("rkadm-{id}"), ..RestoreOptions::new(name, vec![member]) }
}

/// Of a trial, whose revision becomes the announced one.
fn options_of(trial: &Trial, revision: i64) -> RestoreOptions {
    let bump = match trial.bump {
        0 => 0,
        _ => u64::try_from(trial.new_revision() - revision).unwrap_or(0),
    };
    let mut options = options(&trial.name, &trial.peer_urls, bump, &trial.target);
    let others = trial.others.iter();
    options
        .members
        .extend(others.map(|peer| NewMember { name: peer.name.clone(), peer_urls: peer.peer_urls.clone() }));
    if !trial.token.is_empty() {
        options.token.clone_from(&trial.token);
    }
    options
}

/// The database of a member that has ended, where all that counts is in it.
fn survivor(root: &Path, trial: &Trial) -> Result<PathBuf, BackupError> {
    let dir = below(root, &trial.like);
    let missing = remains(&dir)?.missing();
    if missing > 0 && !trial.incomplete {
        return Err(BackupError::Incomplete { path: trial.like.clone(), missing });
    }
    Ok(dir.join("member/snap/db"))
}

/// Makes the data directory of a machine whose file system is at `root`, in place of what an earlier try left. Blocks.
///
/// # Errors
/// The file is not the one that was checked, it does not verify, or what was made of it does not.
pub fn restore(root: &Path, trial: &Trial) -> Result<(), BackupError> {
    let (target, extracted) = (below(root, &trial.target), below(root, trial.extracted()));
    remove(&target)?;
    remove(&extracted)?;
    let changed =
        || BackupError::Damaged { path: trial.file.clone(), why: "it changed since it was checked".into() };
    let left;
    let from = if trial.survivor {
        left = survivor(root, trial)?;
        left.as_path()
    } else if trial.plain {
        if sha256_of(&trial.file)? != trial.sha256 {
            return Err(changed());
        }
        trial.file.as_path()
    } else {
        let mut targets = Targets { snapshot: extracted.clone(), files: std::collections::BTreeMap::new() };
        let identities = Identities::read(&trial.identities)?;
        if read::check(&trial.file, &identities, Some(&mut targets))?.sha256 != trial.sha256 {
            return Err(changed());
        }
        extracted.as_path()
    };
    let keys = {
        let (verified, _) = snapshot::restore_file(from, &target, |found| {
            if found.revision != trial.revision && !trial.survivor {
                return Err(changed());
            }
            Ok(options_of(trial, found.revision))
        })?;
        verified.report.records.keys
    };
    remove(&extracted)?;
    prove(trial, &target, keys)?;
    own(&target, &below(root, &trial.like))
}

/// Reads what was written as if somebody else had written it.
fn prove(trial: &Trial, target: &Path, keys: u64) -> Result<(), BackupError> {
    let found = snapshot::verify(&target.join("member/snap/db"), VerifyOptions::default())?.report;
    let why = if found.revision != trial.new_revision() {
        format!("it has revision {}, not {}", found.revision, trial.new_revision())
    } else if trial.bump == 0 && found.records.keys != keys {
        format!("it has {} keys, not {keys}", found.records.keys)
    } else if found.contents.members.len() != 1 + trial.others.len() {
        format!("it has {} members", found.contents.members.len())
    } else {
        return Ok(());
    };
    Err(BackupError::Differs { path: trial.target.clone(), why })
}

/// Makes a data directory of old data, with a revision beyond all that was served meanwhile: whoever watched then would wait
/// for revisions that the old data reaches much later, and miss what happens until then. False, with nothing made, where
/// nothing was served, where the old data is only complete together with its log, or where it is of several members. Blocks.
///
/// # Errors
/// What an earlier try left cannot be removed.
pub fn rebase(root: &Path, rebase: &Rebase) -> Result<bool, BackupError> {
    let (target, old) = (below(root, &rebase.target), below(root, &rebase.old));
    remove(&target)?;
    let report = |dir: &Path| snapshot::verify(&dir.join("member/snap/db"), VerifyOptions::default());
    let Ok(served) = report(&below(root, &rebase.served)) else { return Ok(false) };
    let Ok(verified) = report(&old) else { return Ok(false) };
    // What is made has one member: of several, only the data as it is finds the others again.
    if verified.report.contents.members.iter().filter(|member| !member.learner).count() > 1 {
        return Ok(false);
    }
    // An API server writes before it serves anybody.
    let seen = served.report.revision;
    let complete =
        raft_state(&old).is_ok_and(|log| log.last_index <= verified.report.contents.consistent_index);
    if seen <= rebase.began_at || !complete {
        return Ok(false);
    }
    let bump = bump_over(verified.report.revision, seen);
    let made = snapshot::restore(
        &verified,
        &target,
        &options(&rebase.name, &rebase.peer_urls, bump, &rebase.target),
    );
    let good = made.is_ok() && report(&target).is_ok() && own(&target, &old).is_ok();
    if !good {
        // The old data as it is, is better than none.
        remove(&target)?;
    }
    Ok(good)
}

/// The members, and the newest revision, as a data directory has them.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn stored(data_dir: &Path) -> Result<(Vec<Member>, i64), BackupError> {
    let found = snapshot::verify(&data_dir.join("member/snap/db"), VerifyOptions::default())?.report;
    Ok((members(found.contents.members), found.revision))
}

/// As they are known elsewhere.
pub(super) fn members(stored: Vec<snapshot::Member>) -> Vec<Member> {
    let known = |member: snapshot::Member| Member {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        is_learner: member.learner,
    };
    stored.into_iter().map(known).collect()
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// It cannot be read.
pub fn sha256_of(path: &Path) -> Result<String, BackupError> {
    let mut sha = Sha256::new();
    let mut file = File::open(path).map_err(BackupError::io("read", path))?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = io::Read::read(&mut file, &mut chunk).map_err(BackupError::io("read", path))?;
        if read == 0 {
            return Ok(hex(&sha.finalize()));
        }
        sha.update(&chunk[..read]);
    }
}

fn remove(path: &Path) -> Result<(), BackupError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(BackupError::io("remove", path))
}

/// An etcd that does not run as root must be able to use it.
fn own(path: &Path, like: &Path) -> Result<(), BackupError> {
    let Ok(like) = fs::metadata(like) else { return Ok(()) };
    let meta = fs::symlink_metadata(path).map_err(BackupError::io("look at", path))?;
    if (meta.uid(), meta.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        lchown(&path, Some(like.uid()), Some(like.gid())).map_err(BackupError::io("give away", &path))?;
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            for entry in fs::read_dir(&path).map_err(BackupError::io("read", &path))? {
                open.push(entry.map_err(BackupError::io("read", &path))?.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(dir: &Path, line: &str) -> Trial {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("etcd/snapshot/fixtures/{line}.db"));
        let revision = snapshot::verify(&file, VerifyOptions::default()).unwrap().report.revision;
        Trial {
            sha256: sha256_of(&file).unwrap(),
            file,
            plain: true,
            identities: vec![],
            target: dir.join("etcd.rkadm-1"),
            like: dir.join("etcd"),
            name: "cp1".into(),
            peer_urls: vec!["https://10.0.0.1:2380".into()],
            revision,
            bump: DEFAULT_BUMP,
            ..Trial::default()
        }
    }

    #[test]
    fn a_plain_snapshot_becomes_a_data_directory_of_one_member() {
        let dir = tempfile::tempdir().unwrap();
        for (line, bump) in [("3.5", 1), ("3.6", DEFAULT_BUMP), ("3.7", 0)] {
            let trial = Trial { bump, ..trial(dir.path(), line) };
            // What an earlier try left is in nobody's way.
            fs::create_dir_all(trial.target.join("member/wal/half")).unwrap();
            restore(Path::new("/"), &trial).unwrap();
            let (members, revision) = stored(&trial.target).unwrap();
            assert_eq!(revision, trial.new_revision());
            assert_eq!(members.len(), 1);
            assert_eq!((members[0].name.as_str(), &members[0].peer_urls), ("cp1", &trial.peer_urls));
            assert!(!trial.extracted().exists());
        }
    }

    #[test]
    fn old_data_that_is_used_again_is_newer_than_what_was_served_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let old = Trial { target: dir.path().join("old"), bump: 0, ..trial(dir.path(), "3.6") };
        let served = Trial { target: dir.path().join("served"), ..trial(dir.path(), "3.6") };
        restore(Path::new("/"), &old).unwrap();
        restore(Path::new("/"), &served).unwrap();
        let again = Rebase {
            old: old.target.clone(),
            served: served.target.clone(),
            began_at: served.new_revision(),
            target: dir.path().join("again"),
            name: "cp1".into(),
            peer_urls: old.peer_urls.clone(),
        };
        // Nobody has seen anything of it.
        assert!(!rebase(Path::new("/"), &again).unwrap());
        assert!(!again.target.exists());
        let again = Rebase { began_at: served.new_revision() - 1, ..again };
        assert!(rebase(Path::new("/"), &again).unwrap());
        let (members, revision) = stored(&again.target).unwrap();
        assert_eq!(members.len(), 1);
        assert!(revision > served.new_revision(), "{revision}");
    }

    #[test]
    fn a_file_that_is_not_the_checked_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let good = trial(dir.path(), "3.6");
        let other = Trial { sha256: "0".repeat(64), ..good.clone() };
        let error = restore(Path::new("/"), &other).unwrap_err().to_string();
        assert!(error.contains("it changed since it was checked"), "{error}");
        assert!(!good.target.exists());
    }
}
