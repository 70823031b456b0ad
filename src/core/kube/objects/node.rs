//! `mark-control-plane`: the labels and taints of a control-plane node.

use crate::config::types::Taint;
use serde_json::{Value, json};

/// Label of every control-plane node.
pub const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";
/// Keeps cloud load balancers from sending Service traffic to control planes.
pub const EXCLUDE_FROM_LOAD_BALANCERS_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Where kubeadm kept a node's container runtime before there was a file for it.
pub const CRI_SOCKET_ANNOTATION: &str = "kubeadm.alpha.kubernetes.io/cri-socket";

/// Condition of a Node whose machine has not finished its join, for those who look from another machine.
pub const UNFINISHED_JOIN: &str = "rkadm.io/JoinUnfinished";

/// A patch of a Node's status that says, or no longer says, that its machine has not finished its join. `why` is the
/// condition's reason (one word) and message.
pub fn unfinished_join(why: Option<(&str, &str)>, now: &str) -> Value {
    let condition = match why {
        Some((reason, message)) => json!({
            "type": UNFINISHED_JOIN,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }),
        None => json!({"$patch": "delete", "type": UNFINISHED_JOIN}),
    };
    json!({"status": {"conditions": [condition]}})
}

/// The condition [`UNFINISHED_JOIN`] of a Node that has it.
pub fn unfinished_join_of(node: &Value) -> Option<&Value> {
    let conditions = node.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|one| one["type"] == UNFINISHED_JOIN && one["status"] == "True")
}

/// The taint that a control plane gets when the configuration sets none.
pub fn control_plane_taint() -> Taint {
    Taint { key: CONTROL_PLANE_LABEL.into(), value: None, effect: "NoSchedule".into(), time_added: None }
}

/// A JSON merge patch that marks a Node. Merge patches replace lists, so the Node's taints are kept by naming them:
/// send the patch with the resource version that `existing` was read at.
pub fn mark_control_plane(existing: &[Taint], taints: &[Taint]) -> Value {
    let mut patch = json!({"metadata": {"labels": {
        CONTROL_PLANE_LABEL: "",
        EXCLUDE_FROM_LOAD_BALANCERS_LABEL: "",
    }}});
    let new =
        |old: &&Taint| taints.iter().all(|taint| (&taint.key, &taint.effect) != (&old.key, &old.effect));
    let all: Vec<&Taint> = taints.iter().chain(existing.iter().filter(new)).collect();
    if !taints.is_empty() {
        patch["spec"] = json!({"taints": all});
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_taints_stay_and_the_own_is_not_doubled() {
        let other = Taint { key: "other".into(), effect: "NoExecute".into(), ..Taint::default() };
        let own = control_plane_taint();
        let patch = mark_control_plane(&[own.clone(), other], std::slice::from_ref(&own));
        assert_eq!(
            patch["spec"]["taints"],
            json!([{"key": CONTROL_PLANE_LABEL, "effect": "NoSchedule"}, {"key": "other", "effect": "NoExecute"}])
        );
        assert_eq!(
            mark_control_plane(&[own], &[]).get("spec"),
            None,
            "no taints asked for: those there are left alone"
        );
    }
}
