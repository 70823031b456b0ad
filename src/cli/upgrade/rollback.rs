//! An upgrade that is taken back after it has finished.

use std::path::Path;

use rkadm_core::{
    engine::{
        journal::JournalDir,
        operation::{Operation, Status},
    },
    host::{ApiAccess, LocalHost, Probe},
    pki::Certificate,
    version::{KubeVersion, skew::Component},
};
use rkadm_phases::upgrade::{APPLY, state};

use super::diff::QUIET;
use crate::cli::{
    cluster::ADMIN_CONF,
    exit::{CommandError, ExitKind},
};

/// Where the journal says which version there was before.
pub const FROM: &str = "from";

/// Refuses to take back a finished upgrade on which something was built: later upgrades, and kubelets that its API server would
/// be too old for. `later` are the operations that began after it.
pub async fn may_roll_back(
    host: &LocalHost,
    session_root: &Path,
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
        // One that found nothing to do has changed nothing.
        .filter(|other| {
            let is_quiet = |phase: &str| QUIET.contains(&phase);
            !other.workflow().starts_with("upgrade ")
                || other.steps().iter().any(|step| !is_quiet(&step.phase))
        })
        .filter(|other| builds.iter().any(|verb| other.workflow().starts_with(verb)))
        .map(|other| {
            format!("operation {} (rkadm {}) came after it: take that back first", other.id, other.workflow())
        })
        .collect();
    why.extend(expired(session_root, operation));
    let from = operation.begun().and_then(|begun| begun.config[FROM].as_str()?.parse::<KubeVersion>().ok());
    // A kubelet that goes back to what was there before is older than all that runs.
    let is_kubelet = operation.workflow().ends_with(" kubelet");
    if let Some(from) = from.filter(|_| !is_kubelet) {
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

/// Certificates that would come back and that nobody accepts any more.
fn expired(root: &Path, operation: &Operation) -> Option<String> {
    let folder = JournalDir::below(root).saved(&operation.id);
    let now = jiff::Timestamp::now();
    let kept = std::fs::read_dir(folder).ok()?.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
    let ended = kept.filter_map(|bytes| Some(Certificate::from_pem(&bytes).ok()?.not_after()));
    let first = ended.filter(|end| *end <= now).min()?;
    Some(format!("a certificate of before, which would come back, expired on {first}"))
}

/// Kubelets, and after an upgrade of the cluster other API servers, that are of a newer minor than this API server would be.
/// Where nobody can be asked, nobody is in the way.
async fn too_new(host: &LocalHost, operation: &Operation, from: &KubeVersion) -> Vec<String> {
    let access = ApiAccess { kubeconfig: ADMIN_CONF.into(), server: None };
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
