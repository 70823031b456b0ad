//! docs/reference/events.md: every event, every field, and an example of each.

use std::collections::BTreeSet;

use rkadm_core::engine::{
    Event,
    event::{Outcome, SCHEMA},
};
use serde_json::Value;

use crate::{code, page, rows};

/// One of each, with every field. A new event does not compile in [`is_listed`] until somebody comes here.
fn one_of_each() -> Vec<Event> {
    let text = String::new;
    vec![
        Event::OperationStarted { operation: text(), workflow: text(), phases: vec![], resumed: false },
        Event::PhaseStarted { phase: text(), title: text(), index: 1, total: 1 },
        Event::PhaseFinished { phase: text(), outcome: Outcome::Done, why: Some(text()), elapsed_ms: 0 },
        Event::StepStarted { phase: text(), step: 0, description: text() },
        Event::StepFinished { phase: text(), step: 0, elapsed_ms: 0 },
        Event::Waiting { phase: text(), missing: text() },
        Event::Warning { message: text() },
        Event::PhaseFailed { phase: text(), message: text(), hints: vec![] },
        Event::RollbackStarted { steps: 0 },
        Event::StepUndone { description: text() },
        Event::UndoFailed { description: text(), message: text() },
        Event::Machine { machine: text(), event: Box::new(Event::Warning { message: text() }) },
        Event::OperationFinished { operation: text(), status: text(), elapsed_ms: 0 },
    ]
}

/// Exhaustive, so that the list above is.
fn is_listed(event: &Event) {
    match event {
        Event::OperationStarted { .. }
        | Event::PhaseStarted { .. }
        | Event::PhaseFinished { .. }
        | Event::StepStarted { .. }
        | Event::StepFinished { .. }
        | Event::Waiting { .. }
        | Event::Warning { .. }
        | Event::PhaseFailed { .. }
        | Event::RollbackStarted { .. }
        | Event::StepUndone { .. }
        | Event::UndoFailed { .. }
        | Event::Machine { .. }
        | Event::OperationFinished { .. } => {}
    }
}

/// Type and fields of an event as it is written.
fn shape(event: &Event) -> (String, BTreeSet<String>) {
    is_listed(event);
    let value = serde_json::to_value(event).unwrap();
    let kind = value["type"].as_str().unwrap().to_owned();
    (kind, value.as_object().unwrap().keys().filter(|key| *key != "type").cloned().collect())
}

/// The sections of the page: what stands between the backquotes of a heading, and the text below it.
fn sections(page: &str) -> Vec<(String, String)> {
    page.split("\n## ")
        .skip(1)
        .map(|section| {
            let (heading, text) = section.split_once('\n').unwrap();
            (code(heading).to_owned(), text.to_owned())
        })
        .collect()
}

#[test]
fn every_event_has_its_section_and_no_other_has() {
    let documented: BTreeSet<_> =
        sections(&page("reference/events.md")).into_iter().map(|(kind, _)| kind).collect();
    let known: BTreeSet<_> = one_of_each().iter().map(|event| shape(event).0).collect();
    assert_eq!(documented, known);
}

#[test]
fn every_field_is_described_and_no_other_is() {
    let sections = sections(&page("reference/events.md"));
    for event in one_of_each() {
        let (kind, fields) = shape(&event);
        let (_, text) = sections.iter().find(|(heading, _)| *heading == kind).unwrap();
        let described: BTreeSet<_> = rows(text).iter().map(|row| code(&row[0]).to_owned()).collect();
        assert_eq!(described, fields, "{kind}");
    }
}

#[test]
fn examples_are_events_of_their_section() {
    for (kind, text) in sections(&page("reference/events.md")) {
        let example = text.split("```json\n").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let example: Value = serde_json::from_str(example).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((&example["type"], &example["schema"]), (&kind.as_str().into(), &SCHEMA.into()));
        let fields: BTreeSet<_> = rows(&text)
            .iter()
            .map(|row| code(&row[0]).to_owned())
            .chain(["schema", "at", "type"].map(Into::into))
            .collect();
        let given: BTreeSet<_> = example.as_object().unwrap().keys().cloned().collect();
        assert_eq!(given, fields, "{kind}");
    }
}
