//! The backup: found, read to its end, and taken for what it says only where everything agrees.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rkadm_core::{
    backup::{BackupError, Catalog, read, source::below, trial},
    etcd::snapshot::{self, VerifyOptions},
    host::Probe,
};
use rkadm_phases::restore::{NodeEtcd, Source};

use crate::cli::{Session, backup::DEFAULT_DIR, exit::CommandError};

/// The file that was named, or the newest backup that verified.
pub fn find(session: &Session, typed: &Path, from: Option<&Path>) -> Result<PathBuf, CommandError> {
    if typed != Path::new("latest") {
        return std::path::absolute(typed).map_err(CommandError::failed);
    }
    let dir = match from {
        Some(dir) => std::path::absolute(dir).map_err(CommandError::failed)?,
        None => below(&session.root, DEFAULT_DIR),
    };
    let catalog = Catalog::read(&dir).map_err(|error| refused(&error))?;
    if let Some(backup) = catalog.latest(Timestamp::now()) {
        return Ok(backup.path.clone());
    }
    let mut error = CommandError::failed(BackupError::None(dir)).detail("Nothing was changed.");
    for (path, why) in &catalog.unreadable {
        error = error.detail(format!("{} is left out: {why}", path.display()));
    }
    Err(error.hint("another directory: --dir DIR; a plain snapshot: name the file"))
}

/// What this machine's own member has left, in the place of a backup. Where it cannot be read, the survey says why.
pub async fn left(host: &dyn Probe, node: &NodeEtcd) -> Source {
    let left = host.etcd_remains(&node.data_dir).await.unwrap_or_default();
    Source {
        file: node.data_dir.join("member/snap/db"),
        plain: true,
        bytes: left.size,
        size: left.size,
        revision: left.revision,
        ..Source::default()
    }
}

/// Reads all of it.
pub async fn read(session: &Session, file: &Path, encryption: Option<&Path>) -> Result<Source, CommandError> {
    let (path, encryption) = (file.to_owned(), encryption.map(Path::to_owned));
    let work = tokio::task::spawn_blocking(move || {
        if read::is_plain_snapshot(&path) { plain(&path) } else { archive(&path, encryption.as_deref()) }
    });
    tokio::select! {
        done = work => done.map_err(CommandError::failed)?.map_err(|error| refused(&error)),
        signal = session.cancel.cancelled() => {
            let message = format!("stopped by {signal}");
            Err(CommandError::new(crate::cli::exit::ExitKind::Interrupted, message).detail("Nothing was changed."))
        }
    }
}

fn archive(path: &Path, encryption: Option<&Path>) -> Result<Source, BackupError> {
    let checked = read::check(path, None)?;
    let manifest = checked.manifest;
    let encryption = encryption.and_then(|path| {
        let file = manifest.files.iter().find(|file| Path::new(&file.path) == path)?;
        Some(file.sha256.clone())
    });
    Ok(Source {
        file: path.to_owned(),
        plain: false,
        sha256: checked.sha256,
        bytes: fs::metadata(path).map_err(BackupError::io("read", path))?.len(),
        size: manifest.snapshot.size,
        created_at: Some(manifest.created_at),
        node: Some(manifest.node),
        revision: manifest.snapshot.revision,
        keys: manifest.snapshot.keys,
        storage_version: manifest.snapshot.storage_version,
        fingerprints: manifest.fingerprints,
        encryption,
    })
}

fn plain(path: &Path) -> Result<Source, BackupError> {
    let sha256 = trial::sha256_of(path)?;
    let report = snapshot::verify(path, VerifyOptions::default())?.report;
    let meta = fs::metadata(path).map_err(BackupError::io("read", path))?;
    let written = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Ok(Source {
        file: path.to_owned(),
        plain: true,
        sha256,
        bytes: meta.len(),
        size: report.size,
        created_at: written,
        node: None,
        revision: report.revision,
        keys: report.records.keys,
        storage_version: report.contents.storage_version,
        ..Source::default()
    })
}

fn refused(error: &BackupError) -> CommandError {
    let mut answer = CommandError::failed(error).detail("Nothing was changed.");
    answer.hints = error.hints();
    answer
}
