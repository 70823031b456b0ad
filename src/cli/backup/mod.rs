//! `rkadm backup`.

mod drill;
mod etcd;
mod keys;
mod list;
mod metrics;
mod place;
mod prune;
mod schedule;
mod verify;

use std::path::Path;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    backup::{Backup, BackupError, Catalog, Manifest, retention::Policy},
    config::GoDuration,
    drill::Record,
};
use serde::Serialize;

use super::{
    Session,
    exit::{CommandError, ExitKind},
};

/// What `rkadm backup` can do.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Back up etcd with the keys and settings of this control plane
    ///
    /// The snapshot is verified page by page and compared with the live member before the archive gets its name. Fit for
    /// cron: one line on success, exit code 7 while another one is at work, nothing half-written.
    Etcd(etcd::EtcdArgs),
    /// List the backups of a directory, newest first
    List(list::ListArgs),
    /// Check a backup, or a plain snapshot of etcdctl, without etcd
    ///
    /// Every sum, and every page and record of the snapshot.
    Verify(verify::VerifyArgs),
    /// Restore a backup for real, where nothing is touched, and start etcd on it
    ///
    /// The etcd that this machine runs is started on the restored data in a network and process namespace of its own. Its
    /// revision, its hash of all keys and its number of keys must be those of the backup. With --apiserver, an API server is
    /// started on it too, with the keys of the backup, and lists namespaces and secrets. What came of it is kept beside the
    /// backup, and `rkadm backup list` shows it.
    Drill(drill::DrillArgs),
    /// What `backup drill` runs in a namespace of its own
    #[command(hide = true)]
    DrillCell,
    /// Remove backups that no rule keeps
    ///
    /// The newest one that verified stays in any case, and so does whatever rkadm did not write.
    Prune(prune::PruneArgs),
    /// Write a systemd service and timer that back up by the clock, or print the line for cron
    Schedule(schedule::ScheduleArgs),
}

/// How many backups are kept.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub struct KeepArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_last: usize,
    /// Keep the newest of each of N hours
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_hourly: usize,
    /// Keep the newest of each of N days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_daily: usize,
    /// Keep the newest of each of N weeks
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_weekly: usize,
    /// Keep the newest of each of N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_monthly: usize,
    /// Keep all that are not older than the newest by more than this: `36h`, `14d`
    #[arg(long, value_name = "TIME", value_parser = time)]
    keep_within: Option<SignedDuration>,
}

impl KeepArgs {
    fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            within: self.keep_within,
        }
    }

    /// The same flags again, for the schedule.
    fn words(&self) -> Vec<String> {
        let counts = [
            ("--keep-last", self.keep_last),
            ("--keep-hourly", self.keep_hourly),
            ("--keep-daily", self.keep_daily),
            ("--keep-weekly", self.keep_weekly),
            ("--keep-monthly", self.keep_monthly),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let within = self.keep_within.map(|time| format!("--keep-within={}s", time.as_secs()));
        counts.map(|(flag, count)| format!("{flag}={count}")).chain(within).collect()
    }
}

/// A Go duration, or days.
fn time(typed: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{typed:?} is no time such as 36h or 14d");
    let time = if let Some(days) = typed.strip_suffix('d') {
        SignedDuration::from_hours(days.parse::<u32>().map(i64::from).map_err(|_| wrong())? * 24)
    } else {
        let time: GoDuration = typed.parse().map_err(|_| wrong())?;
        SignedDuration::from_nanos(time.nanos())
    };
    if time.is_negative() { Err(wrong()) } else { Ok(time) }
}

/// A backup for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    file: String,
    bytes: u64,
    created_at: Timestamp,
    node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes_version: Option<&'a str>,
    etcd_version: &'a str,
    cluster_id: &'a str,
    revision: i64,
    keys: u64,
    snapshot_bytes: u64,
    /// It verified when it was made.
    verified: bool,
    /// And had the hash of the live member.
    compared_with_member: bool,
    /// Only the owners of some keys can read it.
    encrypted: bool,
    /// The last drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    drill: Option<Record>,
}

impl<'a> Shown<'a> {
    /// One that was just made.
    fn of(path: &Path, bytes: u64, encrypted: bool, manifest: &'a Manifest) -> Self {
        Self {
            file: path.display().to_string(),
            bytes,
            created_at: manifest.created_at,
            node: &manifest.node,
            kubernetes_version: manifest.kubernetes_version.as_deref(),
            etcd_version: &manifest.etcd.version,
            cluster_id: &manifest.etcd.cluster_id,
            revision: manifest.snapshot.revision,
            keys: manifest.snapshot.keys,
            snapshot_bytes: manifest.snapshot.size,
            verified: manifest.verified.snapshot,
            compared_with_member: manifest.verified.live_hash,
            encrypted,
            drill: None,
        }
    }

    fn of_backup(backup: &'a Backup) -> Self {
        let drill = backup.drill.clone();
        Self { drill, ..Self::of(&backup.path, backup.bytes, backup.recipients > 0, &backup.manifest) }
    }
}

/// Runs it.
pub async fn run(session: &Session, command: &BackupCommand) -> Result<(), CommandError> {
    match command {
        BackupCommand::Etcd(args) => etcd::run(session, args).await,
        BackupCommand::List(args) => list::run(session, args).await,
        BackupCommand::Verify(args) => verify::run(session, args).await,
        BackupCommand::Prune(args) => prune::run(session, args).await,
        BackupCommand::Drill(args) => drill::run(session, args).await,
        BackupCommand::DrillCell => drill::cell().await,
        BackupCommand::Schedule(args) => schedule::run(session, args).await,
    }
}

pub use keys::IdentityArgs;
pub use place::{DEFAULT_DIR, Into, Local, catalog, fetch, named, open, whole};
use place::{DirArg, directory};
pub use schedule::resume as resume_schedule;

/// The named backup, or with `latest` the newest of the place that verified.
async fn chosen(
    session: &Session,
    dir: &DirArg,
    file: &str,
    scratch: Option<&Path>,
) -> Result<Local, CommandError> {
    // What comes from a bucket is too large for a /tmp in memory.
    let scratch = scratch.map_or_else(|| "/var/tmp".into(), Path::to_owned);
    if file != "latest" {
        return named(file, Into::Scratch(scratch)).await;
    }
    let place = dir.place(session)?;
    let catalog = catalog(&place).await?;
    let latest = catalog.latest(Timestamp::now());
    let latest = latest.ok_or_else(|| failed(BackupError::None(whole(&*place))))?;
    refuse_older(&catalog, latest)?;
    fetch(place, latest.name.clone(), Into::Scratch(scratch)).await
}

/// The latest is not the latest where a newer one cannot be read: to go on with an older one is for somebody to say.
pub fn refuse_older(catalog: &Catalog, latest: &Backup) -> Result<(), CommandError> {
    let newer = catalog.unreadable_after(latest);
    if newer.is_empty() {
        return Ok(());
    }
    let message = "which backup is the latest cannot be told: one that may be newer cannot be read";
    let mut error = CommandError::failed(message);
    for (path, why) in newer {
        error = error.detail(format!("{}: {why}", path.display()));
    }
    Err(error
        .hint(format!("the latest that can be read: {}; name it to take it", latest.path.display()))
        .hint("or move what is no backup away"))
}

/// For `map_err`, which gives errors away.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn failed(error: BackupError) -> CommandError {
    let kind = match error {
        BackupError::Busy(_) => ExitKind::Locked,
        BackupError::Recipient { .. } => ExitKind::Usage,
        BackupError::Stopped(_) => ExitKind::Interrupted,
        _ => ExitKind::Failed,
    };
    let mut answer = CommandError::new(kind, rkadm_core::text::chain(&error));
    answer.hints = error.hints();
    if matches!(error, BackupError::Stopped(_)) {
        answer.details.push("There is no new backup, and nothing is left of this one.".into());
    }
    answer
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = bytes;
    let mut tenths = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenths} {}", UNITS[unit]) }
}

/// How long ago, in the largest unit that fits.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs();
    match seconds {
        ..0 => "in the future".into(),
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_for_people() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |seconds: i64| age(Timestamp::from_second(1_000_000 - seconds).unwrap(), now);
        assert_eq!(
            [ago(5), ago(600), ago(90_000), ago(200_000), ago(-5)],
            ["5s", "10m", "25h", "2d", "in the future"]
        );
    }

    #[test]
    fn times_may_be_in_days() {
        assert_eq!(time("14d").unwrap(), SignedDuration::from_hours(14 * 24));
        assert_eq!(time("36h").unwrap(), SignedDuration::from_hours(36));
        for wrong in ["", "d", "x", "-1h", "1.5d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
