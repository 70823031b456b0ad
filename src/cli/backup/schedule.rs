//! `rkadm backup schedule`.

use clap::{Args, ValueEnum as _};
use rkadm_core::{
    backup::place::Location,
    engine::{OnFailure, operation::Operation},
};
use rkadm_phases::backup::{Schedule, Timed, workflow};
use serde::Serialize;

use super::{
    DEFAULT_DIR, DirArg, KeepArgs,
    etcd::{Compress, ResourcesArgs},
    failed,
    keys::EncryptArgs,
};
use crate::cli::{
    API_TIMEOUT, Session,
    args::{FailurePolicy, absolute},
    exit::{CommandError, ExitKind},
    operation::{self, Manner},
};

/// When, and how.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// When, as systemd's OnCalendar takes it: `hourly`, `*-*-* 03:00`
    #[arg(long, value_name = "WHEN", default_value = "hourly")]
    calendar: String,
    #[command(flatten)]
    dir: DirArg,
    /// How the archives are compressed
    #[arg(long, value_enum, default_value_t)]
    compression: Compress,
    #[command(flatten)]
    resources: ResourcesArgs,
    #[command(flatten)]
    encrypt: EncryptArgs,
    /// File with the variables AWS_… for s3://, read by systemd: `NAME=value` on each line
    #[arg(long, value_name = "FILE", conflicts_with = "print_cron")]
    environment_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    keep: KeepArgs,
    /// Write metrics for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    prometheus: Option<std::path::PathBuf>,
    /// Try the newest backup too, at this time: `weekly`. What `backup drill latest` says goes to the journal
    #[arg(long, value_name = "WHEN")]
    drill: Option<String>,
    /// Print lines for cron, which knows hourly, daily, weekly and monthly; write nothing
    #[arg(long)]
    print_cron: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// What to do when a step fails
    #[arg(long, value_enum, default_value_t)]
    on_failure: FailurePolicy,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scheduled {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    command: String,
    calendar: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    drill: Option<String>,
}

/// Runs it.
pub async fn run(session: &Session, args: &ScheduleArgs) -> Result<(), CommandError> {
    if args.dir.dir == Location::Stdout {
        return Err(CommandError::new(
            ExitKind::Usage,
            "a schedule has no standard output to write archives to",
        ));
    }
    if args.drill.is_some() && !args.encrypt.words().is_empty() {
        let error = CommandError::new(
            ExitKind::Usage,
            "a drill by the clock would need the private key of an encrypted backup on this machine",
        );
        return Err(
            error.hint("leave out --drill, and run `rkadm backup drill FILE --identity KEY` elsewhere")
        );
    }
    // Now rather than at three in the morning.
    args.encrypt.recipients().map_err(failed)?;
    let schedule = schedule(args);
    if args.print_cron {
        return print_cron(session, &schedule);
    }
    if !args.dry_run {
        Session::require_root("backup schedule")?;
    }
    execute(session, schedule, args.on_failure.into(), args.dry_run).await
}

/// Goes on with an unfinished one.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    execute(session, operation::request(session, operation)?, OnFailure::Stop, false).await
}

fn schedule(args: &ScheduleArgs) -> Schedule {
    let program = std::env::current_exe().map_or_else(|_| "rkadm".into(), |path| path.display().to_string());
    let (dir, backups) = match &args.dir.dir {
        Location::Directory(dir) => {
            (absolute(dir).display().to_string(), absolute(dir).display().to_string())
        }
        // What is not complete lies there.
        elsewhere => (elsewhere.to_string(), DEFAULT_DIR.to_owned()),
    };
    let words = |words: &[&str]| -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        [program.clone()].into_iter().chain(words).chain([format!("--dir={dir}")]).collect()
    };
    let mut backup = Timed { calendar: args.calendar.clone(), command: words(&["backup", "etcd"]) };
    if let (compression, Some(value)) = (args.compression, args.compression.to_possible_value())
        && compression != Compress::default()
    {
        backup.command.push(format!("--compression={}", value.get_name()));
    }
    backup.command.extend(args.resources.words());
    backup.command.extend(args.encrypt.words());
    backup.command.extend(args.keep.words());
    let mut drill = args
        .drill
        .as_ref()
        .map(|calendar| Timed { calendar: calendar.clone(), command: words(&["backup", "drill", "latest"]) });
    let mut metrics = vec![];
    if let Some(path) = &args.prometheus {
        let path = absolute(path);
        metrics.extend(path.parent().map(|dir| dir.display().to_string()));
        backup.command.push(format!("--prometheus={}", path.display()));
        if let Some(drill) = &mut drill {
            // A file of its own: each writes all of its file.
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let path = path.with_file_name(format!("{name}_drill.prom"));
            drill.command.push(format!("--prometheus={}", path.display()));
        }
    }
    let environment = args.environment_file.as_ref().map(|path| absolute(path).display().to_string());
    Schedule { backup, drill, backups, metrics, environment }
}

/// Lines for a file in /etc/cron.d.
fn print_cron(session: &Session, schedule: &Schedule) -> Result<(), CommandError> {
    let timed: Vec<_> = [Some(&schedule.backup), schedule.drill.as_ref()].into_iter().flatten().collect();
    let words = |timed: &Timed| timed.command.iter().map(|word| for_cron(word)).collect::<Vec<_>>().join(" ");
    let line = |timed: &&Timed| Ok(format!("{} root {}\n", cron_time(&timed.calendar)?, words(timed)));
    let lines = timed.iter().map(line).collect::<Result<String, CommandError>>()?;
    let result = Scheduled {
        operation: None,
        command: words(&schedule.backup),
        calendar: schedule.backup.calendar.clone(),
        drill: schedule.drill.as_ref().map(|drill| drill.calendar.clone()),
    };
    session.printer.result("BackupSchedule", &result, || lines);
    Ok(())
}

/// Not all of them at midnight, as cron's own names would have it.
fn cron_time(calendar: &str) -> Result<&'static str, CommandError> {
    match calendar {
        "hourly" => Ok("0 * * * *"),
        "daily" => Ok("0 3 * * *"),
        "weekly" => Ok("0 4 * * 0"),
        "monthly" => Ok("0 5 1 * *"),
        _ => Err(CommandError::new(ExitKind::Usage, format!("{calendar:?} cannot be written for cron"))
            .hint("hourly, daily, weekly or monthly; or change the time in the line that is printed")),
    }
}

/// A word for the shell that cron starts, in which a percent sign is a line's end.
fn for_cron(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=/.,:+".contains(&byte);
    if word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''").replace('%', "\\%"))
}

async fn execute(
    session: &Session,
    schedule: Schedule,
    on_failure: OnFailure,
    dry_run: bool,
) -> Result<(), CommandError> {
    let manner = Manner { dry_run, on_failure, ..Manner::default() };
    let host = session.host(API_TIMEOUT);
    let workflow = workflow(&schedule);
    let Some(done) = operation::carry_out(session, &host, &workflow, &schedule, &manner).await? else {
        return Ok(());
    };
    let result = Scheduled {
        operation: Some(done.operation),
        command: schedule.backup.command.join(" "),
        calendar: schedule.backup.calendar,
        drill: schedule.drill.map(|drill| drill.calendar),
    };
    session.printer.result("BackupSchedule", &result, || {
        let drill = result.drill.as_ref();
        let drill = drill.map(|when| format!("rkadm-backup-drill.timer tries the newest one {when}.\n"));
        let drill = drill.unwrap_or_default();
        format!(
            "rkadm-backup.timer runs `{}` {}.\n{drill}Look at it: systemctl list-timers 'rkadm-backup*'; journalctl -u rkadm-backup\n",
            result.command, result.calendar
        )
    });
    Ok(())
}
