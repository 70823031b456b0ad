//! What an upgrade says when it is done.

use rkadm_core::{
    engine::{RunReport, event::Outcome, operation::PhaseLine},
    version::KubeVersion,
};
use rkadm_phases::upgrade::{Scope, Upgrading, kubelet, state};
use serde::Serialize;

use super::downtime::Downtime;
use crate::{cli::Session, output::text};

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upgraded {
    operation: String,
    node: String,
    from: KubeVersion,
    to: KubeVersion,
    /// Whether anything had to change.
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Downtime>,
    /// Control planes that are still of an older version.
    control_planes_left: Vec<String>,
    /// Nodes whose kubelet is still of an older version.
    kubelets_left: Vec<String>,
    /// Addons that wait for the other control planes.
    addons_left: Vec<String>,
}

/// Prints it.
pub async fn finished(
    session: &Session,
    upgrading: &Upgrading,
    done: &RunReport,
    downtime: Option<Downtime>,
    then: Option<&KubeVersion>,
) {
    let only = upgrading.request.only.as_deref();
    if only.is_some_and(|only| only != kubelet::GROUP) {
        return phase_finished(session, done);
    }
    let is_kubelet = only.is_some();
    let to = upgrading.version().clone();
    let host = session.host(std::time::Duration::from_secs(10));
    let mut result = Upgraded {
        operation: done.operation.clone(),
        node: upgrading.cluster.config.node_name().to_owned(),
        from: upgrading.request.from.clone(),
        to: to.clone(),
        changed: changed(done, if is_kubelet { "kubelet/install" } else { "control-plane" }),
        api: downtime,
        control_planes_left: vec![],
        kubelets_left: vec![],
        addons_left: vec![],
    };
    for phase in done.phases.iter().filter(|phase| phase.phase.starts_with("addon/")) {
        if phase.why.as_ref().is_some_and(|why| why.starts_with("not before")) {
            result.addons_left.extend(phase.phase.strip_prefix("addon/").map(str::to_owned));
        }
    }
    if upgrading.request.control_plane
        && let Ok(access) = upgrading.cluster.admin(&host).await
        && let Ok(seen) = state::look(&host, &access).await
    {
        use rkadm_core::version::skew::Component::{ApiServer, Kubelet};
        let behind = |component| {
            let older = seen.of(component).filter(|running| running.version < to);
            let mut names: Vec<_> = older.map(|running| running.node.clone()).collect();
            names.sort();
            names
        };
        result.control_planes_left = behind(ApiServer);
        result.kubelets_left = behind(Kubelet);
    }
    session.printer.result("Upgrade", &result, || {
        if is_kubelet { of_kubelet(&result) } else { human(&result, upgrading.request.scope, then) }
    });
}

fn changed(done: &RunReport, id: &str) -> bool {
    done.phases.iter().any(|phase| phase.phase == id && phase.outcome == Some(Outcome::Done))
}

/// Of single phases, the progress has said what there is to say.
fn phase_finished(session: &Session, done: &RunReport) {
    #[derive(Serialize)]
    struct PhaseResult<'a> {
        operation: &'a str,
        phases: &'a [PhaseLine],
    }
    let result = PhaseResult { operation: &done.operation, phases: &done.phases };
    session.printer.result("PhaseResult", &result, String::new);
}

fn of_kubelet(result: &Upgraded) -> String {
    if !result.changed {
        return format!("The kubelet of {} is {} already.\n", result.node, result.to);
    }
    format!(
        "The kubelet of {} is {} now, and the node is Ready with it.\nTo take this back: `rkadm op rollback {}`\n",
        result.node, result.to, result.operation
    )
}

fn human(result: &Upgraded, scope: Scope, then: Option<&KubeVersion>) -> String {
    let what = match scope {
        Scope::Cluster => "The cluster and the control plane on",
        Scope::Node => "Node",
    };
    let mut out = if result.changed {
        format!("{what} {} went from {} to {}.\n", result.node, result.from, result.to)
    } else {
        format!("Nothing of the control plane had to change on {}: it has {}.\n", result.node, result.to)
    };
    if let (Some(api), true) = (&result.api, result.changed) {
        out += &format!(
            "Its API server did not answer for {}, and was not ready for {}.\n",
            text::duration(api.no_answer_ms),
            text::duration(api.not_ready_ms)
        );
    }
    if let Some(then) = then {
        out += &format!("Now on to {then}.\n");
    } else if !result.control_planes_left.is_empty() {
        out += &format!(
            "Next, on each other control plane, one at a time: `rkadm upgrade node` ({})\n",
            result.control_planes_left.join(", ")
        );
        if !result.addons_left.is_empty() {
            out += &format!("The last of them upgrades {} too.\n", result.addons_left.join(" and "));
        }
    } else if !result.kubelets_left.is_empty() {
        out += &format!(
            "Next, on each node, its kubelet of {}: `rkadm upgrade node --kubelet` ({})\n",
            result.to,
            result.kubelets_left.join(", ")
        );
    }
    if !result.changed {
        return out;
    }
    out + &format!("To take this back: `rkadm op rollback {}`\n", result.operation)
}
