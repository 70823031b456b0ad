//! `rkadm backup drill`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use jiff::Timestamp;
use rkadm_core::{
    drill::{self, DrillError, Record, Request, cell::Answer, record},
    engine::Event,
};
use serde::Serialize;

use super::{DirArg, IdentityArgs, Local, chosen, metrics, place::blocking};
use crate::{
    cli::{
        API_TIMEOUT, Session,
        args::absolute,
        exit::{CommandError, ExitKind},
    },
    output::{self, text},
};

/// What to try.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// An archive, a snapshot of etcdctl (`.db`), or `latest`: the newest of the directory
    #[arg(value_name = "FILE|latest")]
    file: String,
    #[command(flatten)]
    dir: DirArg,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Start an API server on it too
    #[arg(long)]
    apiserver: bool,
    /// Where it is restored meanwhile; it needs room for the snapshot twice [default: beside the backup]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// The etcd to start [default: the one that this machine's static pod runs]
    #[arg(long, value_name = "PROGRAM")]
    etcd: Option<PathBuf>,
    /// The API server to start [default: the one that this machine's static pod runs]
    #[arg(long, value_name = "PROGRAM", requires = "apiserver")]
    kube_apiserver: Option<PathBuf>,
    /// Write metrics for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Drilled<'a> {
    file: String,
    #[serde(flatten)]
    record: &'a Record,
}

/// Runs it.
pub async fn run(session: &Session, args: &DrillArgs) -> Result<(), CommandError> {
    Session::require_root("backup drill")?;
    // What comes from a bucket goes again with this.
    let local = chosen(session, &args.dir, &args.file, args.scratch.as_deref()).await?;
    let file = absolute(&local.path);
    let beside = file.parent().unwrap_or(Path::new("/")).to_owned();
    let program = std::env::current_exe().map_err(CommandError::failed)?;
    let request = Request {
        root: session.root.clone(),
        identities: args.identity.absolute(),
        scratch: args.scratch.as_ref().map_or(beside, absolute),
        etcd: args.etcd.as_ref().map(absolute),
        api_server: args.apiserver.then(|| args.kube_apiserver.as_ref().map(absolute)),
        cell: vec![program.into(), "backup".into(), "drill-cell".into()],
        file,
    };
    let began = Timestamp::now();
    let stop = async {
        session.cancel.cancelled().await;
    };
    let made = drill::run(&request, stop).await;
    let record = match &made {
        Ok(record) => Some(record.clone()),
        Err(error) if error.condemns() => Some(Record::of_failure(began, error)),
        // It says nothing of the backup.
        Err(_) => None,
    };
    let kept = match record {
        Some(record) => keep(&local, record).await,
        None => Ok(()),
    };
    if let Some(path) = &args.prometheus {
        let host = session.host(API_TIMEOUT);
        let written = metrics::write_drill(&host, path, made.is_ok(), Timestamp::now()).await;
        metrics::or_warn(session, written);
    }
    let record = match (made, kept) {
        (Ok(record), Ok(())) => record,
        (Ok(_), Err(error)) => return Err(error),
        (Err(error), kept) => {
            if let Err(unkept) = kept {
                session.reporter.report(Event::Warning { message: unkept.message });
            }
            return Err(refused(&error));
        }
    };
    let result = Drilled { file: absolute_or_url(&local.shown).display().to_string(), record: &record };
    session.printer.result("BackupDrill", &result, || human(&result));
    Ok(())
}

/// Beside the backup, wherever that is.
async fn keep(local: &Local, record: Record) -> Result<(), CommandError> {
    let (place, name) = (Arc::clone(&local.place), local.name.clone());
    let works = record.is_good();
    let written = blocking(move || record::write(&*place, &name, &record)).await;
    written.map_err(|mut error| {
        let told = if works { "the backup works, but what" } else { "what" };
        error.message = format!("{told} came of the drill cannot be kept beside it: {}", error.message);
        error
    })
}

fn absolute_or_url(shown: &Path) -> PathBuf {
    if shown.starts_with("s3:") { shown.to_owned() } else { absolute(shown) }
}

/// Runs in namespaces of its own, for [`run`].
pub async fn cell() -> Result<(), CommandError> {
    let answer: Answer = drill::cell::run().await;
    let text = serde_json::to_string(&answer).map_err(CommandError::failed)?;
    output::plain(&text);
    Ok(())
}

fn human(result: &Drilled<'_>) -> String {
    let Some(found) = &result.record.findings else { return String::new() };
    let api = found.api_server.as_ref().map(|api| {
        format!(
            "; API server {} lists {} and {}",
            api.version,
            text::count(api.namespaces, "namespace"),
            text::count(api.secrets, "secret")
        )
    });
    format!(
        "{}: works: etcd {} has revision {}, {} keys and hash {} as the backup{}; {}\n",
        result.file,
        found.etcd_version,
        found.revision,
        found.keys,
        found.hash_kv,
        api.unwrap_or_default(),
        text::duration(result.record.elapsed_ms)
    )
}

fn refused(error: &DrillError) -> CommandError {
    let mut answer = match error {
        DrillError::Stopped => CommandError::new(ExitKind::Interrupted, error.to_string()),
        _ => CommandError::new(ExitKind::Failed, rkadm_core::text::chain(error)),
    };
    answer.details.push("Nothing of this machine was touched, and nothing is left behind.".into());
    answer.hints = error.hints();
    answer
}
