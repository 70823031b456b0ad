//! `rkadm op`: look at operations, resume them, take them back.

mod cluster;

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;
use rkadm_core::engine::{
    Event,
    journal::{JournalDir, JournalError, Record},
    operation::{Operation, PhaseLine, Status, StepLine, StepState},
    rollback::Stubborn,
};
use serde::Serialize;

use super::{
    Session,
    exit::{CommandError, ExitKind},
};
use crate::output::text;

/// What to do with operations.
#[derive(Debug, Subcommand)]
pub enum OpCommand {
    /// List the operations of this machine, oldest first
    List {
        /// Instead, list joins of any machine that the cluster shows as unfinished: Nodes that say so, and members of etcd
        /// on their way
        #[arg(long)]
        cluster: bool,
        /// Kubeconfig of an administrator [default: KUBECONFIG, ~/.kube/config or /etc/kubernetes/admin.conf]
        #[arg(long, value_name = "FILE", requires = "cluster")]
        kubeconfig: Option<PathBuf>,
    },
    /// Show the timeline of an operation: each phase and step, its state, how long it took
    Show {
        /// Id, or a unique beginning of it; the newest operation when left out
        id: Option<String>,
    },
    /// Go on with an unfinished operation
    Resume {
        /// Id, or a unique beginning of it; the unfinished operation when left out
        id: Option<String>,
    },
    /// Take an unfinished operation back, newest step first; or a reset, a restore or an upgrade that has finished
    Rollback {
        /// Id, or a unique beginning of it; the unfinished operation when left out
        id: Option<String>,
        /// Leave what cannot be taken back, and go on with the rest
        #[arg(long)]
        skip_failed: bool,
        /// Take it back although the cluster is in use, or cannot be asked whether it is
        #[arg(long)]
        force: bool,
    },
}

/// Runs `rkadm op …`.
pub async fn run(session: &Session, command: OpCommand) -> Result<(), CommandError> {
    match command {
        OpCommand::List { cluster: true, kubeconfig } => cluster::list(session, kubeconfig.as_deref()).await,
        OpCommand::List { .. } => list(session),
        OpCommand::Show { id } => show(session, id.as_deref()),
        OpCommand::Resume { id } => {
            let operation = unfinished(session, id.as_deref())?;
            match operation.workflow() {
                name if name.starts_with("certs renew ") => {
                    super::certs::renew::resume(session, &operation).await
                }
                "backup schedule" => super::backup::resume_schedule(session, &operation).await,
                name if name.starts_with("reset") => super::reset::resume(session, &operation).await,
                rkadm_phases::restore::WORKFLOW => super::restore::resume(session, &operation).await,
                rkadm_phases::restore::CLUSTER_WORKFLOW => {
                    super::restore::resume_cluster(session, &operation).await
                }
                "certs generate-csr" => super::certs::resume_requests(session, &operation).await,
                name if name.starts_with("upgrade ") => super::upgrade::resume(session, &operation).await,
                name if name == "join" || name.starts_with("join phase ") => {
                    super::join::resume(session, &operation).await
                }
                _ => super::init::resume(session, &operation).await,
            }
        }
        OpCommand::Rollback { id, skip_failed, force } => {
            let stubborn = if skip_failed { Stubborn::Skip } else { Stubborn::Stop };
            roll_back(session, id.as_deref(), stubborn, force).await
        }
    }
}

/// One line of `op list`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    id: String,
    command: String,
    status: &'static str,
    started: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Summary {
    fn of(operation: &Operation) -> Self {
        Self {
            id: operation.id.clone(),
            command: operation.workflow().to_owned(),
            status: operation.status.name(),
            started: operation.entries.first().map(|entry| entry.at),
            error: operation.error().map(|(phase, message)| format!("{phase}: {message}")),
        }
    }

    fn unreadable(id: String, error: &JournalError) -> Self {
        let error = Some(error.to_string());
        Self { id, command: String::new(), status: "unreadable", started: None, error }
    }

    fn started(&self) -> String {
        self.started.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
    }
}

/// The result of `op list`.
#[derive(Debug, Serialize)]
struct List<'a> {
    items: &'a [Summary],
}

fn list(session: &Session) -> Result<(), CommandError> {
    let dir = dir(session);
    let mut items = vec![];
    for id in ids(&dir)? {
        match dir.load(&id) {
            Ok(operation) if operation.entries.is_empty() => {}
            Ok(operation) => items.push(Summary::of(&operation)),
            // One damaged journal must not hide the others.
            Err(error) => {
                session.reporter.report(Event::Warning { message: error.to_string() });
                items.push(Summary::unreadable(id, &error));
            }
        }
    }
    session.printer.result("OperationList", &List { items: &items }, || {
        if items.is_empty() {
            return "No operation was run on this machine.\n".into();
        }
        let row = |summary: &Summary| {
            vec![summary.id.clone(), summary.command.clone(), summary.status.into(), summary.started()]
        };
        text::table(&["ID", "COMMAND", "STATUS", "STARTED"], items.iter().map(row).collect())
    });
    Ok(())
}

fn ids(dir: &JournalDir) -> Result<Vec<String>, CommandError> {
    dir.ids().map_err(|source| JournalError::Io { path: dir.path().to_owned(), source }.into())
}

/// The newest operation that did anything.
fn newest(dir: &JournalDir) -> Result<Operation, CommandError> {
    for id in ids(dir)?.iter().rev() {
        let operation = dir.load(id)?;
        if !operation.entries.is_empty() {
            return Ok(operation);
        }
    }
    Err(CommandError::new(ExitKind::Failed, "no operation was run on this machine"))
}

/// The result of `op show`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timeline {
    #[serde(flatten)]
    summary: Summary,
    phases: Vec<PhaseLine>,
    steps: Vec<StepLine>,
    by_hand: Vec<String>,
    /// The phase that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

fn show(session: &Session, id: Option<&str>) -> Result<(), CommandError> {
    let operation = match id {
        Some(id) => dir(session).load(id)?,
        None => newest(&dir(session))?,
    };
    // What a later rollback took back, or left for good, is not to be done any more.
    let is_stuck = operation.status == Status::Stuck;
    let by_hand = operation.entries.iter().rev().filter(|_| is_stuck).find_map(|entry| match &entry.record {
        Record::UndoFailed { by_hand, .. } => Some(by_hand.clone()),
        _ => None,
    });
    let timeline = Timeline {
        summary: Summary::of(&operation),
        phases: operation.phases(),
        steps: operation.steps(),
        by_hand: by_hand.unwrap_or_default(),
        failed: operation.error().map(|(phase, _)| phase.to_owned()),
    };
    session.printer.result("Operation", &timeline, || timeline_text(&timeline));
    Ok(())
}

fn timeline_text(timeline: &Timeline) -> String {
    let summary = &timeline.summary;
    let mut out = format!(
        "Operation {}: rkadm {}, {}, started {}\n",
        summary.id,
        summary.command,
        summary.status,
        summary.started()
    );
    for phase in &timeline.phases {
        let state = phase.outcome.map_or("not reached", |outcome| match outcome {
            rkadm_core::engine::event::Outcome::Done => "done",
            rkadm_core::engine::event::Outcome::AlreadyDone => "nothing to do",
            rkadm_core::engine::event::Outcome::NotApplicable => "not applicable",
            rkadm_core::engine::event::Outcome::Skipped => "skipped",
        });
        let steps: Vec<_> = timeline.steps.iter().filter(|step| step.phase == phase.phase).collect();
        let state = match phase.outcome {
            None if timeline.failed.as_ref() == Some(&phase.phase) => "failed",
            None if !steps.is_empty() => "begun",
            _ => state,
        };
        let elapsed = phase.elapsed_ms.map(text::duration).unwrap_or_default();
        out += format!("{:<40} {state:<14} {elapsed}", phase.phase).trim_end();
        out += "\n";
        for step in steps {
            let mark = match step.state {
                StepState::Started => "?",
                StepState::Done => "+",
                StepState::Undone => "-",
                StepState::Left => "!",
            };
            let elapsed = step.elapsed_ms.map(text::duration).unwrap_or_default();
            out += format!("  {mark} {elapsed:>9}  {}", step.description).trim_end();
            out += "\n";
        }
    }
    if let Some(error) = &summary.error {
        out += &format!("Error: {error}\n");
    }
    if !timeline.by_hand.is_empty() {
        out += &format!("To be undone by hand, in this order:\n  {}\n", timeline.by_hand.join("\n  "));
    }
    let left = timeline.steps.iter().any(|step| step.state == StepState::Left);
    out + if left {
        "(+ done, ? begun, - undone, ! left as it is)\n"
    } else {
        "(+ done, ? begun, - undone)\n"
    }
}

/// The result of `op rollback`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RolledBack {
    id: String,
    /// Taken back.
    steps: usize,
    /// What could not be taken back and was left, as `--skip-failed` asks for.
    #[serde(skip_serializing_if = "is_none")]
    left: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(left: &usize) -> bool {
    *left == 0
}

async fn roll_back(
    session: &Session,
    id: Option<&str>,
    stubborn: Stubborn,
    force: bool,
) -> Result<(), CommandError> {
    Session::require_root("op rollback")?;
    let operation = unfinished(session, id)?;
    // A call that fails here is not worth a minute: what it would undo mostly goes with the data directory.
    let host = session.host(Duration::from_secs(10));
    let all = dir(session).load_all()?;
    let later = all.iter().position(|other| other.id == operation.id).map_or(&[][..], |at| &all[at + 1..]);
    super::reset::may_roll_back(&host, &operation, later).await?;
    super::restore::may_roll_back(&host, &operation, later).await?;
    super::upgrade::may_roll_back(&host, &session.root, &operation, later).await?;
    if !force {
        let why = rkadm_phases::init::in_use(&host, &operation).await;
        if !why.is_empty() {
            let message = format!("operation {} made a cluster that is in use", operation.id);
            let mut error = CommandError::new(ExitKind::Failed, message)
                .hint(format!("finish it instead: `rkadm op resume {}`", operation.id))
                .hint("to delete the cluster with all that is in it: the same command with --force");
            error.details = why;
            return Err(error);
        }
    }
    let (operation, done) = super::operation::take_back(session, &host, &operation.id, stubborn).await?;
    let result = RolledBack { id: operation.id, steps: done.undone, left: done.left };
    session.printer.result("Rollback", &result, || {
        let left = match result.left {
            0 => String::new(),
            left => format!(", {left} left as it is (`rkadm op show {}` marks them with !)", result.id),
        };
        format!(
            "Operation {} is rolled back: {} undone{left}.\n",
            result.id,
            text::count(result.steps, "change")
        )
    });
    Ok(())
}

fn unfinished(session: &Session, id: Option<&str>) -> Result<Operation, CommandError> {
    if let Some(id) = id {
        return Ok(dir(session).load(id)?);
    }
    dir(session).unfinished()?.ok_or_else(|| {
        CommandError::new(ExitKind::Failed, "no operation of this machine is unfinished")
            .hint("`rkadm op list` shows the finished ones")
    })
}

fn dir(session: &Session) -> JournalDir {
    JournalDir::below(&session.root)
}
