//! An upgrade that is taken back after it has finished.

use rkadm_core::{
    engine::operation::{Operation, Status},
    host::{ApiAccess, LocalHost},
    version::{KubeVersion, skew::Component},
};
use rkadm_phases::upgrade::state;

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
        why.extend(newer_kubelets(host, &from).await);
    }
    if why.is_empty() {
        return Ok(());
    }
    let message = format!("operation {} cannot be taken back", operation.id);
    let mut error = CommandError::new(ExitKind::Failed, message).detail("Nothing was changed.");
    error.details.extend(why);
    Err(error)
}

/// Kubelets that are of a newer minor than the API server would be. Where nobody can be asked, nobody is in the way.
async fn newer_kubelets(host: &LocalHost, from: &KubeVersion) -> Vec<String> {
    let access = ApiAccess { kubeconfig: "/etc/kubernetes/admin.conf".into(), server: None };
    let Ok(seen) = state::look(host, &access).await else { return vec![] };
    let newer = seen.of(Component::Kubelet).filter(|running| running.version.minor() > from.minor());
    newer
        .map(|running| {
            format!(
                "the kubelet of {} is {}, which is newer than an API server of {from} takes: bring it back first",
                running.node, running.version
            )
        })
        .collect()
}
