//! Dry run: every phase plans against an overlay of the host; nothing is written and no key is made.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::{
    PhaseError, PlanCx, PlanMode, Reporter, Step, Verdict, Workflow,
    content::Content,
    event::Outcome,
    redact,
    step::{ObjectSource, PatchSource},
    store::Store,
};
use crate::host::{Probe, overlay::Overlay};

/// A planned step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// What kind of step it is: `write-file`, `apply`, …
    pub action: &'static str,
    /// The paths or objects that it changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
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
    dry_run_with(workflow, host, skip, reporter, CONTEXT).await
}

/// Lines around a change in a unified diff.
pub const CONTEXT: usize = 3;

/// The same with another number of lines around the changes.
///
/// # Errors
/// As [`dry_run`].
pub async fn dry_run_with(
    workflow: &Workflow,
    host: &dyn Probe,
    skip: &BTreeSet<&'static str>,
    reporter: &dyn Reporter,
    context: usize,
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
                    let diff = diff(&overlay, &step, context).await;
                    line.steps.push(PlannedStep {
                        action: step.action(),
                        targets: step.targets(),
                        description: step.describe(),
                        diff,
                    });
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

async fn diff(host: &dyn Probe, step: &Step, context: usize) -> Option<String> {
    match step {
        Step::WriteFile { path, content, .. } => {
            let new = shown(content)?;
            let old = host.read(path).await.ok().flatten().unwrap_or_default();
            let old = match content {
                Content::Bytes(_) => String::from_utf8_lossy(&old).into_owned(),
                // Of what may hold secrets, only what is known to be none is shown.
                _ => redact::kubeconfig(&old).unwrap_or_default(),
            };
            Some(unified(&path.display().to_string(), &old, &new, context))
        }
        Step::Action(action) => {
            let (path, new) = action.file()?;
            let old = host.read(path).await.ok().flatten().unwrap_or_default();
            Some(unified(&path.display().to_string(), &String::from_utf8_lossy(&old), new, context))
        }
        // Line by line what goes.
        Step::Feed { input, .. } => Some(input.clone()),
        Step::Remove { what, .. } => {
            let mut text = String::new();
            for removal in what {
                if removal.contents_only {
                    for name in host.list(&removal.path).await.ok()? {
                        text += &format!("- {}\n", removal.path.join(name).display());
                    }
                } else {
                    text += &format!("- {}\n", removal.path.display());
                }
            }
            Some(text)
        }
        Step::Patch { access, target, change, .. } => {
            let live = host.object(access, target).await.ok().flatten()?;
            let patch = match change {
                PatchSource::Plain { patch, .. } => patch.clone(),
                PatchSource::Made(maker) => maker.make(&live).0,
            };
            let mut new = live.clone();
            crate::manifest::patch::merge::apply(&mut new, &patch);
            let text = |object: Value| crate::yaml::to_string(&without_bookkeeping(redact::secret(object)));
            Some(unified(&target.to_string(), &text(live), &text(new), context))
                .filter(|text| !text.is_empty())
        }
        Step::Apply { access, objects, .. } => {
            let mut text = String::new();
            for object in objects {
                let ObjectSource::Plain(new) = object else { continue };
                let target = object.reference()?;
                let old = host.object(access, &target).await.ok().flatten();
                text += &object_diff_with(&target.to_string(), old.as_ref(), new, context);
            }
            Some(text).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

/// How an object would differ from the live one: whole where there is none, and without a Secret's values.
pub fn object_diff(name: &str, live: Option<&Value>, new: &Value) -> String {
    object_diff_with(name, live, new, CONTEXT)
}

fn object_diff_with(name: &str, live: Option<&Value>, new: &Value, context: usize) -> String {
    let old = live.map(|live| only_fields_of(live, new));
    let (old, new) = redact::secrets(old, new.clone());
    let old = old.map(|old| crate::yaml::to_string(&old)).unwrap_or_default();
    unified(name, &old, &crate::yaml::to_string(&new), context)
}

/// What a file will hold, as far as it is known now and no secret.
fn shown(content: &Content) -> Option<String> {
    match content {
        Content::Bytes(new) => Some(String::from_utf8_lossy(new).into_owned()),
        Content::Private(new) => redact::kubeconfig(new),
        Content::Kubeconfig(file) => Some(redact::new_kubeconfig(file)),
        _ => None,
    }
}

fn unified(name: &str, old: &str, new: &str, context: usize) -> String {
    let (old, new) = (redact::passwords(old), redact::passwords(new));
    similar::TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(context)
        .header(name, name)
        .to_string()
}

/// What the server keeps about an object changes with every change.
fn without_bookkeeping(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("status");
    }
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion"] {
            metadata.shift_remove(field);
        }
    }
    // The order of keys is no difference.
    crate::yaml::sort_keys(&mut object);
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
