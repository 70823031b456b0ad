//! Takes an operation back: newest step first, to the last commit point.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Event, Runner,
    act::StepError,
    action::UndoAction,
    journal::{Journal, JournalDir, JournalError, Record},
    lock::{LockError, NodeLock},
    operation::{Operation, Status, ToUndo},
    store::Store,
    undo::Undo,
};

/// Why a rollback did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// The journal cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another rkadm is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A step could not be taken back; older ones were not tried.
    #[error("cannot take back \"{step}\": {message}")]
    Stuck {
        /// The operation.
        operation: String,
        /// The step in words.
        step: String,
        /// Why.
        message: String,
        /// What an operator can do by hand, this step and the older ones in order.
        by_hand: Vec<String>,
    },
    /// The operator asked to stop; the rollback can be gone on with.
    #[error("the rollback was stopped by {signal}")]
    Interrupted {
        /// The operation.
        operation: String,
        /// `SIGINT`, `SIGTERM` or `SIGHUP`.
        signal: &'static str,
    },
    /// What was undone could not be written down, such as on a full disk; the rollback can be gone on with.
    #[error("the rollback was cut off: {error}")]
    CutOff {
        /// The operation.
        operation: String,
        /// Why.
        error: JournalError,
    },
    /// Nothing to take back.
    #[error("operation {id} is {}: there is nothing to roll back", status.name())]
    Settled {
        /// The operation.
        id: String,
        /// Where it stands.
        status: Status,
    },
}

/// Rolls one operation back on an operator's word.
///
/// # Errors
/// It is rolled back already, or finished and nothing that can be taken back then, another rkadm is at work, or a step cannot be taken back.
pub async fn roll_back_operation(
    runner: &Runner<'_>,
    id: &str,
    stubborn: Stubborn,
) -> Result<(Operation, TakenBack), RollbackError> {
    let holder = format!("pid {}: rkadm op rollback", std::process::id());
    let _lock = NodeLock::take(&runner.root, &holder)?;
    let dir = JournalDir::below(&runner.root);
    let id = dir.load(id)?.id;
    let mut journal = Journal::open(&dir, &id)?;
    if !journal.operation.can_be_rolled_back() {
        return Err(RollbackError::Settled { id, status: journal.operation.status });
    }
    let taken_back = roll_back_with(&mut journal, runner, stubborn).await?;
    Ok((journal.operation.clone(), taken_back))
}

/// What to do with a step that cannot be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stubborn {
    /// Stop there.
    #[default]
    Stop,
    /// Leave it, and go on with older ones.
    Skip,
}

/// How many steps a rollback has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenBack {
    /// Taken back, or found to be.
    pub undone: usize,
    /// Left as they are, because they could not be.
    pub left: usize,
}

/// Takes back every step since the last commit point. The lock is held by the caller. Returns how many steps.
///
/// # Errors
/// See [`RollbackError`].
pub async fn roll_back(journal: &mut Journal, runner: &Runner<'_>) -> Result<usize, RollbackError> {
    Ok(roll_back_with(journal, runner, Stubborn::Stop).await?.undone)
}

async fn roll_back_with(
    journal: &mut Journal,
    runner: &Runner<'_>,
    stubborn: Stubborn,
) -> Result<TakenBack, RollbackError> {
    match settle(journal, runner, stubborn).await {
        Err(RollbackError::Journal(error @ JournalError::Io { .. })) => {
            Err(RollbackError::CutOff { operation: journal.operation.id.clone(), error })
        }
        result => result,
    }
}

async fn settle(
    journal: &mut Journal,
    runner: &Runner<'_>,
    stubborn: Stubborn,
) -> Result<TakenBack, RollbackError> {
    // What was asked for before the rollback began is over; a new signal stops it.
    let asked = runner.cancel.count();
    journal.append(Record::RollbackStarted)?;
    let stack = journal.operation.undo_stack();
    runner.reporter.report(Event::RollbackStarted { steps: stack.len() });
    let removed: Vec<PathBuf> = stack
        .iter()
        .filter_map(|step| match &step.undo {
            Undo::RemoveTree { path } | Undo::EmptyDir { path, .. } => Some(path.clone()),
            _ => None,
        })
        .collect();
    let mut settling = Settling { journal, runner, stubborn, removed, asked, left: 0, put_off: vec![] };
    for (position, step) in stack.iter().enumerate() {
        let older = &stack[position + 1..];
        let may_wait = is_of_the_api(&step.undo) && older.iter().any(|older| settling.serves_again(older));
        // One that was put off says that the next would be, too.
        if may_wait && !settling.put_off.is_empty() {
            settling.put_off.push(step.clone());
            continue;
        }
        if settling.take(&stack[position..], may_wait).await? == Taken::PutOff {
            settling.put_off.push(step.clone());
        }
        if settling.is_last_guard(step, older) {
            let put_off = std::mem::take(&mut settling.put_off);
            let steps: Vec<_> = put_off.into_iter().chain(older.iter().cloned()).collect();
            for position in 0..steps.len() - older.len() {
                settling.take(&steps[position..], false).await?;
            }
        }
    }
    let left = settling.left;
    journal.append(Record::RolledBack)?;
    let private = Store::new(Some(journal.folder().join("private")), BTreeMap::new());
    // The next run tries again.
    let _ = private.forget_secrets();
    Ok(TakenBack { undone: stack.len() - left, left })
}

/// What came of one step.
#[derive(PartialEq, Eq)]
enum Taken {
    /// Taken back, or left.
    Settled,
    /// No API server took it, and an older step brings one back.
    PutOff,
}

/// A rollback at work.
struct Settling<'a> {
    journal: &'a mut Journal,
    runner: &'a Runner<'a>,
    stubborn: Stubborn,
    removed: Vec<PathBuf>,
    /// How many signals had come before.
    asked: usize,
    left: usize,
    /// What waits for a control plane that serves, newest first.
    put_off: Vec<ToUndo>,
}

impl Settling<'_> {
    /// Takes the first of these steps back; the others are the older ones.
    async fn take(&mut self, steps: &[ToUndo], may_wait: bool) -> Result<Taken, RollbackError> {
        let Some((step, older)) = steps.split_first() else { return Ok(Taken::Settled) };
        let runner = self.runner;
        if runner.cancel.count() > self.asked
            && let Some(signal) = runner.cancel.signal()
        {
            return Err(RollbackError::Interrupted { operation: self.journal.operation.id.clone(), signal });
        }
        let stays = step.undo.stays(runner.host, runner.registry).await;
        // An upgrade that was resumed has several guards; the pods that a newer one waits for come with what is older.
        let is_early = self.serves_again(step) && !self.is_last_guard(step, older);
        let undone = if is_early || is_redone(&step.undo, older) {
            Ok(vec![])
        } else {
            step.carry_out(runner.host, self.journal, runner.registry, &self.removed).await
        };
        for foreign in undone.iter().flatten() {
            runner.reporter.report(Event::Warning { message: foreign.to_string() });
        }
        match undone {
            Err(error) if may_wait && !is_injected(&error) => return Ok(Taken::PutOff),
            Err(error) => return self.failed(steps, &error).map(|()| Taken::Settled),
            Ok(_) => {}
        }
        if let Some(message) = stays {
            runner.reporter.report(Event::Warning { message });
        }
        self.journal.append(Record::Undone { entry: step.entry })?;
        runner.reporter.report(Event::StepUndone { description: step.description.clone() });
        Ok(Taken::Settled)
    }

    /// The first of these could not be taken back.
    fn failed(&mut self, steps: &[ToUndo], error: &StepError) -> Result<(), RollbackError> {
        let Some(ToUndo { entry, description, .. }) = steps.first() else { return Ok(()) };
        let message = crate::text::chain(error);
        let report = Event::UndoFailed { description: description.clone(), message: message.clone() };
        self.runner.reporter.report(report);
        if self.stubborn == Stubborn::Skip {
            self.journal.append(Record::UndoSkipped { entry: *entry, message })?;
            self.left += 1;
            return Ok(());
        }
        let registry = self.runner.registry;
        let all = steps.iter().chain(&self.put_off);
        let by_hand: Vec<_> = all.flat_map(|step| step.undo.by_hand(registry)).collect();
        self.journal.append(Record::UndoFailed {
            entry: *entry,
            message: message.clone(),
            by_hand: by_hand.clone(),
        })?;
        Err(RollbackError::Stuck {
            operation: self.journal.operation.id.clone(),
            step: description.clone(),
            message,
            by_hand,
        })
    }

    /// Whether the control plane of before serves once this step is taken back.
    fn is_last_guard(&self, step: &ToUndo, older: &[ToUndo]) -> bool {
        self.serves_again(step) && !older.iter().any(|older| self.serves_again(older))
    }

    /// Whether the undo of this step brings a control plane back that serves.
    fn serves_again(&self, step: &ToUndo) -> bool {
        let Undo::Action { name, .. } = &step.undo else { return false };
        self.runner.registry.find(name).is_some_and(UndoAction::serves_again)
    }
}

/// Whether it is an API server that takes it back.
fn is_of_the_api(undo: &Undo) -> bool {
    matches!(undo, Undo::Objects { .. } | Undo::Patch { .. })
}

fn is_injected(error: &StepError) -> bool {
    matches!(error, StepError::Host(error) if error.is_injected())
}

/// Whether an older step brings the same unit to its state anyway: starting it in between could only fail.
fn is_redone(undo: &Undo, older: &[ToUndo]) -> bool {
    let Undo::Service { unit, .. } = undo else { return false };
    older.iter().any(|older| matches!(&older.undo, Undo::Service { unit: same, .. } if same == unit))
}
