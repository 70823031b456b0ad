//! What a journal adds up to: the state of an operation, its timeline, and what can be taken back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    event::Outcome,
    journal::{Entry, Record},
    undo::Undo,
};

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// No record yet.
    New,
    /// At work, or its process died.
    Running,
    /// Stopped by Ctrl-C.
    Interrupted,
    /// A phase failed and nothing was taken back yet.
    Failed,
    /// Undo is under way, or its process died.
    RollingBack,
    /// Undo failed.
    Stuck,
    /// Done.
    Finished,
    /// Taken back.
    RolledBack,
}

impl Status {
    /// Whether nothing remains to be done.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::New | Self::Finished | Self::RolledBack)
    }

    /// Whether the operation can go on forward.
    pub fn is_resumable(self) -> bool {
        matches!(self, Self::Running | Self::Interrupted | Self::Failed)
    }

    /// The name in lists and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::RollingBack => "rolling-back",
            Self::Stuck => "stuck",
            Self::Finished => "finished",
            Self::RolledBack => "rolled-back",
        }
    }

    /// The status after a record, or `None` where the record cannot come now.
    fn next(self, record: &Record) -> Option<Self> {
        use Record as R;
        match (self, record) {
            (Self::New, R::Begun { .. })
            | (Self::Running | Self::Interrupted | Self::Failed, R::Resumed { .. })
            | (
                Self::Running,
                R::PhaseStarted { .. }
                | R::PhaseEnded { .. }
                | R::StepStarted { .. }
                | R::StepDone { .. }
                | R::Output { .. }
                | R::CommitPoint { .. },
            ) => Some(Self::Running),
            (Self::Running, R::Failed { .. }) => Some(Self::Failed),
            (Self::Running, R::Interrupted { .. }) => Some(Self::Interrupted),
            (Self::Running, R::Finished) => Some(Self::Finished),
            // A finished one only where it says that it can: see [`REVERSIBLE`].
            (
                Self::Running
                | Self::Interrupted
                | Self::Failed
                | Self::RollingBack
                | Self::Stuck
                | Self::Finished,
                R::RollbackStarted,
            )
            | (Self::RollingBack, R::Undone { .. } | R::UndoSkipped { .. }) => Some(Self::RollingBack),
            (Self::RollingBack, R::UndoFailed { .. }) => Some(Self::Stuck),
            (Self::RollingBack, R::RolledBack) => Some(Self::RolledBack),
            _ => None,
        }
    }
}

/// Name of the output that lets an operation be rolled back after it has finished: nothing relies on what it did.
pub const REVERSIBLE: &str = "reversible";

/// A record that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} ({record}) {}", if seq == expected {
    format!("cannot follow status {}", status.name())
} else {
    format!("stands where record {expected} should be")
})]
pub struct IllegalTransition {
    /// The number that comes next.
    pub expected: u64,
    /// Its number.
    pub seq: u64,
    /// Its kind.
    pub record: String,
    /// The status before.
    pub status: Status,
}

/// How far a step got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Announced; whether it acted is not known.
    Started,
    /// Carried out.
    Done,
    /// Taken back.
    Undone,
    /// Could not be taken back and was left, on the operator's word.
    Left,
}

/// A step in the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepLine {
    /// `seq` of its announcement.
    pub entry: u64,
    /// Phase id.
    pub phase: String,
    /// One line for people.
    pub description: String,
    /// How far it got.
    pub state: StepState,
    /// Milliseconds from announcement to receipt.
    pub elapsed_ms: Option<u64>,
    #[serde(skip)]
    undo: Undo,
    #[serde(skip)]
    index: usize,
}

/// A phase in the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseLine {
    /// Id.
    pub phase: String,
    /// How it ended; `None` while it has not.
    pub outcome: Option<Outcome>,
    /// Why there was nothing to do.
    pub why: Option<String>,
    /// Milliseconds it took.
    pub elapsed_ms: Option<u64>,
}

/// An operation as its journal tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// ULID.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// Every record.
    pub entries: Vec<Entry>,
}

impl Operation {
    /// An operation without a record.
    pub fn empty(id: String) -> Self {
        Self { id, status: Status::New, entries: vec![] }
    }

    /// Takes one more record.
    pub fn accept(&mut self, entry: Entry) -> Result<(), IllegalTransition> {
        let in_order = entry.seq == self.entries.len() as u64;
        let Some(status) = self.status.next(&entry.record).filter(|_| in_order) else {
            let record = serde_json::to_value(&entry.record)
                .ok()
                .and_then(|value| value.get("record").and_then(Value::as_str).map(str::to_owned));
            return Err(IllegalTransition {
                expected: self.entries.len() as u64,
                seq: entry.seq,
                record: record.unwrap_or_default(),
                status: self.status,
            });
        };
        self.status = status;
        self.entries.push(entry);
        Ok(())
    }

    /// The command, its configuration and digest; `None` for an empty journal.
    pub fn begun(&self) -> Option<Begun<'_>> {
        match &self.entries.first()?.record {
            Record::Begun { workflow, phases, command, config, digest, rkadm, .. } => {
                Some(Begun { workflow, phases, command, config, digest, rkadm })
            }
            _ => None,
        }
    }

    /// The command's name.
    pub fn workflow(&self) -> &str {
        self.begun().map_or("", |begun| begun.workflow)
    }

    /// Recorded outputs.
    pub fn outputs(&self) -> BTreeMap<String, Value> {
        let mut outputs = BTreeMap::new();
        for entry in &self.entries {
            if let Record::Output { name, value } = &entry.record {
                outputs.insert(name.clone(), value.clone());
            }
        }
        outputs
    }

    /// Whether it can be taken back now.
    pub fn can_be_rolled_back(&self) -> bool {
        match self.status {
            Status::Finished => self.outputs().get(REVERSIBLE) == Some(&Value::Bool(true)),
            status => !status.is_settled(),
        }
    }

    /// Phases that ended well, or were left out.
    pub fn ended_phases(&self) -> BTreeSet<&str> {
        let ended = self.entries.iter().filter_map(|entry| match &entry.record {
            Record::PhaseEnded { phase, .. } => Some(phase.as_str()),
            _ => None,
        });
        ended.collect()
    }

    /// The last error, if one was recorded.
    pub fn error(&self) -> Option<(&str, &str)> {
        self.entries.iter().rev().find_map(|entry| match &entry.record {
            Record::Failed { phase, message } => Some((phase.as_str(), message.as_str())),
            _ => None,
        })
    }

    /// Why steps before the last commit point cannot be taken back.
    pub fn commit_point(&self) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match &entry.record {
            Record::CommitPoint { why } => Some(why.as_str()),
            _ => None,
        })
    }

    /// What a rollback has to do, newest first: every announced step since the last commit point that was not taken
    /// back yet.
    pub fn undo_stack(&self) -> Vec<ToUndo> {
        let commit =
            self.entries.iter().rposition(|entry| matches!(entry.record, Record::CommitPoint { .. }));
        let commit = commit.map_or(0, |position| position as u64);
        let steps = self.steps().into_iter().rev();
        steps
            .filter(|step| {
                step.entry >= commit
                    && !matches!(step.state, StepState::Undone | StepState::Left)
                    && step.undo != Undo::Nothing
            })
            .map(|step| ToUndo {
                acted: step.state == StepState::Done,
                entry: step.entry,
                description: step.description,
                undo: step.undo,
            })
            .collect()
    }

    /// The steps in the order in which they were announced.
    pub fn steps(&self) -> Vec<StepLine> {
        let mut steps: Vec<StepLine> = vec![];
        for entry in &self.entries {
            match &entry.record {
                Record::StepStarted { phase, step, description, undo } => steps.push(StepLine {
                    entry: entry.seq,
                    phase: phase.clone(),
                    description: description.clone(),
                    state: StepState::Started,
                    elapsed_ms: None,
                    undo: undo.clone(),
                    index: *step,
                }),
                Record::StepDone { phase, step } => {
                    let mine =
                        steps.iter_mut().rev().find(|line| line.phase == *phase && line.index == *step);
                    if let Some(line) = mine {
                        line.state = StepState::Done;
                        line.elapsed_ms = self.elapsed(line.entry, entry);
                    }
                }
                Record::Undone { entry: settled } | Record::UndoSkipped { entry: settled, .. } => {
                    let left = matches!(entry.record, Record::UndoSkipped { .. });
                    if let Some(line) = steps.iter_mut().find(|line| line.entry == *settled) {
                        line.state = if left { StepState::Left } else { StepState::Undone };
                    }
                }
                _ => {}
            }
        }
        steps
    }

    /// The phases in the order of the workflow. A phase that was planned again shows its last run.
    pub fn phases(&self) -> Vec<PhaseLine> {
        let names = self.begun().map(|begun| begun.phases.to_vec()).unwrap_or_default();
        let line = |phase: String| PhaseLine { phase, outcome: None, why: None, elapsed_ms: None };
        let mut lines: Vec<_> = names.into_iter().map(line).collect();
        let mut started = BTreeMap::new();
        for entry in &self.entries {
            match &entry.record {
                Record::PhaseStarted { phase, .. } => {
                    started.insert(phase.clone(), entry.seq);
                }
                Record::PhaseEnded { phase, outcome, why } => {
                    let Some(line) = lines.iter_mut().find(|line| line.phase == *phase) else { continue };
                    // On resume a phase finds its work done; its first run tells more.
                    if line.outcome != Some(Outcome::Done) {
                        line.outcome = Some(*outcome);
                        line.why.clone_from(why);
                        line.elapsed_ms = started.get(phase).and_then(|seq| self.elapsed(*seq, entry));
                    }
                }
                _ => {}
            }
        }
        lines
    }

    fn elapsed(&self, from: u64, to: &Entry) -> Option<u64> {
        let from = self.entries.get(usize::try_from(from).ok()?)?;
        u64::try_from(to.at.duration_since(from.at).as_millis()).ok()
    }
}

/// A step that a rollback takes back.
#[derive(Debug, Clone)]
pub struct ToUndo {
    /// `seq` of its [`Record::StepStarted`].
    pub entry: u64,
    /// In words.
    pub description: String,
    /// How.
    pub undo: Undo,
    /// It is known to have acted. Where it is not, it may have.
    pub acted: bool,
}

/// The first record of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// Command.
    pub workflow: &'a str,
    /// Phase ids.
    pub phases: &'a [String],
    /// The command as typed, redacted.
    pub command: &'a [String],
    /// Resolved configuration without secrets.
    pub config: &'a Value,
    /// Its digest.
    pub digest: &'a str,
    /// Version of rkadm.
    pub rkadm: &'a str,
}
