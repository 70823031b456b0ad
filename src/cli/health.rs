//! `rkadm health`: whether what this machine runs of a cluster works, and the cluster with it.

use std::time::Duration;

use clap::{Args, Command};
use rkadm_phases::health::{self, Check, Report, State};

use super::{
    Session,
    exit::{CommandError, ExitKind},
};
use crate::output::text;

/// What does not answer within this time does not work, for whoever waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of it is told.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Only tell of what is not well
    #[arg(long, short)]
    quiet: bool,
}

/// The subcommand.
pub fn command() -> Command {
    HealthArgs::augment_args(Command::new("health"))
        .about("Tell whether this node and its cluster are well, and what is wrong in words")
        .long_about(
            "Ask everything that this machine runs of a cluster, all at once: the kubelet, etcd with all its members, the API \
             server with its own checks, the controller manager, the scheduler, kube-proxy; then certificates, nodes, pods of \
             the control planes and elected leaders. Nothing is changed. The exit code is 1 when anything does not work; \
             warnings alone leave it 0.",
        )
}

/// Runs it.
pub async fn run(session: &Session, args: &HealthArgs) -> Result<(), CommandError> {
    let host = session.host(PATIENCE);
    let report = health::look(&host).await;
    session.printer.result("Health", &report, || human(&report, args.quiet));
    if report.worst() < State::Failed {
        return Ok(());
    }
    let failed = report.failed().count();
    let message = format!("{} failed", text::count(failed, "check"));
    Err(CommandError::new(ExitKind::Failed, message).after_result())
}

fn human(report: &Report, quiet: bool) -> String {
    let told = report.checks.iter().filter(|check| !quiet || check.state != State::Ok);
    told.map(line).collect()
}

fn line(check: &Check) -> String {
    let state = match check.state {
        State::Ok => "ok",
        State::Warning => "WARNING",
        State::Failed => "FAILED",
    };
    let hint = check.hint.as_ref().map(|hint| format!("\n{:34}{hint}", "")).unwrap_or_default();
    format!("{:24}  {state:7} {}{hint}\n", check.component, check.message)
}
