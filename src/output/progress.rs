//! Progress on stderr: a live line on a terminal, plain lines elsewhere, JSON lines for programs.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use rkadm_core::engine::{
    Event, Reporter,
    event::{Outcome, SCHEMA, Silent},
};
use serde::Serialize;

use super::{
    note, stderr_is_terminal,
    text::{count, duration},
};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// Live on a terminal, plain otherwise.
    #[default]
    Auto,
    /// One line for each phase.
    Plain,
    /// One JSON object for each event.
    Json,
    /// Nothing.
    None,
}

/// The reporter for a mode.
pub fn reporter(mode: Mode) -> Box<dyn Reporter> {
    match mode {
        Mode::Auto if stderr_is_terminal() => Box::new(Live::default()),
        Mode::Auto | Mode::Plain => Box::new(Plain),
        Mode::Json => Box::new(Json),
        Mode::None => Box::new(Silent),
    }
}

/// One event as `--progress json` writes it. The schema is described in docs/reference/events.md.
#[derive(Serialize)]
struct Line {
    schema: u32,
    at: jiff::Timestamp,
    #[serde(flatten)]
    event: Event,
}

/// JSON lines.
struct Json;

impl Reporter for Json {
    fn report(&self, event: Event) {
        let line = Line { schema: SCHEMA, at: jiff::Timestamp::now(), event };
        note(&serde_json::to_string(&line).unwrap_or_default());
    }
}

/// Plain lines.
struct Plain;

impl Reporter for Plain {
    fn report(&self, event: Event) {
        if let Some(line) = line(&event) {
            note(&line);
        }
    }
}

/// What people read of an event, if anything.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::OperationStarted { operation, resumed: true, .. } => {
            Some(format!("resuming operation {operation}"))
        }
        Event::OperationStarted { operation, .. } => Some(format!("operation {operation}")),
        Event::PhaseFinished { phase, outcome: Outcome::Done, elapsed_ms, .. } => {
            Some(format!("  {phase:<38} done in {}", duration(*elapsed_ms)))
        }
        Event::PhaseFinished { phase, outcome, why, .. } => {
            let word = match outcome {
                Outcome::Skipped => "skipped",
                Outcome::NotApplicable => "not applicable",
                _ => "nothing to do",
            };
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            Some(format!("  {phase:<38} {word}{why}"))
        }
        Event::Waiting { phase, missing } => Some(format!("  {phase:<38} waiting for {missing}")),
        Event::Warning { message } => Some(format!("Warning: {message}")),
        Event::PhaseFailed { phase, .. } => Some(format!("  {phase:<38} failed")),
        Event::RollbackStarted { steps: steps @ 1.. } => {
            Some(format!("rolling back {}", count(*steps, "step")))
        }
        Event::StepUndone { description } => Some(format!("  undone: {description}")),
        Event::UndoFailed { description, message } => {
            Some(format!("  cannot undo: {description}: {message}"))
        }
        Event::Machine { machine, event } => {
            line(event).map(|line| format!("  {:<38} {}", format!("{machine}:"), words(&line)))
        }
        Event::RollbackStarted { steps: 0 }
        | Event::PhaseStarted { .. }
        | Event::StepStarted { .. }
        | Event::StepFinished { .. }
        | Event::OperationFinished { .. } => None,
    }
}

/// A line without its columns.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is going on at this moment.
fn doing(event: &Event) -> Option<String> {
    match event {
        Event::StepStarted { description, .. } => Some(description.clone()),
        Event::Waiting { missing, .. } => Some(format!("waiting for {missing}")),
        _ => None,
    }
}

/// A spinner for the phase at work, finished phases above it.
#[derive(Default)]
struct Live {
    bar: Mutex<Option<ProgressBar>>,
}

impl Live {
    fn draws(&self) -> bool {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn with_bar(&self, then: impl FnOnce(&ProgressBar)) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        then(bar);
    }
}

impl Reporter for Live {
    fn report(&self, event: Event) {
        match &event {
            Event::PhaseStarted { title, index, total, .. } => self.with_bar(|bar| {
                bar.set_prefix(format!("[{index}/{total}]"));
                bar.set_message(title.clone());
            }),
            Event::StepStarted { .. } | Event::Waiting { .. } => {
                self.with_bar(|bar| bar.set_message(doing(&event).unwrap_or_default()));
            }
            Event::OperationFinished { .. } => self.with_bar(ProgressBar::finish_and_clear),
            Event::Machine { machine, event } if doing(event).is_some() => {
                let doing = doing(event).unwrap_or_default();
                self.with_bar(|bar| bar.set_message(format!("{machine}: {doing}")));
            }
            // Before anything runs there may be a question, over which nothing must be drawn.
            Event::Warning { .. } if !self.draws() => note(&line(&event).unwrap_or_default()),
            _ => {
                if let Some(line) = line(&event) {
                    self.with_bar(|bar| bar.println(line));
                }
            }
        }
    }
}
