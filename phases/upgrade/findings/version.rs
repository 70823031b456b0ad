//! Which version may follow which.

use rkadm_core::version::KubeVersion;

use super::skew;
use crate::{
    preflight::{Found, error, warning},
    upgrade::{Upgrading, state::Seen},
};

const CHECK: &str = "KubernetesVersion";

/// Judges the way from the version that is there to the one that is asked for.
pub fn look(upgrading: &Upgrading, seen: Option<&Seen>) -> Vec<Found> {
    let request = &upgrading.request;
    let (from, to) = (&request.from, upgrading.version());
    let mut found = of_the_way(from, to, request.allow_prereleases);
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

fn of_the_way(from: &KubeVersion, to: &KubeVersion, allow_prereleases: bool) -> Vec<Found> {
    let mut found = vec![];
    if to < from {
        let message = format!("{to} is older than {from}, which is there");
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
    use super::*;

    fn messages(from: &str, to: &str) -> Vec<String> {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        of_the_way(&from, &to, false).into_iter().map(|(_, finding)| finding.message).collect()
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
