//! What watchers are told while an operation runs. Events hold no secret.
//!
//! The same events feed the progress lines on a terminal and `--progress json`; their schema is versioned
//! ([`SCHEMA`]) and readers must ignore types and fields that they do not know.

use serde::{Deserialize, Serialize};

/// Version of the event schema; raised when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its steps were carried out.
    Done,
    /// There was nothing to do.
    AlreadyDone,
    /// It has no place in this configuration.
    NotApplicable,
    /// The operator asked to leave it out.
    Skipped,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// A new operation, or one that is taken up again.
    OperationStarted {
        /// ULID.
        operation: String,
        /// Command, for example `init`.
        workflow: String,
        /// The phases in order.
        phases: Vec<String>,
        /// Whether an interrupted operation goes on.
        resumed: bool,
    },
    /// A phase is being planned.
    PhaseStarted {
        /// Id.
        phase: String,
        /// Title.
        title: String,
        /// From 1.
        index: usize,
        /// How many there are.
        total: usize,
    },
    /// A phase ended well.
    PhaseFinished {
        /// Id.
        phase: String,
        /// How.
        outcome: Outcome,
        /// Why there was nothing to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// Milliseconds since it started.
        elapsed_ms: u64,
    },
    /// A step is about to be carried out.
    StepStarted {
        /// Phase id.
        phase: String,
        /// Index within the phase, from 0.
        step: usize,
        /// One line for people.
        description: String,
    },
    /// A step was carried out.
    StepFinished {
        /// Phase id.
        phase: String,
        /// Index within the phase.
        step: usize,
        /// Milliseconds since it started.
        elapsed_ms: u64,
    },
    /// What a wait still waits for; sent when that changes.
    Waiting {
        /// Phase id.
        phase: String,
        /// What is missing.
        missing: String,
    },
    /// Something to know that does not stop the operation.
    Warning {
        /// The text.
        message: String,
    },
    /// A phase failed.
    PhaseFailed {
        /// Phase id.
        phase: String,
        /// The error with its causes.
        message: String,
        /// What to do.
        hints: Vec<String>,
    },
    /// Undo begins.
    RollbackStarted {
        /// How many steps will be undone.
        steps: usize,
    },
    /// One step was undone.
    StepUndone {
        /// What was undone.
        description: String,
    },
    /// One step could not be undone.
    UndoFailed {
        /// What could not be undone.
        description: String,
        /// Why.
        message: String,
    },
    /// Something happened on another machine, where a command leads several.
    Machine {
        /// As the operator named it.
        machine: String,
        /// What happened there.
        event: Box<Event>,
    },
    /// The end.
    OperationFinished {
        /// ULID.
        operation: String,
        /// `finished`, `rolled-back`, `failed`, `interrupted` or `stuck`.
        status: String,
        /// Milliseconds since this run began.
        elapsed_ms: u64,
    },
}

/// Receives events. Must not block for long and must not fail.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn report(&self, event: Event);
}

/// Tells nobody.
#[derive(Debug, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _event: Event) {}
}
