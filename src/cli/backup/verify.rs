//! `rkadm backup verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use rkadm_core::{
    backup::{BackupError, open},
    etcd::snapshot::{FileHash, Report},
};
use serde::Serialize;

use super::{DirArg, chosen, failed, size};
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
    /// Where the snapshot of an archive is unpacked meanwhile [default: beside the archive]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    file: String,
    /// Files in the archive beside the snapshot; 0 of a plain snapshot.
    files: usize,
    snapshot_bytes: u64,
    in_use_bytes: u64,
    revision: i64,
    compact_revision: i64,
    keys: u64,
    records: u64,
    hash_kv: String,
    /// `matches`, or `absent` of a copy of a data directory's file.
    file_hash: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_version: Option<String>,
    members: Vec<String>,
    leases: u64,
    alarms: usize,
    elapsed_ms: u64,
}

/// Runs it.
pub async fn run(session: &Session, args: &VerifyArgs) -> Result<(), CommandError> {
    let path = chosen(&args.dir.real(session), &args.file)?;
    let scratch = args.scratch.clone();
    let began = std::time::Instant::now();
    let checked = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || check(&path, scratch.as_deref())).await
    };
    let (files, report) = checked.map_err(CommandError::failed)?.map_err(failed)?;
    let result = Verification {
        file: path.display().to_string(),
        files,
        snapshot_bytes: report.size,
        in_use_bytes: report.in_use,
        revision: report.revision,
        compact_revision: report.compact_revision,
        keys: report.records.keys,
        records: report.records.total,
        hash_kv: format!("{:08x}", report.hash_kv.hash),
        file_hash: if matches!(report.hash, FileHash::Absent) { "absent" } else { "matches" },
        storage_version: report.contents.storage_version.clone(),
        members: report.contents.members.iter().map(|member| member.name.clone()).collect(),
        leases: report.contents.leases,
        alarms: report.contents.alarms.len(),
        elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    session.printer.result("BackupVerification", &result, || human(&result));
    Ok(())
}

fn human(result: &Verification) -> String {
    let files = match result.files {
        0 => String::new(),
        count => format!(", {} beside it", text::count(count, "file")),
    };
    let hash = if result.file_hash == "absent" {
        " (no SHA-256 at its end: damage inside values cannot be seen)"
    } else {
        ""
    };
    format!(
        "{}: good{hash}: revision {}, {} keys in {} records, {} of {} in use, hash {}{files}\n",
        result.file,
        result.revision,
        result.keys,
        result.records,
        size(result.in_use_bytes),
        size(result.snapshot_bytes),
        result.hash_kv
    )
}

/// How many files there are beside the snapshot, and what the snapshot says.
fn check(path: &Path, scratch: Option<&Path>) -> Result<(usize, Report), BackupError> {
    let beside = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = scratch.unwrap_or(beside);
    let unpacked = tempfile::Builder::new().prefix(".rkadm-verify-").tempdir_in(dir);
    let unpacked = unpacked.map_err(BackupError::io("write to", dir))?;
    let opened = open::open(path, unpacked.path())?;
    Ok((opened.files.len(), opened.snapshot.report))
}
