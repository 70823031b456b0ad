//! `rkadm restore etcd FILE --control-planes cp1,cp2,cp3`: all control planes at the same time, over ssh.
//!
//! Each runs the same command that an operator would run on it by hand, with `--initial-cluster`. What an operator would say at
//! its gates is said from here.

mod backup;
mod plan;
mod report;
mod survey;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use futures::future::join_all;
use rkadm_core::{
    engine::Event,
    fleet::{Conduct, Deployed, Ended, Run, conduct},
    kube::storage,
    pki::list,
};
use rkadm_phases::restore::Point;

use super::{EtcdArgs, confirm::possible, source};
use crate::cli::{
    Session, confirm,
    exit::{CommandError, ExitKind},
    fleet::{Fleet, stoppable, why},
};
use backup::Backup;
use plan::Plan;
pub use survey::run as survey;

/// How long a machine may take to go back by itself, where the command that led it before was cut off.
const PATIENCE: Duration = Duration::from_mins(1);

/// Flags of a restore of several machines.
#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// Restore all control planes with one command: the hosts, as ssh knows them, this one among them or not. All of them are
    /// asked before any is stopped. Keys must be known to ssh, and the user there root or able to use sudo without a question
    #[arg(long, value_name = "HOST,…", value_delimiter = ',', conflicts_with_all = ["from_survivor", "no_bump", "initial_cluster", "on_failure"])]
    pub control_planes: Vec<String>,
    /// What the others do when one machine does not come up with the restored data. Before that, they always go back
    #[arg(long, value_enum, default_value_t, requires = "control_planes")]
    pub when_one_fails: WhenOneFails,
}

/// What becomes of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WhenOneFails {
    /// All go back to the old data.
    #[default]
    GoBack,
    /// They go on, as long as they are a majority; the one that failed joins again later.
    GoOn,
}

/// Runs it.
pub async fn run(session: &Session, args: &EtcdArgs) -> Result<(), CommandError> {
    if !args.dry_run && !args.yes {
        possible("restore etcd", "replaces the data of the cluster")?;
    }
    let typed = args.file.as_deref().unwrap_or(Path::new("latest"));
    let file =
        source::find(session, typed, args.dir.as_ref(), Some(list::DEFAULT_DIR.as_ref()), true).await?;
    let identities = args.identity.absolute();
    let source = source::read(session, &file.path, &identities, storage::PREFIX).await?;
    let fleet = stoppable(session, Fleet::assemble(session, &args.fleet.control_planes)).await?;
    let backup = Backup { path: file.path.clone(), shown: file.shown.clone(), source, identities };
    let prepared = stoppable(session, prepare(session, args, &fleet, &backup)).await;
    let done = match prepared {
        Ok(Some(plan)) => match from_a_clean_state(session, args, &fleet, &backup, plan).await {
            Ok(plan) => carry_out(session, args, &fleet, &backup, &plan).await,
            Err(error) => Err(error),
        },
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    fleet.clear(session).await;
    done
}

/// Asks all machines, and then the operator. None for a dry run.
async fn prepare(
    session: &Session,
    args: &EtcdArgs,
    fleet: &Fleet,
    backup: &Backup,
) -> Result<Option<Plan>, CommandError> {
    let plan = look(args, fleet, backup).await?;
    plan.warnings().into_iter().for_each(|message| session.reporter.report(Event::Warning { message }));
    if args.dry_run {
        session.printer.result("FleetRestorePlan", &plan.document(backup), || plan.text(backup));
        return Ok(None);
    }
    if !args.yes && confirm::ask_in_peace(plan.question(backup)).await != Some(true) {
        return Err(confirm::denied());
    }
    Ok(Some(plan))
}

/// What was cut off is taken back on all, and all are asked anew.
async fn from_a_clean_state(
    session: &Session,
    args: &EtcdArgs,
    fleet: &Fleet,
    backup: &Backup,
    mut plan: Plan,
) -> Result<Plan, CommandError> {
    let patience = Instant::now() + PATIENCE;
    let mut told = false;
    while plan.has_leftovers() {
        let failures = take_back(session, fleet, &plan, &mut told).await?;
        if let Some(signal) = session.cancel.signal() {
            let error = CommandError::new(ExitKind::Interrupted, format!("stopped by {signal}"));
            return Err(error.detail("What was cut off before was taken back; no new restore was begun."));
        }
        plan = look(args, fleet, backup).await?;
        // One that was still on its way back by itself may have got there meanwhile.
        let left = failures.into_iter().filter(|failure| plan.leftovers().any(|id| id == Some(&failure.id)));
        let left: Vec<_> = left.collect();
        if left.iter().any(|failure| !failure.busy || Instant::now() > patience) {
            return Err(not_taken_back(left));
        }
        if !left.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(plan)
}

async fn look(args: &EtcdArgs, fleet: &Fleet, backup: &Backup) -> Result<Plan, CommandError> {
    let question = survey::Question { source: backup.source.clone(), force: args.force };
    let answers = fleet.ask("restore", &["restore", "survey"], &question).await?;
    Plan::new(answers, &backup.source, args.force)
}

/// What could not be taken back.
struct Failure {
    machine: String,
    /// Of the operation.
    id: String,
    why: String,
    /// Another rkadm is at work there, which may be taking it back already.
    busy: bool,
}

/// A restore of all that was cut off is taken back on every machine before the next.
async fn take_back(
    session: &Session,
    fleet: &Fleet,
    plan: &Plan,
    told: &mut bool,
) -> Result<Vec<Failure>, CommandError> {
    let mut failures = vec![];
    for (on, id) in fleet.machines.iter().zip(plan.leftovers()) {
        let Some(id) = id else { continue };
        if !*told {
            let name = on.machine.name();
            let message = format!("{name}: operation {id} was cut off and is taken back first");
            session.reporter.report(Event::Warning { message });
        }
        let argv = [&on.program, "--progress", "json", "-o", "json", "op", "rollback", id];
        let run = Run::start(&on.machine, &argv).await.map_err(CommandError::failed)?;
        let ended = conduct(vec![run], &Conduct::default(), session.reporter.as_ref(), &session.cancel).await;
        failures.extend(ended.into_iter().filter(|ended| !ended.is_good()).map(|ended| Failure {
            id: id.to_owned(),
            why: why(&ended.ending),
            busy: ended.ending.code == Some(ExitKind::Locked as i32),
            machine: ended.machine,
        }));
    }
    *told = true;
    Ok(failures)
}

fn not_taken_back(failures: Vec<Failure>) -> CommandError {
    let mut error = CommandError::failed("a restore that was cut off cannot be taken back");
    for Failure { machine, id, why, .. } in failures {
        error.details.push(format!("{machine}: {why}"));
        error.hints.push(format!("on {machine}: `rkadm op show {id}`"));
    }
    error
}

async fn carry_out(
    session: &Session,
    args: &EtcdArgs,
    fleet: &Fleet,
    backup: &Backup,
    plan: &Plan,
) -> Result<(), CommandError> {
    let sha256 = backup.inner_sha256().await?;
    let bring = async |on: &Deployed| match backup.as_it_is(&on.machine) {
        Some(path) => Ok(path),
        None => backup.bring(on, backup.name(), &sha256).await,
    };
    let brought = stoppable(session, async {
        join_all(fleet.machines.iter().map(bring)).await.into_iter().collect::<Result<Vec<_>, _>>()
    });
    let files = brought.await?;
    let started = Instant::now();
    let mut runs = vec![];
    for (on, file) in fleet.machines.iter().zip(&files) {
        let mut argv = vec![on.program.clone()];
        argv.extend(plan.command(file, args.force));
        let words: Vec<_> = argv.iter().map(String::as_str).collect();
        runs.push(match Run::start(&on.machine, &words).await {
            Ok(run) => run,
            Err(error) => Run::failed(on.machine.name(), &error),
        });
    }
    let how = Conduct {
        gates: Point::ALL.map(Point::id).to_vec(),
        majority_goes_on: args.fleet.when_one_fails == WhenOneFails::GoOn,
    };
    let ended: Vec<Ended> = conduct(runs, &how, session.reporter.as_ref(), &session.cancel).await;
    let status = if ended.iter().all(Ended::is_good) { "finished" } else { "failed" };
    session.reporter.report(Event::OperationFinished {
        operation: plan.token.clone(),
        status: status.into(),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    report::finished(session, backup, plan, &ended)
}
