//! Begins an operation or goes on with one, and says how it ended. What happens in between is [`super::run`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use serde_json::Value;

use super::{
    ActionRegistry, Cancel, Event, Reporter, Workflow,
    journal::{self, Journal, JournalDir, JournalError, Record},
    lock::{LockError, NodeLock},
    operation::{PhaseLine, Status},
    phase::Finding,
    rollback::{self, RollbackError},
    run::{Run, millis},
    store::Store,
};
use crate::{
    host::Actuator,
    pki::{KeyAlgorithm, KeyPool},
};

/// What to do when a phase fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Take back what was done, to the last commit point.
    #[default]
    Rollback,
    /// Leave everything as it is, to look at it and to resume.
    Stop,
}

/// How a workflow is run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Phases to leave out.
    pub skip: BTreeSet<&'static str>,
    /// What to do when a phase fails.
    pub on_failure: OnFailure,
    /// Algorithm of the keys to make ahead.
    pub key_algorithm: Option<KeyAlgorithm>,
}

/// What an operation is about, for its journal.
#[derive(Debug, Clone)]
pub struct Header {
    /// The command as typed, without values of secret flags.
    pub command: Vec<String>,
    /// The resolved configuration without secrets.
    pub config: Value,
    /// Its digest: a resume with another one is refused.
    pub digest: String,
    /// Secrets that the configuration gave, by name in the store.
    pub secrets: Vec<(String, String)>,
}

/// What came of an operation.
#[derive(Debug)]
pub struct RunReport {
    /// ULID.
    pub operation: String,
    /// The phases and how they ended.
    pub phases: Vec<PhaseLine>,
    /// Recorded outputs.
    pub outputs: BTreeMap<String, Value>,
    /// Secrets that the result may show to the operator.
    pub secrets: Vec<(String, String)>,
}

/// What a failed operation left behind.
#[derive(Debug)]
pub enum Aftermath {
    /// Everything was taken back, to the start or to the commit point named.
    RolledBack {
        /// How many steps were undone.
        steps: usize,
        /// The commit point that was not crossed.
        commit_point: Option<String>,
    },
    /// Nothing was taken back.
    Resumable,
    /// Undo failed as well.
    Stuck(RollbackError),
}

/// Why an operation did not finish.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another rkadm is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journal cannot be kept: nothing was done after that.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nothing was begun: an earlier journal cannot be read, or the new one cannot be made.
    #[error(transparent)]
    CannotBegin(JournalError),
    /// An earlier operation is unfinished and is not the same.
    #[error("operation {id} (rkadm {workflow}) is not finished ({}), and {reason}", status.name())]
    Unfinished {
        /// Its id.
        id: String,
        /// Its command.
        workflow: String,
        /// Where it stands.
        status: Status,
        /// Why it cannot simply go on.
        reason: String,
        /// Its configuration, to compare.
        config: Box<Value>,
    },
    /// The rollback of an earlier operation could not be finished.
    #[error("the rollback of an earlier operation failed")]
    Rollback(#[source] RollbackError),
    /// Checks failed before anything was done.
    #[error("{} preflight check{} failed", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Preflight(Vec<Finding>),
    /// A phase failed.
    #[error("phase {phase}: {message}")]
    Failed {
        /// The operation.
        operation: String,
        /// Which.
        phase: String,
        /// The error with its causes.
        message: String,
        /// What to do.
        hints: Vec<String>,
        /// What is left behind.
        aftermath: Box<Aftermath>,
    },
    /// The operator asked to stop.
    #[error("stopped by {signal}")]
    Interrupted {
        /// The operation.
        operation: String,
        /// `SIGINT` or `SIGTERM`.
        signal: &'static str,
    },
}

/// Runs workflows on one host.
pub struct Runner<'a> {
    /// The host.
    pub host: &'a dyn Actuator,
    /// Whom to tell.
    pub reporter: &'a dyn Reporter,
    /// Undo of the actions.
    pub registry: &'a ActionRegistry,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
    /// File system root of the machine whose journal and lock are used.
    pub root: PathBuf,
}

impl Runner<'_> {
    /// Runs the workflow, or goes on with the same one where it was interrupted.
    ///
    /// # Errors
    /// See [`RunError`]; it says what is left behind.
    pub async fn run(
        &self,
        workflow: &Workflow,
        header: Header,
        options: &RunOptions,
    ) -> Result<RunReport, RunError> {
        let holder = format!("pid {}: {}", std::process::id(), header.command.join(" "));
        let _lock = NodeLock::take(&self.root, &holder)?;
        let started = Instant::now();
        let (journal, resumed) = self.open(workflow, &header).await?;
        let private = journal.folder().join("private");
        let store = Store::new(Some(private), journal.operation.outputs());
        for (name, secret) in &header.secrets {
            store
                .keep_secret(name, secret)
                .map_err(|source| JournalError::Io { path: journal.folder().join("private"), source })?;
        }
        let ended = journal.operation.ended_phases().into_iter().map(str::to_owned).collect();
        let wanted = workflow.phases.iter().map(|phase| phase.keys_wanted()).sum();
        let keys =
            KeyPool::start(options.key_algorithm.unwrap_or_default(), if resumed { 0 } else { wanted });
        self.reporter.report(Event::OperationStarted {
            operation: journal.operation.id.clone(),
            workflow: workflow.name.clone(),
            phases: workflow.metas().iter().map(|meta| meta.id.to_owned()).collect(),
            resumed,
        });
        let mut run = Run { runner: self, journal, store, keys: Arc::new(keys), ended, options, resumed };
        let result = run.phases(workflow).await;
        let result = run.conclude(result).await;
        let status = run.journal.operation.status.name().to_owned();
        let elapsed_ms = millis(started);
        self.reporter.report(Event::OperationFinished {
            operation: run.journal.operation.id.clone(),
            status,
            elapsed_ms,
        });
        result
    }

    /// The journal to write to: a new one, or that of the same operation that was interrupted.
    async fn open(&self, workflow: &Workflow, header: &Header) -> Result<(Journal, bool), RunError> {
        let dir = JournalDir::below(&self.root);
        let operations = dir.load_all().map_err(RunError::CannotBegin)?;
        for settled in operations.iter().filter(|operation| operation.status.is_settled()) {
            // Its process may have died between its last record and this.
            let _ = Store::new(Some(dir.private(&settled.id)), BTreeMap::new()).forget_secrets();
        }
        let unfinished = operations.into_iter().rev().find(|operation| !operation.status.is_settled());
        if let Some(operation) = unfinished {
            let same_command = operation.workflow() == workflow.name;
            let same_config = operation.begun().is_some_and(|begun| begun.digest == header.digest);
            // Another command's files may belong to something that is alive by now: only an operator decides then.
            if operation.status == Status::RollingBack && same_command && same_config {
                let mut journal = Journal::open(&dir, &operation.id)?;
                rollback::roll_back(&mut journal, self).await.map_err(RunError::Rollback)?;
            } else if same_command && same_config && operation.status.is_resumable() {
                let mut journal = Journal::open(&dir, &operation.id)?;
                journal.append(Record::Resumed { rkadm: env!("CARGO_PKG_VERSION").into() })?;
                return Ok((journal, true));
            } else {
                let reason = match (operation.status, same_command) {
                    (Status::Stuck, _) => "its rollback failed",
                    (Status::RollingBack, _) => "its rollback was cut off",
                    (_, false) => "this is another command",
                    (_, true) => "this configuration is another one",
                };
                let config = operation.begun().map(|begun| begun.config.clone()).unwrap_or_default();
                return Err(RunError::Unfinished {
                    workflow: operation.workflow().to_owned(),
                    status: operation.status,
                    reason: reason.into(),
                    config: Box::new(config),
                    id: operation.id,
                });
            }
        }
        let begun = Record::Begun {
            schema: journal::SCHEMA,
            workflow: workflow.name.clone(),
            phases: workflow.metas().iter().map(|meta| meta.id.to_owned()).collect(),
            command: header.command.clone(),
            config: header.config.clone(),
            digest: header.digest.clone(),
            rkadm: env!("CARGO_PKG_VERSION").into(),
        };
        Ok((Journal::create(&dir, begun).map_err(RunError::CannotBegin)?, false))
    }
}
