//! The backup: found, read to its end, and taken for what it says only where everything agrees.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rkadm_core::{
    backup::{BackupError, catalog::Choice, crypt::Identities, place::Location, read, source::below, trial},
    engine::Event,
    etcd::snapshot::{self, FileHash, VerifyOptions},
    host::Probe,
    kube::storage,
    pki::Certificate,
};
use rkadm_phases::restore::{Encryption, NodeEtcd, Source};

use crate::cli::{
    Session,
    args::absolute,
    backup::{DEFAULT_DIR, Into, Local, catalog, fetch, named, open, refuse_older, whole},
    exit::CommandError,
};
use crate::output::text;

/// The file that was named, or the newest backup that fits: of the cluster whose authority lies in `pki`. One from a bucket is copied
/// beside this machine's own backups, so that a restore that is cut off finds it again; for a mere look, it goes with the result.
pub async fn find(
    session: &Session,
    typed: &Path,
    from: Option<&Location>,
    pki: Option<&Path>,
    only_look: bool,
) -> Result<Local, CommandError> {
    let own = below(&session.root, DEFAULT_DIR);
    let into = if only_look { Into::Scratch("/var/tmp".into()) } else { Into::Directory(own) };
    let nothing = |error: CommandError| error.detail("Nothing was changed.");
    if typed != Path::new("latest") {
        if typed.starts_with("s3:") {
            return named(&typed.to_string_lossy(), into).await.map_err(nothing);
        }
        return std::path::absolute(typed).map_err(CommandError::failed).map(Local::at);
    }
    let default = Location::Directory(DEFAULT_DIR.into());
    let place = open(session, from.unwrap_or(&default)).map_err(nothing)?;
    let catalog = catalog(&place).await.map_err(nothing)?;
    let authority = pki.and_then(|pki| authority(session, pki));
    let choice = catalog.choose(authority.as_deref(), Timestamp::now());
    let passed = passed_over(&choice);
    if choice.clusters > 1 {
        let message = format!("{} holds backups of {} clusters", whole(&*place).display(), choice.clusters);
        let error =
            CommandError::failed(message).hint("`rkadm backup list` shows them; name the file to restore");
        return Err(nothing(error));
    }
    if let Some(backup) = choice.backup {
        refuse_older(&catalog, backup).map_err(nothing)?;
        for message in passed {
            session.reporter.report(Event::Warning { message });
        }
        return fetch(place, backup.name.clone(), into).await.map_err(nothing);
    }
    let mut error = nothing(CommandError::failed(BackupError::None(whole(&*place))));
    error.details.extend(passed);
    for (path, why) in &catalog.unreadable {
        error = error.detail(format!("{} is left out: {why}", path.display()));
    }
    Err(error
        .hint("another directory: --dir DIR; a plain snapshot, or one that is passed over: name the file"))
}

/// The public key of the authority that this machine has, as backups tell it.
fn authority(session: &Session, pki: &Path) -> Option<String> {
    let bytes = fs::read(below(&session.root, pki.join("ca.crt"))).ok()?;
    Certificate::from_pem(&bytes).ok().map(|certificate| certificate.spki_hash())
}

fn passed_over(choice: &Choice<'_>) -> Vec<String> {
    let condemned = choice.condemned.iter().map(|backup| {
        let why =
            backup.drill.as_ref().and_then(|drill| drill.error.as_deref()).unwrap_or("it does not say why");
        format!("{} is passed over: its last drill failed: {why}", backup.path.display())
    });
    let foreign = (choice.foreign > 0).then(|| {
        let many = text::count(choice.foreign, "newer backup");
        format!("passed over: {many} of a cluster whose authority has another key than that of this machine")
    });
    let future = choice.future.iter().map(|backup| {
        format!(
            "{} is passed over: it says that it was made at {}, which is yet to come, so that nobody knows how old it is (a clock is or \
             was wrong): where it is the right one, name the file",
            backup.path.display(),
            backup.manifest.created_at
        )
    });
    condemned.chain(foreign).chain(future).collect()
}

/// A backup as the same command names it, wherever it is run: only a file has another name elsewhere.
pub fn as_named(file: &Path) -> PathBuf {
    if file == Path::new("latest") || file.starts_with("s3:") { file.to_owned() } else { absolute(file) }
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

/// Reads all of it. Where API servers kept their objects, a plain snapshot does not say: below `prefix`.
pub async fn read(
    session: &Session,
    file: &Path,
    identities: &[PathBuf],
    prefix: &str,
) -> Result<Source, CommandError> {
    let identities = identities.to_owned();
    let path = file.to_owned();
    let prefix = prefix.to_owned();
    let work = move || {
        if read::is_plain_snapshot(&path) { plain(&path, &prefix) } else { archive(&path, identities) }
    };
    stoppable(session, work).await
}

/// Work on a file that a signal ends, before anything was changed.
pub async fn stoppable<T: Send + 'static>(
    session: &Session,
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, CommandError> {
    let done = session.unless_stopped(tokio::task::spawn_blocking(work)).await;
    let done = done.map_err(|error| error.detail("Nothing was changed."))?;
    done.map_err(CommandError::failed)?.map_err(|error| refused(&error))
}

fn archive(path: &Path, identities: Vec<PathBuf>) -> Result<Source, BackupError> {
    let checked = read::check(path, &Identities::read(&identities)?, None)?;
    let manifest = checked.manifest;
    let encryption = manifest.encryption.and_then(|path| {
        let sha256 = manifest.files.iter().find(|file| file.path == path)?.sha256.clone();
        Some(Encryption { path, sha256 })
    });
    Ok(Source {
        file: path.to_owned(),
        plain: false,
        unhashed: false,
        identities,
        sha256: checked.sha256,
        bytes: fs::metadata(path).map_err(BackupError::io("read", path))?.len(),
        size: manifest.snapshot.size,
        created_at: Some(manifest.created_at),
        node: Some(manifest.node),
        revision: manifest.snapshot.revision,
        keys: manifest.snapshot.keys,
        objects: manifest.objects,
        storage_version: manifest.snapshot.storage_version,
        fingerprints: manifest.fingerprints,
        encryption,
    })
}

fn plain(path: &Path, prefix: &str) -> Result<Source, BackupError> {
    let sha256 = trial::sha256_of(path)?;
    let report = snapshot::verify(path, VerifyOptions::default())?.report;
    let meta = fs::metadata(path).map_err(BackupError::io("read", path))?;
    let written = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Ok(Source {
        file: path.to_owned(),
        plain: true,
        unhashed: report.hash == FileHash::Absent,
        sha256,
        bytes: meta.len(),
        size: report.size,
        created_at: written,
        node: None,
        revision: report.revision,
        keys: report.records.keys,
        objects: report.directories.map(|directories| storage::objects(&directories, prefix)),
        storage_version: report.contents.storage_version,
        ..Source::default()
    })
}

pub fn refused(error: &BackupError) -> CommandError {
    let mut answer = CommandError::failed(error).detail("Nothing was changed.");
    answer.hints = error.hints();
    answer
}
