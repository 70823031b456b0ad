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
use rkadm_phases::upgrade::{
    APPLY, lease,
    state::{self, Seen},
};

use super::diff::QUIET;
use crate::cli::{
    cluster::ADMIN_CONF,
    exit::{CommandError, ExitKind},
};

/// Where the journal says which version there was before.
pub const FROM: &str = "from";

/// Refuses to take back a finished upgrade on which something was built: later upgrades, and kubelets or a kube-proxy that its API
/// server would be too old for. `later` are the operations that began after it.
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
    why.extend(beside(host, operation).await);
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

/// The name of the Node, as the operation has it.
async fn own_name(host: &LocalHost, operation: &Operation) -> String {
    let recorded = operation.begun().and_then(|begun| begun.config["nodeRegistration"]["name"].as_str());
    match recorded {
        Some(name) => name.to_owned(),
        None => host.hostname().await,
    }
}

/// Two control planes that restart at the same time could take the quorum away. Where nobody can be asked, no other can begin.
async fn beside(host: &LocalHost, operation: &Operation) -> Option<String> {
    if !operation.steps().iter().any(|step| step.phase == lease::TAKE) {
        return None;
    }
    let access = ApiAccess { kubeconfig: ADMIN_CONF.into(), server: None };
    let own = own_name(host, operation).await;
    let holder = lease::other_holder(host, &access, &own).await.ok().flatten()?;
    Some(format!("{}: {}", lease::under_way(&holder), lease::way_out(&holder)))
}

/// The phase that moves kube-proxy; its undo brings it back.
const PROXY_PHASE: &str = "addon/kube-proxy";

/// What would be of a newer minor than this API server. Where nobody can be asked, nobody is in the way.
async fn too_new(host: &LocalHost, operation: &Operation, from: &KubeVersion) -> Vec<String> {
    let access = ApiAccess { kubeconfig: ADMIN_CONF.into(), server: None };
    let Ok(seen) = state::look(host, &access).await else { return vec![] };
    let own = own_name(host, operation).await;
    let back = Back {
        from,
        own: &own,
        whole: operation.workflow() == APPLY,
        takes_proxy: operation.steps().iter().any(|step| step.phase == PROXY_PHASE),
    };
    let proxy = state::kube_proxy(host, &access).await.ok().flatten();
    back.in_the_way(&seen, proxy.as_ref())
}

/// A control plane on its way back.
struct Back<'a> {
    /// What it goes back to.
    from: &'a KubeVersion,
    own: &'a str,
    /// It was an upgrade of the cluster, so all others go first.
    whole: bool,
    /// kube-proxy goes back with it.
    takes_proxy: bool,
}

impl Back<'_> {
    /// Kubelets, kube-proxy, and after an upgrade of the cluster other API servers.
    fn in_the_way(&self, seen: &Seen, proxy: Option<&KubeVersion>) -> Vec<String> {
        let from = self.from;
        let newer = |component| seen.of(component).filter(|running| running.version.minor() > from.minor());
        let kubelets = newer(Component::Kubelet).map(|running| {
            format!(
                "the kubelet of {} is {}, which is newer than an API server of {from} takes: bring it back first",
                running.node, running.version
            )
        });
        let servers = newer(Component::ApiServer).filter(|running| self.whole && running.node != self.own);
        let servers = servers.map(|running| {
            format!(
                "the API server on {} is {}: `rkadm op rollback` there first",
                running.node, running.version
            )
        });
        let proxy = proxy.filter(|proxy| proxy.minor() > from.minor() && !self.takes_proxy).map(|proxy| {
            format!(
                "kube-proxy of the whole cluster is {proxy}, which is newer than an API server of {from} takes: `rkadm op rollback` first \
                 on the control plane that was upgraded last, whose upgrade moved it"
            )
        });
        kubelets.chain(servers).chain(proxy).collect()
    }
}

#[cfg(test)]
mod tests {
    use rkadm_core::version::skew::Running;

    use super::*;

    /// What is in the way of cp1 on its way back to 1.36, with three control planes of these minors.
    fn in_the_way(whole: bool, servers: [u64; 3], proxy: Option<u64>, takes_proxy: bool) -> Vec<String> {
        let version = |minor| KubeVersion::new(1, minor, 2);
        let server = |(number, minor): (usize, u64)| Running {
            component: Component::ApiServer,
            node: format!("cp{}", number + 1),
            version: version(minor),
        };
        let seen = Seen { running: servers.into_iter().enumerate().map(server).collect(), ..Seen::default() };
        let back = Back { from: &version(36), own: "cp1", whole, takes_proxy };
        let found = back.in_the_way(&seen, proxy.map(version).as_ref());
        found.into_iter().map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_newer_kube_proxy_keeps_a_control_plane_where_it_is() {
        let told = ["kube-proxy of the whole cluster is v1.37.2"];
        assert_eq!(in_the_way(false, [37, 37, 37], Some(37), false), told);
        // The one that was last takes it along; then the others may follow.
        assert!(in_the_way(false, [37, 37, 37], Some(37), true).is_empty());
        assert!(in_the_way(false, [37, 37, 36], Some(36), false).is_empty());
        assert!(in_the_way(false, [37, 37, 37], None, false).is_empty(), "none is installed");
        assert_eq!(in_the_way(true, [37, 36, 36], Some(37), false), told, "moved by another tool");
    }

    #[test]
    fn the_upgrade_of_the_cluster_is_taken_back_last() {
        assert_eq!(
            in_the_way(true, [37, 37, 36], Some(36), false),
            ["the API server on cp2 is v1.37.2: `rkadm op rollback` there first"]
        );
    }
}
