//! An upgrade that is taken back after it has finished.

use rkadm_core::{
    engine::operation::{Operation, Status},
    host::{ApiAccess, LocalHost, Probe},
    version::{KubeVersion, skew::Component},
};
use rkadm_phases::upgrade::{APPLY, state};

use crate::cli::exit::{CommandError, ExitKind};

/// Where the journal says which version there was before.
pub const FROM: &str = "from";

/// Refuses to take back a finished upgrade on which something was built: later upgrades, and kubelets that its API server would
/// be too old for. `later` are the operations that began after it.
pub async fn may_roll_back(
    host: &LocalHost,
    operation: &Operation,
    later: &[Operation],
) -> Result<(), CommandError> {
    if operation.status != Status::Finished || !operation.workflow().starts_with("upgrade ") {
        return Ok(());
    }
    let builds = ["upgrade ", "restore ", "reset", "init", "join", "certs renew"];
    let mut why: Vec<_> = later
        .iter()
        .filter(|other| !matches!(other.status, Status::RolledBack | Status::New))
        .filter(|other| builds.iter().any(|verb| other.workflow().starts_with(verb)))
        .map(|other| {
            format!("operation {} (rkadm {}) came after it: take that back first", other.id, other.workflow())
        })
        .collect();
    let from = operation.begun().and_then(|begun| begun.config[FROM].as_str()?.parse::<KubeVersion>().ok());
    if let Some(from) = from {
        why.extend(too_new(host, operation, &from).await);
    }
    if why.is_empty() {
        return Ok(());
    }
    let message = format!("operation {} cannot be taken back", operation.id);
    let mut error = CommandError::new(ExitKind::Failed, message).detail("Nothing was changed.");
    error.details.extend(why);
    Err(error)
}

/// Kubelets, and after an upgrade of the cluster other API servers, that are of a newer minor than this API server would be.
/// Where nobody can be asked, nobody is in the way.
async fn too_new(host: &LocalHost, operation: &Operation, from: &KubeVersion) -> Vec<String> {
    let access = ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: None };
    let Ok(seen) = state::look(host, &access).await else { return vec![] };
    let newer = |component| seen.of(component).filter(|running| running.version.minor() > from.minor());
    let kubelets = newer(Component::Kubelet).map(|running| {
        format!(
            "the kubelet of {} is {}, which is newer than an API server of {from} takes: bring it back first",
            running.node, running.version
        )
    });
    let own = host.hostname().await;
    let own =
        operation.begun().and_then(|begun| begun.config["nodeRegistration"]["name"].as_str()).unwrap_or(&own);
    let servers =
        newer(Component::ApiServer).filter(|running| operation.workflow() == APPLY && running.node != own);
    let servers = servers.map(|running| {
        format!("the API server on {} is {}: `rkadm op rollback` there first", running.node, running.version)
    });
    kubelets.chain(servers).collect()
}
