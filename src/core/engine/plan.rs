//! Dry run: every phase plans against an overlay of the host; nothing is written and no key is made.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::{
    PhaseError, PlanCx, PlanMode, Reporter, Step, Verdict, Workflow, content::Content, event::Outcome,
    step::ObjectSource, store::Store,
};
use crate::host::{Probe, overlay::Overlay};

/// A planned step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// One line for people.
    pub description: String,
    /// Unified diff against what is there now, where the content is known and not secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// A planned phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPhase {
    /// Id.
    pub phase: String,
    /// Title.
    pub title: String,
    /// `done` here means: would be carried out.
    pub outcome: Outcome,
    /// Why there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What would be done.
    pub steps: Vec<PlannedStep>,
}

/// Plans the whole workflow.
///
/// # Errors
/// The id of the phase that cannot be planned, and why.
pub async fn dry_run(
    workflow: &Workflow,
    host: &dyn Probe,
    skip: &BTreeSet<&'static str>,
    reporter: &dyn Reporter,
) -> Result<Vec<PlannedPhase>, (String, PhaseError)> {
    let overlay = Overlay::over(host);
    let mut store = Store::default();
    let mut planned = vec![];
    for phase in &workflow.phases {
        let meta = phase.meta();
        let mut line = PlannedPhase {
            phase: meta.id.into(),
            title: meta.title.to_string(),
            outcome: Outcome::Done,
            why: None,
            steps: vec![],
        };
        if skip.contains(meta.id) {
            line.outcome = Outcome::Skipped;
            planned.push(line);
            continue;
        }
        let cx = PlanCx { host: &overlay, store: &store, mode: PlanMode::DryRun, reporter };
        match phase.plan(&cx).await.map_err(|error| (meta.id.to_owned(), error))? {
            Verdict::NotApplicable(why) => (line.outcome, line.why) = (Outcome::NotApplicable, Some(why)),
            Verdict::AlreadyDone(why) => (line.outcome, line.why) = (Outcome::AlreadyDone, Some(why)),
            Verdict::Apply(steps) => {
                for step in steps {
                    let diff = diff(&overlay, &step).await;
                    line.steps.push(PlannedStep { description: step.describe(), diff });
                    if let Step::Record { name, value } = &step {
                        store.record(name, value.clone());
                    }
                    overlay.absorb(&step);
                }
            }
        }
        planned.push(line);
    }
    Ok(planned)
}

async fn diff(host: &dyn Probe, step: &Step) -> Option<String> {
    match step {
        Step::WriteFile { path, content: Content::Bytes(new), .. } => {
            let old = host.read(path).await.ok().flatten().unwrap_or_default();
            Some(unified(
                &path.display().to_string(),
                &String::from_utf8_lossy(&old),
                &String::from_utf8_lossy(new),
            ))
        }
        Step::Apply { access, objects, .. } => {
            let mut text = String::new();
            for object in objects {
                let ObjectSource::Plain(new) = object else { continue };
                let target = object.reference()?;
                let old = host.object(access, &target).await.ok().flatten();
                text += &object_diff(&target.to_string(), old.as_ref(), new);
            }
            Some(text).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

/// How an object would differ from the live one: whole where there is none, and without a Secret's values.
pub fn object_diff(name: &str, live: Option<&Value>, new: &Value) -> String {
    let old = live.map(|live| crate::yaml::to_string(&only_fields_of(&redacted(live.clone()), new)));
    unified(name, &old.unwrap_or_default(), &crate::yaml::to_string(&redacted(new.clone())))
}

fn unified(name: &str, old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().header(name, name).to_string()
}

/// A Secret's values never leave the process, not even in a plan.
fn redacted(mut object: Value) -> Value {
    if object.get("kind").and_then(Value::as_str) == Some("Secret") {
        for field in ["data", "stringData"] {
            if let Some(values) = object.get_mut(field).and_then(Value::as_object_mut) {
                for value in values.values_mut() {
                    *value = Value::from("(secret)");
                }
            }
        }
    }
    object
}

/// What the server added is no difference: only fields that the new object names are compared.
fn only_fields_of(live: &Value, new: &Value) -> Value {
    match (live, new) {
        (Value::Object(live), Value::Object(new)) => Value::Object(
            new.iter()
                .filter_map(|(name, new)| {
                    live.get(name).map(|live| (name.clone(), only_fields_of(live, new)))
                })
                .collect(),
        ),
        (Value::Array(live), Value::Array(new)) if live.len() == new.len() => {
            Value::Array(live.iter().zip(new).map(|(live, new)| only_fields_of(live, new)).collect())
        }
        (live, _) => live.clone(),
    }
}
