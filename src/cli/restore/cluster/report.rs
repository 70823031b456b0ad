//! What `rkadm restore cluster` asks, and says when it is done.

use std::{fmt::Write as _, path::PathBuf};

use jiff::Timestamp;
use rkadm_core::{
    backup::lost::Lost,
    engine::{RunReport, operation::Status},
    host::Probe,
};
use rkadm_phases::restore::{CLUSTER_WORKFLOW, ClusterRestore, REMOVED_OUTPUT, REPORT_OUTPUT};
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{came_back::CameBack, confirm::age},
    journals,
};
use crate::cli::{API_TIMEOUT, Session, exit::CommandError, init::Join};

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    operation: String,
    changed: bool,
    file: PathBuf,
    backup_created_at: Option<Timestamp>,
    backup_revision: i64,
    revision: Option<i64>,
    node_name: String,
    kubernetes_version: String,
    #[serde(flatten)]
    came_back: CameBack,
    removed_nodes: Vec<String>,
    nodes_not_ready: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<Join>,
}

/// Asks.
pub fn question(request: &ClusterRestore, lost: &Lost, now: Timestamp) -> String {
    let taken = lost.taken.as_ref().map_or_else(
        || "of unknown age".into(),
        |(at, node)| format!("taken {} ago on {node} ({})", age(now, *at), at.strftime("%Y-%m-%d %H:%M UTC")),
    );
    let config = &request.config;
    let members = match lost.client_urls.as_slice() {
        [] => String::new(),
        urls => format!("\x20 members   {}: none answers; they must be off for good\n", urls.join(", ")),
    };
    format!(
        "This makes {} the only control plane of the cluster in the backup:\n\
         \x20 backup    {}, {taken}\n\
         \x20 revision  {}, {} keys; whatever was written later is lost\n\
         \x20 cluster   {}, Kubernetes {}\n\
         \x20 endpoint  {}\n{members}\
         Restore it? [y/N]: ",
        config.node_name(),
        request.source.file.display(),
        lost.revision,
        lost.keys,
        config.cluster.cluster_name,
        config.kubernetes_version,
        config.control_plane_endpoint(),
    )
}

/// Prints the result.
pub fn finished(session: &Session, request: &ClusterRestore, done: &RunReport) {
    let report = done.outputs.get(REPORT_OUTPUT).cloned().unwrap_or_default();
    let names = |value: Option<&Value>| -> Vec<String> {
        let names = value.and_then(Value::as_array).into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let result = Restored {
        operation: done.operation.clone(),
        changed: true,
        file: request.source.file.clone(),
        backup_created_at: request.source.created_at,
        backup_revision: request.source.revision,
        revision: report["revision"].as_i64(),
        node_name: request.config.node_name().to_owned(),
        kubernetes_version: request.config.kubernetes_version.to_string(),
        came_back: CameBack::of(&report),
        removed_nodes: names(done.outputs.get(REMOVED_OUTPUT)),
        nodes_not_ready: names(report.get("nodesNotReady")),
        join: Join::of(&request.config, done),
    };
    session.printer.result("ClusterRestore", &result, || text(&result));
}

fn text(result: &Restored) -> String {
    let from = result.backup_created_at.map(|at| format!(", {} old", age(Timestamp::now(), at)));
    let revision = result.revision.map(|now| format!(", revision {now} now")).unwrap_or_default();
    let mut out = format!(
        "Restored the cluster from {}{}: revision {} of the backup{revision}.\n\
         {} is its only control plane, with Kubernetes {}.\n",
        result.file.display(),
        from.unwrap_or_default(),
        result.backup_revision,
        result.node_name,
        result.kubernetes_version,
    );
    out += &result.came_back.text();
    let mut line = |what: &str, names: &[String]| {
        if !names.is_empty() {
            let _ = writeln!(out, "{what}: {}", names.join(", "));
        }
    };
    line("Nodes of lost control planes, removed", &result.removed_nodes);
    line("Nodes that are not Ready now", &result.nodes_not_ready);
    out += "Nodes of machines that are lost too become NotReady within a minute: `kubectl delete node NAME` removes them, and their \
            pods are made elsewhere. Machines that are left find the cluster again where its endpoint leads to this one.\n\
            Take a backup of it: `rkadm backup etcd`.\n";
    if let Some(join) = &result.join {
        out += &join.text();
    }
    out
}

/// Whether the same command has finished here before.
pub async fn already(session: &Session, digest: &str) -> Result<bool, CommandError> {
    let operations = journals(session).load_all().unwrap_or_default();
    let same = operations.iter().rev().find(|operation| {
        let begun = operation.begun().is_some_and(|begun| begun.digest == digest);
        operation.workflow() == CLUSTER_WORKFLOW && operation.status == Status::Finished && begun
    });
    let Some(operation) = same else { return Ok(false) };
    // After a reset the journal still tells of a control plane that is gone.
    let manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml";
    let there = session.host(API_TIMEOUT).stat(manifest.as_ref()).await.map_err(CommandError::failed)?;
    if there.is_none() {
        return Ok(false);
    }
    let result = serde_json::json!({"operation": operation.id, "changed": false});
    session.printer.result("ClusterRestore", &result, || {
        format!("Nothing to do: operation {} restored this cluster here.\n", operation.id)
    });
    Ok(true)
}
