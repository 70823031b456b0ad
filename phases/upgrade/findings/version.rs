//! Which version may follow which.

use rkadm_core::{
    config::stored_version,
    version::{KubeVersion, skew::Component},
};

use super::skew;
use crate::{
    preflight::{Found, error, warning},
    upgrade::{Scope, Upgrading, state::Seen},
};

const CHECK: &str = "KubernetesVersion";

/// Judges the way from the version that is there to the one that is asked for.
pub fn look(upgrading: &Upgrading, seen: Option<&Seen>) -> Vec<Found> {
    let request = &upgrading.request;
    let (from, to) = (&request.from, upgrading.version());
    let mut found = of_the_way(from, &furthest(upgrading, seen), to, request.allow_prereleases);
    if let (Some(seen), true) = (seen, request.control_plane) {
        found.extend(skew::look(upgrading, seen));
    }
    if request.force {
        for (severity, _) in &mut found {
            *severity = crate::preflight::Severity::Warning;
        }
    }
    found
}

/// What must not be gone back behind. Where the whole cluster moves, that is the newest of what is there, also where a control plane
/// or an upgrade that was cut off is ahead of this node.
fn furthest(upgrading: &Upgrading, seen: Option<&Seen>) -> KubeVersion {
    let request = &upgrading.request;
    if request.scope != Scope::Cluster {
        return request.from.clone();
    }
    let servers = seen.into_iter().flat_map(|seen| seen.of(Component::ApiServer));
    let known = servers.map(|server| server.version.clone()).chain(stored_version(&request.stored.cluster));
    known.fold(request.from.clone(), KubeVersion::max)
}

fn of_the_way(
    from: &KubeVersion,
    furthest: &KubeVersion,
    to: &KubeVersion,
    allow_prereleases: bool,
) -> Vec<Found> {
    let mut found = vec![];
    if to < furthest {
        let message = format!("{to} is older than {furthest}, which is there");
        let hint = "going back is what `rkadm op rollback` is for, on the node of the upgrade";
        found.push(error(CHECK, message, hint));
    }
    if to.minor() > from.minor() + 1 {
        let message = format!("from {from} to {to} minors would be skipped");
        let next = rkadm_core::version::row(from.minor() + 1)
            .map_or_else(|| format!("v1.{}", from.minor() + 1), |row| row.newest().to_string());
        found.push(error(CHECK, message, &format!("one minor at a time: rkadm upgrade apply {next}")));
    }
    if to.is_prerelease() && !allow_prereleases {
        let message = format!("{to} is no release");
        let hint = "--allow-experimental-upgrades or --allow-release-candidate-upgrades, where nothing of value runs";
        found.push(error(CHECK, message, hint));
    }
    if let Some(newest) = to.row().map(rkadm_core::version::MinorRow::newest)
        && *to > newest
    {
        let message = format!("{to} is newer than the newest of its minor that this rkadm knows, {newest}");
        found.push(warning(CHECK, message, "a newer rkadm may know more about it"));
    }
    found
}

#[cfg(test)]
mod tests {
    use rkadm_core::version::skew::Running;

    use super::*;

    fn messages(from: &str, to: &str) -> Vec<String> {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        of_the_way(&from, &from, &to, false).into_iter().map(|(_, finding)| finding.message).collect()
    }

    #[test]
    fn what_is_ahead_of_this_node_is_not_gone_back_behind() {
        let running = |node: &str, version: &str| Running {
            component: Component::ApiServer,
            node: node.into(),
            version: version.parse().unwrap(),
        };
        let of_cluster = |scope, to: &str| {
            let mut upgrading = Upgrading::default();
            upgrading.request.scope = scope;
            upgrading.request.from = "v1.36.4".parse().unwrap();
            upgrading.request.config.kubernetes_version = to.parse().unwrap();
            upgrading.request.stored.cluster = "kubernetesVersion: v1.36.4\n".into();
            let upgrading = Upgrading::new(upgrading.request);
            let seen = Seen {
                running: vec![running("cp1", "v1.37.2"), running("cp2", "v1.36.4")],
                ..Seen::default()
            };
            let found =
                look(&upgrading, Some(&seen)).into_iter().filter(|(_, finding)| finding.check == CHECK);
            found.map(|(_, finding)| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(of_cluster(Scope::Cluster, "v1.37.1"), ["v1.37.1 is older than v1.37.2, which is there"]);
        assert_eq!(of_cluster(Scope::Cluster, "v1.37.2"), Vec::<String>::new());
        assert_eq!(of_cluster(Scope::Node, "v1.36.4"), Vec::<String>::new());
    }

    #[test]
    fn one_minor_at_a_time_and_never_back() {
        assert!(messages("v1.36.4", "v1.37.2").is_empty());
        assert!(messages("v1.37.2", "v1.37.2").is_empty());
        assert_eq!(messages("v1.37.2", "v1.37.1"), ["v1.37.1 is older than v1.37.2, which is there"]);
        assert_eq!(messages("v1.35.1", "v1.37.2"), ["from v1.35.1 to v1.37.2 minors would be skipped"]);
        assert_eq!(messages("v1.36.4", "v1.37.0-rc.1"), ["v1.37.0-rc.1 is no release"]);
        assert_eq!(messages("v1.37.2", "v1.37.99").len(), 1);
    }
}
