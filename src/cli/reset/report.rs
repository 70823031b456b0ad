//! What `rkadm reset` says when it is done.

use std::path::PathBuf;

use rkadm_core::engine::{
    RunReport,
    event::Outcome,
    operation::{PhaseLine, REVERSIBLE},
};
use rkadm_phases::reset::{ARCHIVES_OUTPUT, MEMBER_OUTPUT, Reset, archives};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Session;

/// The result of `rkadm reset`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResetResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    changed: bool,
    /// Newest last.
    archives: Vec<PathBuf>,
    /// The etcd member that left its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_member: Option<String>,
    /// `rkadm op rollback` can take it back.
    reversible: bool,
    /// What stays, and what removes it.
    left: Vec<String>,
    phases: Vec<PhaseLine>,
}

/// Prints the result where there was nothing to do, and why.
pub fn unchanged(session: &Session, whole: bool, why: &[String]) {
    let result = ResetResult::default();
    session.printer.result("ResetResult", &result, || {
        if whole {
            "Nothing to do: no Kubernetes node is on this machine.\n".into()
        } else {
            format!("Nothing to do: {}.\n", why.join("; "))
        }
    });
}

/// Prints the result.
pub fn finished(session: &Session, reset: &Reset, whole: bool, done: &RunReport) {
    let member = done.outputs.get(MEMBER_OUTPUT);
    let stays = member.is_some_and(|value| value["stays"] == true);
    let name = member.and_then(|value| value["removed"].as_str());
    let mut left = if whole { left(reset) } else { vec![] };
    if let (true, Some(name)) = (stays, name) {
        left.insert(0, format!("etcd member {name} in the list of the others: etcdctl member remove"));
    }
    let result = ResetResult {
        operation: Some(done.operation.clone()),
        changed: done.phases.iter().any(|phase| phase.outcome == Some(Outcome::Done)),
        archives: archives(done.outputs.get(ARCHIVES_OUTPUT)),
        removed_member: name.filter(|_| !stays).map(str::to_owned),
        reversible: done.outputs.get(REVERSIBLE) == Some(&Value::Bool(true)),
        left,
        phases: done.phases.clone(),
    };
    session.printer.result("ResetResult", &result, || text(&result, whole));
}

/// What is not removed unless it is asked for.
fn left(reset: &Reset) -> Vec<String> {
    let mut left = vec![];
    if !reset.cni {
        left.push("configuration and state of CNI plugins: --remove-cni".to_owned());
    }
    if !reset.interfaces {
        left.push("network interfaces of network plugins: --remove-interfaces".to_owned());
    }
    if !reset.delete_node {
        left.push("the Node object, where the cluster goes on: kubectl delete node".to_owned());
    }
    if reset.user_kubeconfigs.is_empty() {
        left.push("~/.kube/config: --remove-kubeconfig".to_owned());
    }
    left
}

fn text(result: &ResetResult, whole: bool) -> String {
    let mut out = match (whole, result.changed) {
        (true, _) => "This machine is no Kubernetes node any more.\n".to_owned(),
        (false, true) => "Done.\n".to_owned(),
        (false, false) => "Nothing to do.\n".to_owned(),
    };
    if let Some(member) = &result.removed_member {
        out += &format!("etcd member {member} left its cluster.\n");
    }
    for archive in &result.archives {
        out += &format!("What was removed is kept in {} (it holds keys: mode 0600).\n", archive.display());
    }
    if let (true, Some(operation)) = (result.reversible, &result.operation) {
        out += &format!("To take it back: rkadm op rollback {operation}\n");
    }
    if !result.left.is_empty() {
        out += "Not removed:\n";
        out.extend(result.left.iter().map(|line| format!("  {line}\n")));
    }
    out
}
