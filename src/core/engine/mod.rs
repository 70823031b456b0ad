//! The engine: plans become steps, steps become journalled changes that can be resumed and undone.
//!
//! - [`phase`]: what a phase is and what it may answer.
//! - [`step`]: the closed set of changes; [`content`]: what files hold, described before it is made.
//! - [`journal`]: intent before act, typed transitions; [`operation`]: what a journal adds up to.
//! - [`runner`]: carries a workflow out; [`rollback`]: takes it back; [`plan`]: only says what it would do.
//! - [`lock`], [`event`], [`cancel`], [`store`]: one at a time, what watchers are told, Ctrl-C, outputs and secrets.

pub mod act;
pub mod action;
pub mod cancel;
pub mod content;
mod crash;
pub mod diagnosis;
pub mod event;
pub mod foreign;
pub mod journal;
pub mod lock;
pub mod operation;
pub mod phase;
pub mod plan;
mod pods;
mod redact;
pub mod rollback;
mod run;
pub mod runner;
pub mod step;
pub mod store;
pub mod undo;
pub mod wait;
pub mod workflow;

pub use action::{Action, ActionRegistry};
pub use cancel::Cancel;
pub use event::{Event, Reporter};
pub use phase::{Phase, PhaseError, PhaseMeta, PlanCx, PlanMode, Verdict};
pub use redact::passwords;
pub use runner::{OnFailure, RunError, RunOptions, RunReport, Runner};
pub use step::{Seen, Step};
pub use workflow::Workflow;
