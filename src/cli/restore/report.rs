//! What `rkadm restore etcd` says when it is done.

use std::path::PathBuf;

use jiff::Timestamp;
use rkadm_core::engine::RunReport;
use rkadm_phases::restore::{REPORT_OUTPUT, Restore};
use serde::Serialize;

use super::{came_back::CameBack, confirm::age};
use crate::cli::Session;

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    operation: String,
    file: PathBuf,
    backup_created_at: Option<Timestamp>,
    backup_revision: i64,
    revision: Option<i64>,
    #[serde(flatten)]
    came_back: CameBack,
    nodes_not_ready: Vec<String>,
    /// They ran on this machine, and the restored data does not know them.
    unknown_pods: Vec<String>,
    old_data: PathBuf,
    /// It was made of what this machine's own member had left.
    from_survivor: bool,
}

/// Prints it.
pub fn finished(session: &Session, restore: &Restore, done: &RunReport) {
    let report = done.outputs.get(REPORT_OUTPUT).cloned().unwrap_or_default();
    let names = |field: &str| -> Vec<String> {
        let names = report[field].as_array().into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let result = Restored {
        operation: done.operation.clone(),
        file: restore.source.file.clone(),
        backup_created_at: restore.source.created_at,
        backup_revision: restore.source.revision,
        revision: report["revision"].as_i64(),
        came_back: CameBack::of(&report),
        nodes_not_ready: names("nodesNotReady"),
        unknown_pods: names("unknownPods"),
        old_data: restore.aside(),
        from_survivor: restore.survivor,
    };
    session.printer.result("EtcdRestore", &result, || text(&result));
}

fn text(result: &Restored) -> String {
    let from = result.backup_created_at.map(|at| format!(", {} old", age(Timestamp::now(), at)));
    let revision = result.revision.map(|now| format!(", revision {now} now")).unwrap_or_default();
    let mut out = if result.from_survivor {
        format!("Made a cluster of one member of what was left on this machine{revision}.\n")
    } else {
        format!(
            "Restored from {}{}: revision {} of the backup{revision}.\n",
            result.file.display(),
            from.unwrap_or_default(),
            result.backup_revision
        )
    };
    out += &result.came_back.text();
    if !result.nodes_not_ready.is_empty() {
        out += &format!("Nodes that are not Ready: {}\n", result.nodes_not_ready.join(", "));
    }
    if !result.unknown_pods.is_empty() {
        out += &format!(
            "Pods that ran here and are newer than the backup, which the kubelet ends: {}\n",
            result.unknown_pods.join(", ")
        );
    }
    if result.from_survivor {
        out += &format!(
            "The other control planes join again: there `rkadm reset --force`, here `kubectl delete node NAME` and \
             `rkadm token create --print-join-command`, then `rkadm join --control-plane …` there.\n\
             The old data is in {}. When all is well, remove the directory, and take a backup: `rkadm backup etcd`.\n",
            result.old_data.display(),
        );
        return out;
    }
    out += &format!(
        "Nodes that no longer exist become NotReady within a minute: `kubectl delete node NAME` removes them.\n\
         The old data is in {}. To take the restore back: `rkadm op rollback {}`. When all is well, remove the directory.\n",
        result.old_data.display(),
        result.operation
    );
    out
}
