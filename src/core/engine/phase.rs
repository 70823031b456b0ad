//! What a phase is: a name, and a read-only plan.

use std::borrow::Cow;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Event, Reporter, Step, store::Store};
use crate::host::{HostError, Probe};

/// The declaration of a phase. It gives the subcommand, its help, `--skip-phases` and the reference page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseMeta {
    /// Stable path such as `certs/apiserver`: journal key and command-line name, never renamed.
    pub id: &'static str,
    /// One imperative line without a period.
    pub title: Cow<'static, str>,
    /// Longer help; may be empty.
    pub help: Cow<'static, str>,
    /// Phases of the same workflow that must not be skipped when this one runs.
    pub requires: &'static [&'static str],
    /// A phase that looks at the world before the operation and must not judge it again on resume (preflight).
    pub once: bool,
    /// Not shown in help or as a subcommand.
    pub hidden: bool,
}

impl PhaseMeta {
    /// A phase with an id and a title and nothing special about it.
    pub fn new(id: &'static str, title: impl Into<Cow<'static, str>>) -> Self {
        Self { id, title: title.into(), help: Cow::Borrowed(""), requires: &[], once: false, hidden: false }
    }

    /// Sets the longer help.
    #[must_use]
    pub fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = help.into();
        self
    }

    /// Names the phases that must run too.
    #[must_use]
    pub fn requires(mut self, ids: &'static [&'static str]) -> Self {
        self.requires = ids;
        self
    }

    /// Marks a phase that is not planned again once done.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// Whether the plan will be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanMode {
    /// The steps are carried out right after.
    Apply,
    /// The steps are only shown; what earlier phases would have made is not really there.
    DryRun,
}

/// All that a phase may look at.
pub struct PlanCx<'a> {
    /// The host, for reading.
    pub host: &'a dyn Probe,
    /// What earlier phases recorded.
    pub store: &'a Store,
    /// Whether this is a dry run.
    pub mode: PlanMode,
    /// Whom to tell what the operator should know.
    pub reporter: &'a dyn Reporter,
}

impl PlanCx<'_> {
    /// Tells the operator something that does not stop the plan.
    pub fn warn(&self, message: impl Into<String>) {
        self.reporter.report(Event::Warning { message: message.into() });
    }

    /// Whether this is a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.mode == PlanMode::DryRun
    }
}

/// A phase's answer.
#[derive(Debug)]
pub enum Verdict {
    /// The phase has no place in this configuration.
    NotApplicable(String),
    /// What the phase is for is there already.
    AlreadyDone(String),
    /// These steps, in this order.
    Apply(Vec<Step>),
}

impl Verdict {
    /// `Apply`, or `AlreadyDone` with this reason where there is nothing to do.
    pub fn from_steps(steps: Vec<Step>, when_none: impl Into<String>) -> Self {
        if steps.is_empty() { Self::AlreadyDone(when_none.into()) } else { Self::Apply(steps) }
    }
}

/// One finding of preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's stable name, as `--ignore-preflight-errors` takes it.
    pub check: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Why a phase could not be planned.
#[derive(Debug, thiserror::Error)]
pub enum PhaseError {
    /// The host could not be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Checks failed; each names itself.
    #[error("{} preflight check{} failed", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Preflight(Vec<Finding>),
    /// What is on the host cannot be used or reconciled with what is asked for.
    #[error("{message}")]
    Unusable {
        /// What was found, with the path.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The configuration cannot be turned into this phase's files.
    #[error("{message}")]
    Config {
        /// What cannot be made and why.
        message: String,
    },
    /// The postcondition does not hold.
    #[error("{0}")]
    NotAchieved(String),
}

impl PhaseError {
    /// What the operator can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Unusable { hint, .. } => vec![hint.clone()],
            Self::Host(error) if error.is_disk_full() => {
                vec!["free some space and run the command again".into()]
            }
            _ => vec![],
        }
    }
}

/// A unit of a workflow. It plans; the engine acts.
#[async_trait]
pub trait Phase: Send + Sync {
    /// The declaration.
    fn meta(&self) -> PhaseMeta;
    /// Looks at the host and says what must change. Must not change anything.
    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError>;
    /// Checks that what the phase is for holds after its steps.
    async fn verify(&self, _cx: &PlanCx<'_>) -> Result<(), PhaseError> {
        Ok(())
    }
    /// How many new private keys the phase will probably want, so that they can be made ahead.
    fn keys_wanted(&self) -> usize {
        0
    }
}
