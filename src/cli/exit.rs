//! How a command ends: exit codes, and errors as the operator sees them.

use std::io::ErrorKind;

use rkadm_core::config::ConfigError;
use rkadm_core::engine::{
    journal::JournalError,
    lock::LockError,
    phase::Finding,
    rollback::RollbackError,
    runner::{Aftermath, RunError},
};
use serde::Serialize;

use crate::output::text::count;

/// The exit codes, stable for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitKind {
    /// Failed; nothing is left changed, or what was changed is taken back.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Preflight checks failed; nothing was done.
    Preflight = 3,
    /// The configuration is invalid; nothing was done.
    InvalidConfig = 4,
    /// Stopped in the middle; can be resumed or rolled back.
    Resumable = 5,
    /// Rollback failed; an operator must look.
    Stuck = 6,
    /// Another rkadm is at work.
    Locked = 7,
    /// Ctrl-C or SIGTERM; can be resumed or rolled back.
    Interrupted = 130,
    /// A bug in rkadm.
    Bug = 255,
}

/// Why a command failed, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandError {
    /// What the exit code says.
    #[serde(rename = "code")]
    pub kind: ExitKind,
    /// One sentence.
    pub message: String,
    /// What is left behind, and other lines that belong to the message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Failed checks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What is wrong with a configuration, and where. `details` has the same as text.
    // Boxed: the type is passed through every command.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub problems: Box<[ConfigError]>,
    /// The command's result was written all the same, and is the one document that programs get.
    #[serde(skip)]
    pub has_result: bool,
}

impl CommandError {
    /// An error without details.
    pub fn new(kind: ExitKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: vec![],
            hints: vec![],
            findings: vec![],
            problems: Box::default(),
            has_result: false,
        }
    }

    /// Something failed and nothing is left changed.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::new(ExitKind::Failed, error.to_string())
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says that the command's result was written already.
    #[must_use]
    pub fn after_result(mut self) -> Self {
        self.has_result = true;
        self
    }

    /// Adds a line that belongs to the message.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }
}

/// How to go on with an unfinished operation.
fn ways_on(operation: &str) -> [String; 2] {
    [
        format!("go on: run the same command again, or `rkadm op resume {operation}`"),
        format!("take it back: `rkadm op rollback {operation}`"),
    ]
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        let message = error.to_string();
        match error {
            RunError::Lock(error) => error.into(),
            RunError::Journal(_) => Self::new(ExitKind::Resumable, message)
                .detail("Nothing is done that cannot be recorded first, so rkadm stopped.")
                .hint("make room or repair /var/lib/rkadm, then run the same command again"),
            RunError::CannotBegin(error) => Self::from(error).detail("Nothing was changed on this machine."),
            RunError::Unfinished { id, status, .. } => {
                let mut error = Self::new(ExitKind::Resumable, message)
                    .detail("A machine has one unfinished operation at a time.")
                    .hint(format!("look at it: `rkadm op show {id}`"));
                if status.is_resumable() {
                    error = error.hint(format!("finish it as it was begun: `rkadm op resume {id}`"));
                }
                error.hint(format!("take it back: `rkadm op rollback {id}`"))
            }
            RunError::Rollback(error) => error.into(),
            RunError::Preflight(findings) => Self { findings, ..Self::new(ExitKind::Preflight, message) }
                .detail("Nothing was changed.")
                .hint("a check can be turned into a warning with --ignore-preflight-errors=NAME"),
            RunError::Failed { operation, phase: _, message: _, hints, aftermath } => {
                let (kind, details, more) = left_behind(&operation, *aftermath);
                let hints = hints.into_iter().chain(more).collect();
                Self { details, hints, ..Self::new(kind, message) }
            }
            RunError::Interrupted { operation, .. } => {
                let [go_on, take_back] = ways_on(&operation);
                Self::new(ExitKind::Interrupted, message)
                    .detail("What was begun is recorded and nothing is half-written.")
                    .hint(go_on)
                    .hint(take_back)
            }
        }
    }
}

impl From<LockError> for CommandError {
    fn from(error: LockError) -> Self {
        match &error {
            LockError::Held { .. } => Self::new(ExitKind::Locked, error.to_string())
                .hint("wait until it has ended, then run the command again"),
            LockError::Io { .. } => Self::new(ExitKind::Failed, error.to_string())
                .detail("Nothing was changed on this machine.")
                .hint("rkadm keeps its lock and journals there: make room, or remount it writable"),
        }
    }
}

impl From<JournalError> for CommandError {
    fn from(error: JournalError) -> Self {
        let message = error.to_string();
        let hint = match &error {
            JournalError::NotFound(_) | JournalError::Ambiguous { .. } => {
                "`rkadm op list` shows the operations of this machine".into()
            }
            JournalError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                "journals are readable by root only".into()
            }
            JournalError::Io { .. } => "make room there, or remount it writable".into(),
            JournalError::Corrupt { path, .. } | JournalError::Illegal { path, .. } => format!(
                "a newer rkadm wrote it, or the file is damaged. Moving {} away makes rkadm forget that operation: \
                 it can then be neither resumed nor rolled back",
                path.display()
            ),
        };
        Self::new(ExitKind::Failed, message).hint(hint)
    }
}

fn left_behind(operation: &str, aftermath: Aftermath) -> (ExitKind, Vec<String>, Vec<String>) {
    match aftermath {
        Aftermath::RolledBack { steps: 0, commit_point: None } => {
            (ExitKind::Failed, vec!["Nothing was changed on this machine.".into()], vec![])
        }
        Aftermath::RolledBack { steps, commit_point: None } => {
            let line = format!(
                "Rolled back: {} undone; this machine is as it was before.",
                if steps == 1 { "the only change was".into() } else { format!("all {steps} changes were") }
            );
            let hint = format!(
                "the timeline: `rkadm op show {operation}`; to keep a failure for inspection, use --on-failure=stop"
            );
            (ExitKind::Failed, vec![line], vec![hint])
        }
        Aftermath::RolledBack { steps, commit_point: Some(why) } => {
            let line = format!("Rolled back {}, to the last commit point: {why}.", count(steps, "change"));
            (ExitKind::Failed, vec![line], vec![format!("the timeline: `rkadm op show {operation}`")])
        }
        Aftermath::Resumable => {
            (ExitKind::Resumable, vec!["Nothing was rolled back.".into()], ways_on(operation).into())
        }
        Aftermath::Stuck(error) => {
            let error = CommandError::from(error);
            let mut details = vec![error.message];
            details.extend(error.details);
            (error.kind, details, error.hints)
        }
    }
}

impl From<RollbackError> for CommandError {
    fn from(error: RollbackError) -> Self {
        let message = error.to_string();
        match error {
            RollbackError::Lock(error) => error.into(),
            RollbackError::Journal(error) => error.into(),
            RollbackError::CutOff { operation, .. } => Self::new(ExitKind::Resumable, message)
                .detail("Some changes may be undone, others are not.")
                .hint("make room or repair /var/lib/rkadm")
                .hint(format!("then go on with it: `rkadm op rollback {operation}`")),
            RollbackError::Settled { .. } => Self::new(ExitKind::Failed, message),
            RollbackError::Interrupted { operation, .. } => Self::new(ExitKind::Interrupted, message)
                .hint(format!("go on with it: `rkadm op rollback {operation}`")),
            RollbackError::Stuck { operation, by_hand, .. } => {
                let mut error = Self::new(ExitKind::Stuck, format!("the rollback is stuck: {message}"));
                error.details.push("What is not undone yet can be undone by hand, in this order:".into());
                error.details.extend(by_hand.into_iter().map(|command| format!("  {command}")));
                error.hint(format!("when the cause is gone: `rkadm op rollback {operation}`")).hint(format!(
                    "to leave this and go on with the rest: `rkadm op rollback --skip-failed {operation}`"
                ))
            }
        }
    }
}
