//! What `rkadm join` says when it is done.

use rkadm_core::{
    config::ResolvedJoin,
    engine::{
        RunReport,
        journal::JournalDir,
        operation::{PhaseLine, Status},
    },
    host::{LocalHost, Probe},
};
use rkadm_phases::join::Joining;
use serde::Serialize;

use crate::cli::Session;

/// The result of `rkadm join`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinResult<'a> {
    operation: &'a str,
    changed: bool,
    kubernetes_version: String,
    node_name: &'a str,
    control_plane: bool,
    phases: &'a [PhaseLine],
}

/// The result where there is nothing to do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unchanged {
    operation: String,
    changed: bool,
}

/// Prints the result of a whole `join`, or of single phases.
pub fn finished(session: &Session, joining: &Joining, done: &RunReport) {
    let config = &joining.cluster.config;
    let result = JoinResult {
        operation: &done.operation,
        changed: true,
        kubernetes_version: config.kubernetes_version.to_string(),
        node_name: config.node_name(),
        control_plane: joining.is_control_plane(),
        phases: &done.phases,
    };
    let whole = joining.request.only.is_none();
    session.printer.result("JoinResult", &result, || if whole { text(&result) } else { String::new() });
}

fn text(result: &JoinResult<'_>) -> String {
    let (node, version) = (result.node_name, &result.kubernetes_version);
    if !result.control_plane {
        return format!(
            "This machine is the node {node} of a Kubernetes {version} cluster now. It gets ready when the pod network \
             reaches it:\n\n  kubectl get node {node}     (on a control plane)\n"
        );
    }
    format!(
        "This machine is the control plane {node} of a Kubernetes {version} cluster now: its API server and its member \
         of etcd are up.\n\nTo use it as root:\n\n  export KUBECONFIG=/etc/kubernetes/admin.conf\n  kubectl get nodes\n"
    )
}

/// Whether this node joined already, with the same configuration, and says so.
pub async fn already(session: &Session, host: &LocalHost, join: &ResolvedJoin) -> bool {
    let operations = JournalDir::below(&session.root).load_all().unwrap_or_default();
    let Some(last) = operations.iter().rev().find(|operation| {
        matches!(operation.workflow(), "join" | "reset") && operation.status == Status::Finished
    }) else {
        return false;
    };
    // After a reset the journal still tells of a node that is gone.
    let there = matches!(host.stat("/etc/kubernetes/kubelet.conf".as_ref()).await, Ok(Some(_)));
    let same = last.workflow() == "join" && last.begun().is_some_and(|begun| begun.digest == join.digest());
    if !there || !same || operations.iter().any(|operation| !operation.status.is_settled()) {
        return false;
    }
    let result = Unchanged { operation: last.id.clone(), changed: false };
    session.printer.result("JoinResult", &result, || {
        format!(
            "Nothing to do: operation {} made this machine a node with the same configuration.\n",
            last.id
        )
    });
    true
}
