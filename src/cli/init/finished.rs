//! `init` on a machine where `init` has finished before.

use rkadm_core::{
    config::ResolvedInit,
    engine::{RunError, journal::JournalDir, operation::Status},
    host::{LocalHost, Probe},
};
use rkadm_phases::restore::CLUSTER_WORKFLOW;
use serde::Serialize;
use serde_json::Value;

use crate::cli::{
    Session,
    exit::{CommandError, ExitKind},
};

/// What makes a machine a part of a cluster, or takes it out. A single phase of `init` does neither.
fn settles(workflow: &str) -> bool {
    ["init", "join", "reset", "reset phase cleanup-node", CLUSTER_WORKFLOW].contains(&workflow)
}

/// The result where there is nothing to do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unchanged {
    operation: String,
    changed: bool,
}

/// Whether this cluster was made already with this configuration.
///
/// # Errors
/// It was made with another one: the differences are in the error.
pub async fn already(
    session: &Session,
    host: &LocalHost,
    config: &ResolvedInit,
) -> Result<bool, CommandError> {
    let dir = JournalDir::below(&session.root);
    let operations = dir.load_all().unwrap_or_default();
    if operations.iter().any(|operation| !operation.status.is_settled()) {
        return Ok(false);
    }
    // After a reset, a join or a restore the journal still tells of a cluster that is gone.
    let mut finished = operations.iter().rev().filter(|operation| operation.status == Status::Finished);
    let made = finished.find(|operation| settles(operation.workflow()));
    let Some(operation) = made.filter(|operation| operation.workflow() == "init") else {
        return Ok(false);
    };
    for file in ["/etc/kubernetes/admin.conf", "/etc/kubernetes/manifests/kube-apiserver.yaml"] {
        if !matches!(host.stat(file.as_ref()).await, Ok(Some(_))) {
            return Ok(false);
        }
    }
    let Some(begun) = operation.begun() else { return Ok(false) };
    if begun.digest == config.digest() {
        let result = Unchanged { operation: operation.id.clone(), changed: false };
        session.printer.result("InitResult", &result, || {
            format!(
                "Nothing to do: operation {} made this control plane with the same configuration \
                 (for a new join command: rkadm token create --print-join-command).\n",
                operation.id
            )
        });
        return Ok(true);
    }
    let message = "this machine has a control plane already, made with another configuration";
    let mut error = with_differences(CommandError::new(ExitKind::Failed, message), begun.config, config);
    if error.details.is_empty() {
        error.details.push("what differs is a secret: a token, or the certificate key".into());
    }
    Err(error.hint("`init` makes clusters and does not change them; to start anew, reset this machine first"))
}

/// Adds what differs to the refusal to resume with another configuration.
pub fn explain(error: RunError, config: &ResolvedInit) -> CommandError {
    let theirs = match &error {
        RunError::Unfinished { workflow, config, .. } if workflow.starts_with("init") => Some(config.clone()),
        _ => None,
    };
    let error = CommandError::from(error);
    match theirs {
        Some(theirs) => with_differences(error, &theirs, config),
        None => error,
    }
}

fn with_differences(mut error: CommandError, before: &Value, config: &ResolvedInit) -> CommandError {
    for difference in config.diff_to_recorded(before) {
        let text =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "(not set)".into(), Value::to_string);
        error.details.push(format!(
            "{}: was {}, is now {}",
            difference.path,
            text(&difference.theirs),
            text(&difference.ours)
        ));
    }
    error
}
