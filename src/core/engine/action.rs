//! The escape hatch: a change that is none of the primitive steps.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::act::{ActCx, StepError};
use crate::host::Actuator;

/// A change with its own do and undo. Use a primitive step where one fits.
///
/// The undo may run in another process than the do, long after it: all it gets is the data that [`Action::prepare`]
/// gave before acting, read back from the journal. So prepare must note what was there before.
#[async_trait]
pub trait Action: Send + Sync {
    /// Stable name: the key under which the undo is found again.
    fn name(&self) -> &'static str;
    /// One line for people.
    fn describe(&self) -> String;
    /// The file that it writes, where it writes one whose content is known and no secret: for plans.
    fn file(&self) -> Option<(&std::path::Path, &str)> {
        None
    }
    /// Looks at the host just before the act and gives the data that the undo will need. Changes nothing.
    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError>;
    /// Does it. Must be safe to repeat.
    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError>;
}

/// Takes back an action. Must be safe to repeat.
#[async_trait]
pub trait UndoAction: Send + Sync {
    /// What the undo cannot take back although it succeeds, and what to do about it. Asked before the undo; the operator
    /// is told after it.
    async fn stays(&self, _host: &dyn Actuator, _data: &Value) -> Option<String> {
        None
    }
    /// Whether the undo ends with a control plane that serves again: until then, changes of API objects may have to wait.
    fn serves_again(&self) -> bool {
        false
    }
    /// Undoes it with the data of [`Action::prepare`].
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError>;
    /// The commands that do the same by hand.
    fn by_hand(&self, data: &Value) -> Vec<String>;
}

/// For an action that leaves nothing to take back.
pub struct NoUndo;

#[async_trait]
impl UndoAction for NoUndo {
    async fn undo(&self, _host: &dyn Actuator, _data: &Value) -> Result<(), StepError> {
        Ok(())
    }

    fn by_hand(&self, _data: &Value) -> Vec<String> {
        vec![]
    }
}

/// The undo of every action, by name.
#[derive(Default)]
pub struct ActionRegistry {
    undo: BTreeMap<&'static str, Box<dyn UndoAction>>,
}

impl ActionRegistry {
    /// Adds the undo of the action with this name.
    #[must_use]
    pub fn with(mut self, name: &'static str, undo: impl UndoAction + 'static) -> Self {
        self.undo.insert(name, Box::new(undo));
        self
    }

    /// Finds the undo of an action.
    pub fn find(&self, name: &str) -> Option<&dyn UndoAction> {
        self.undo.get(name).map(Box::as_ref)
    }

    /// The registered names.
    pub fn names(&self) -> Vec<&'static str> {
        self.undo.keys().copied().collect()
    }
}
