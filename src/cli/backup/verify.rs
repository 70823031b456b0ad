//! `rkadm backup verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use rkadm_core::{
    backup::{
        BackupError, beside, crypt::Identities, label::Label, manifest::Snapshot, open, read,
        scratch::Scratch,
    },
    engine::Event,
    etcd::snapshot::{FileHash, Report},
};
use serde::Serialize;

use super::{DirArg, IdentityArgs, chosen, failed, place::blocking, size};
use crate::{
    cli::{Session, exit::CommandError},
    output::text,
};

/// What to check.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// An archive, a snapshot of etcdctl (`.db`), or `latest`: the newest of the directory
    #[arg(value_name = "FILE|latest")]
    file: String,
    #[command(flatten)]
    dir: DirArg,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Where the snapshot of an archive is unpacked meanwhile [default: beside the archive]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// The result.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    file: String,
    /// What is in it was read; of an encrypted one without an identity, only its bytes.
    opened: bool,
    encrypted: bool,
    snapshot_bytes: u64,
    revision: i64,
    compact_revision: i64,
    keys: u64,
    hash_kv: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_version: Option<String>,
    elapsed_ms: u64,
    #[serde(flatten)]
    inside: Option<Inside>,
}

/// What is known when it was read.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inside {
    /// Files in the archive beside the snapshot; 0 of a plain snapshot.
    files: usize,
    in_use_bytes: u64,
    records: u64,
    /// `matches`, or `absent` of a copy of a data directory's file.
    file_hash: &'static str,
    members: Vec<String>,
    leases: u64,
    alarms: usize,
}

/// Runs it.
pub async fn run(session: &Session, args: &VerifyArgs) -> Result<(), CommandError> {
    let scratch = args.scratch.clone();
    let local = chosen(session, &args.dir, &args.file, scratch.as_deref()).await?;
    let identity = args.identity.absolute();
    let began = std::time::Instant::now();
    let path = local.path.clone();
    let encrypted = !read::is_plain_snapshot(&path) && read::is_sealed(&path).map_err(failed)?;
    let (found, odd) = if encrypted && identity.is_empty() {
        session.unless_stopped(blocking(move || sealed(&path))).await??
    } else {
        let near = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = scratch.as_deref().unwrap_or(near);
        // Of this function, so that it goes when the work is stopped.
        // What a killed one left is swept: it holds the secrets of an encrypted backup.
        let unpacked = Scratch::make(dir).map_err(failed)?;
        let into = unpacked.path().to_owned();
        let work = blocking(move || opened(&path, &into, &identity, encrypted));
        session.unless_stopped(work).await??
    };
    if let Some(message) = odd {
        session.reporter.report(Event::Warning { message });
    }
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let result = Verification { file: local.shown.display().to_string(), elapsed_ms, ..found };
    session.printer.result("BackupVerification", &result, || human(&result));
    Ok(())
}

impl Verification {
    /// Of what is in it.
    fn opened(report: &Report, files: usize, encrypted: bool) -> Self {
        Self {
            opened: true,
            encrypted,
            snapshot_bytes: report.size,
            revision: report.revision,
            compact_revision: report.compact_revision,
            keys: report.records.keys,
            hash_kv: format!("{:08x}", report.hash_kv.hash),
            storage_version: report.contents.storage_version.clone(),
            inside: Some(Inside {
                files,
                in_use_bytes: report.in_use,
                records: report.records.total,
                file_hash: if matches!(report.hash, FileHash::Absent) { "absent" } else { "matches" },
                members: report.contents.members.iter().map(|member| member.name.clone()).collect(),
                leases: report.contents.leases,
                alarms: report.contents.alarms.len(),
            }),
            ..Self::default()
        }
    }

    /// Of what was found when it was made.
    fn sealed(told: &Snapshot) -> Self {
        Self {
            encrypted: true,
            snapshot_bytes: told.size,
            revision: told.revision,
            compact_revision: told.compact_revision,
            keys: told.keys,
            hash_kv: format!("{:08x}", told.hash_kv),
            storage_version: told.storage_version.clone(),
            ..Self::default()
        }
    }
}

fn human(result: &Verification) -> String {
    let Some(inside) = &result.inside else {
        return format!(
            "{}: the same bytes as when it was made; then, what is in it was decrypted and verified: revision {}, {} keys, hash {}.\n\
             It was not opened now: --identity does that.\n",
            result.file, result.revision, result.keys, result.hash_kv
        );
    };
    let files = match inside.files {
        0 => String::new(),
        count => format!(", {} beside it", text::count(count, "file")),
    };
    let hash = if inside.file_hash == "absent" {
        " (no SHA-256 at its end: damage inside values cannot be seen)"
    } else {
        ""
    };
    format!(
        "{}: good{hash}: revision {}, {} keys in {} records, {} of {} in use, hash {}{files}\n",
        result.file,
        result.revision,
        result.keys,
        inside.records,
        size(inside.in_use_bytes),
        size(result.snapshot_bytes),
        result.hash_kv
    )
}

/// What is found, and what is odd about what lies beside it.
type Found = (Verification, Option<String>);

/// Without a private key: the bytes.
fn sealed(path: &Path) -> Result<Found, BackupError> {
    let label = Label::read(path)?;
    label.check(path)?;
    let odd = beside::check(path, &label.sha256, None)?;
    Ok((Verification::sealed(&label.manifest.snapshot), odd))
}

/// All that is in it.
fn opened(path: &Path, into: &Path, identity: &[PathBuf], encrypted: bool) -> Result<Found, BackupError> {
    let opened = open::open(path, &Identities::read(identity)?, into)?;
    read::is_spotless(path, &opened.odd)?;
    let odd = match &opened.sha256 {
        Some(sha256) => beside::check(path, sha256, opened.manifest.as_ref())?,
        None => None,
    };
    Ok((Verification::opened(&opened.snapshot.report, opened.files.len(), encrypted), odd))
}
