//! Carrying a workflow out, for commands that need nothing special around it.

use std::collections::BTreeSet;

use rkadm_core::{
    engine::{
        ActionRegistry, OnFailure, RunError, RunOptions, RunReport, Runner, Workflow,
        journal::JournalDir,
        operation::Operation,
        plan,
        rollback::{self, Stubborn, TakenBack},
        runner::Header,
        store::Store,
    },
    host::LocalHost,
    pki::KeyAlgorithm,
    text::sha256_hex,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Session,
    exit::{CommandError, ExitKind},
    plan as planned,
};

/// Name of the private copy of what was asked for, which a resume works from.
const REQUEST: &str = "request";

/// How a workflow is carried out.
#[derive(Debug, Default)]
pub struct Manner {
    /// Only show what would be done.
    pub dry_run: bool,
    /// What to do when a phase fails.
    pub on_failure: OnFailure,
    /// Algorithm of the keys to make ahead.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Phases to leave out.
    pub skip: BTreeSet<&'static str>,
    /// What a run that goes on with it must have the same of; the whole request where there is nothing here.
    pub digest: Option<String>,
    /// What the journal says of the request; the whole of it, without secrets, where there is nothing here.
    pub config: Option<serde_json::Value>,
    /// What phases find by these names, kept in private.
    pub secrets: Vec<(String, String)>,
}

/// Why a workflow was not carried out.
pub enum Failure {
    /// Before it began.
    Refused(CommandError),
    /// While it ran, or when it was to begin.
    Run(RunError),
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Run(error) => error.into(),
        }
    }
}

/// Carries the workflow out and returns its report; `None` after a dry run, whose plan is printed.
///
/// `request` is kept in private until the operation ends, and is the same for a run that goes on with it.
pub async fn carry_out<R: Serialize + Sync>(
    session: &Session,
    host: &LocalHost,
    workflow: &Workflow,
    request: &R,
    manner: &Manner,
) -> Result<Option<RunReport>, Failure> {
    if manner.dry_run {
        let phases = plan::dry_run(workflow, host, &manner.skip, session.reporter.as_ref()).await;
        let phases = phases.map_err(|(phase, error)| Failure::Refused(planned::failed(&phase, error)))?;
        planned::print(session, phases);
        return Ok(None);
    }
    let bug =
        |error: serde_json::Error| Failure::Refused(CommandError::new(ExitKind::Bug, error.to_string()));
    let open = rkadm_core::config::secret::exposed(|| serde_json::to_string(request)).map_err(bug)?;
    let header = Header {
        command: session.command.clone(),
        config: match &manner.config {
            Some(config) => config.clone(),
            None => serde_json::to_value(request).map_err(bug)?,
        },
        digest: manner.digest.clone().unwrap_or_else(|| sha256_hex(open.as_bytes())),
        secrets: [(REQUEST.to_owned(), open)].into_iter().chain(manner.secrets.clone()).collect(),
    };
    let registry = rkadm_phases::actions();
    let runner = runner(session, host, &registry);
    let options = RunOptions {
        skip: manner.skip.clone(),
        on_failure: manner.on_failure,
        key_algorithm: manner.key_algorithm,
    };
    runner.run(workflow, header, &options).await.map(Some).map_err(Failure::Run)
}

/// Takes an operation back; how many steps that were.
///
/// # Errors
/// It cannot be taken back.
pub async fn take_back(
    session: &Session,
    host: &LocalHost,
    id: &str,
    stubborn: Stubborn,
) -> Result<(Operation, TakenBack), CommandError> {
    let registry = rkadm_phases::actions();
    Ok(rollback::roll_back_operation(&runner(session, host, &registry), id, stubborn).await?)
}

fn runner<'a>(session: &'a Session, host: &'a LocalHost, registry: &'a ActionRegistry) -> Runner<'a> {
    Runner {
        host,
        reporter: session.reporter.as_ref(),
        registry,
        cancel: &session.cancel,
        root: session.root.clone(),
    }
}

fn not_resumable(Operation { id, status, .. }: &Operation) -> CommandError {
    let message = format!("operation {id} is {}", status.name());
    if status.is_settled() {
        return CommandError::failed(message).hint(format!("look at it: `rkadm op show {id}`"));
    }
    // What a part of it stands on may be gone already.
    CommandError::new(ExitKind::Resumable, format!("{message}: it can only be taken back whole"))
        .hint(format!("look at it: `rkadm op show {id}`"))
        .hint(format!("finish that: `rkadm op rollback {id}`; then run its command again"))
}

/// What an unfinished operation was asked for.
///
/// # Errors
/// The private copy is gone or damaged.
pub fn request<R: DeserializeOwned>(session: &Session, operation: &Operation) -> Result<R, CommandError> {
    if !operation.status.is_resumable() {
        return Err(not_resumable(operation));
    }
    let private = JournalDir::below(&session.root).private(&operation.id);
    let store = Store::new(Some(private), std::collections::BTreeMap::new());
    let kept = store.secret(REQUEST).ok().flatten().and_then(|text| serde_json::from_str(&text).ok());
    kept.ok_or_else(|| {
        let message = format!("what operation {} was asked for cannot be read", operation.id);
        CommandError::failed(message).hint("run the command again as it was, which resumes it too")
    })
}
