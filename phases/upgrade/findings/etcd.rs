//! etcd's gates: what its own upgrade rules ask for.
//!
//! Sources: <https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/>, <https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/>.

use futures::future::join_all;
use rkadm_core::{
    etcd::{Member, MemberStatus, quorum},
    host::Probe,
    manifest::{
        Component,
        pod::{etcd_access, flag, image_tag},
    },
    version::KubeVersion,
};

use crate::{
    preflight::{Found, error, warning},
    static_pods,
    upgrade::{
        Upgrading,
        target::{desired_pod, etcd_version},
    },
};

/// The oldest version that every member must be of before the first one goes to this minor.
static FLOORS: [((u64, u64), semver::Version); 2] =
    [((3, 6), semver::Version::new(3, 5, 26)), ((3, 7), semver::Version::new(3, 6, 11))];
/// Below it, fragmentation is nothing to speak of.
const SMALL: i64 = 100 << 20;
const NAME: &str = "EtcdMembers";

/// Asks every member.
pub async fn look(host: &dyn Probe, upgrading: &Upgrading) -> Vec<Found> {
    if upgrading.cluster.etcd_data_dir().is_none() {
        return crate::preflight::etcd::external(host, &upgrading.cluster).await;
    }
    if !upgrading.request.etcd_upgrade {
        return vec![];
    }
    let Ok(Some(pod)) = static_pods::read(host, Component::Etcd).await else { return vec![] };
    let access = etcd_access(&pod);
    let members = match host.etcd_members(&access).await {
        Ok(members) => members,
        Err(fault) => {
            return vec![error(NAME, format!("etcd cannot be asked: {fault}"), "`rkadm health` says more")];
        }
    };
    let own = &access;
    let asked = join_all(members.iter().map(|member| async move {
        let access = own.at(member.client_urls.clone());
        let status = match member.client_urls.first() {
            Some(endpoint) => host.etcd_status(&access, endpoint).await.ok(),
            None => None,
        };
        (member, status)
    }))
    .await;
    let mut found = of_members(&asked);
    let downgrading = asked.iter().find_map(|(_, status)| status.as_ref()?.downgrading_to.clone());
    if let Some(version) = downgrading {
        let message = format!("etcd is on its way back to {version}: the upgrade ends that");
        found.push(warning(
            "EtcdVersion",
            message,
            "see that nobody is about to take another control plane back",
        ));
    }
    let quota = static_pods::etcd_quota(flag(&pod, "quota-backend-bytes").as_deref());
    for (member, status) in asked.iter().filter_map(|(member, status)| Some((member, status.as_ref()?))) {
        found.extend(of_status(member, status, quota));
    }
    let there = image_tag(&pod).and_then(|tag| etcd_version(&tag));
    let wanted = desired_pod(host, &upgrading.cluster, Component::Etcd, &[]).await.ok();
    let wanted = wanted.and_then(|pod| image_tag(&pod)).and_then(|tag| etcd_version(&tag));
    if let (Some(there), Some(wanted)) = (there, wanted)
        && (there.major, there.minor) < (wanted.major, wanted.minor)
    {
        found.extend(floors(&asked, &wanted));
    }
    found
}

fn of_members(asked: &[(&Member, Option<MemberStatus>)]) -> Vec<Found> {
    let mut found = vec![];
    for (member, status) in asked {
        let name = member.describe();
        if !member.has_started() {
            let message = format!("member {name} was added and has never started");
            let hint = format!("finish that join, or `etcdctl member remove {}`", member.hex_id());
            found.push(error(NAME, message, &hint));
        } else if member.is_learner {
            found.push(error(
                NAME,
                format!("member {name} is a learner"),
                "finish its join, or take it back",
            ));
        } else if status.is_none() {
            let message = format!("member {name} does not answer");
            let hint = "bring it up again; a machine that is gone for good: `etcdctl member remove`, as `rkadm health` shows";
            found.push(error(NAME, message, hint));
        }
    }
    let voters = asked.iter().filter(|(member, _)| !member.is_learner).count();
    if voters > 1 && voters - 1 < quorum(voters) {
        let message = format!("etcd has {voters} members: while one of them restarts, there is no quorum");
        found.push(warning(
            NAME,
            message,
            "the API answers nothing in these seconds; three members do not have that",
        ));
    }
    found
}

fn of_status(member: &Member, status: &MemberStatus, quota: Option<i64>) -> Vec<Found> {
    let name = member.describe();
    let mut found: Vec<_> = status
        .errors
        .iter()
        .map(|alarm| {
            error(
                "EtcdAlarm",
                format!("member {name}: {alarm}"),
                "clear the cause, then `etcdctl alarm disarm`",
            )
        })
        .collect();
    if let Some(quota) = quota.filter(|quota| status.db_size > quota / 10 * 8) {
        let message =
            format!("member {name} uses {} of its quota of {} MiB", mib(status.db_size), mib(quota));
        found.push(warning("EtcdSize", message, "compact and defragment it, or raise quota-backend-bytes"));
    }
    if status.db_size > SMALL && status.db_size_in_use * 2 < status.db_size {
        let message = format!(
            "member {name}: of {} MiB only {} hold data",
            mib(status.db_size),
            mib(status.db_size_in_use)
        );
        found.push(warning("EtcdSize", message, "`etcdctl defrag`, one member at a time, the leader last"));
    }
    found
}

fn mib(bytes: i64) -> i64 {
    bytes >> 20
}

fn floors(asked: &[(&Member, Option<MemberStatus>)], wanted: &semver::Version) -> Vec<Found> {
    let floor = FLOORS.iter().find(|(minor, _)| *minor == (wanted.major, wanted.minor));
    let Some((_, floor)) = floor else { return vec![] };
    let running = asked.iter().filter_map(|(member, status)| {
        let version: semver::Version = status.as_ref()?.version.parse().ok()?;
        Some((member.describe(), version))
    });
    running
        .filter(|(_, version)| version < floor && (version.major, version.minor) < (wanted.major, wanted.minor))
        .map(|(name, version)| {
            let message = format!("member {name} is of {version}: etcd {wanted} asks for {floor} or newer on all members first");
            let hint = format!(
                "set etcd.local.imageTag to {floor}-0 or newer in ConfigMap kube-system/kubeadm-config, bring all control planes there \
                 (`rkadm upgrade apply` with the version that is there, `rkadm upgrade node`), and remove the imageTag again; or \
                 --ignore-preflight-errors=EtcdVersion"
            );
            error("EtcdVersion", message, &hint)
        })
        .collect()
}

/// What a later step will ask of etcd that the step before it does not bring, in words. The images are etcd's of the two.
pub fn floor_between(before: &str, after: &str, to: &KubeVersion) -> Option<String> {
    let version = |image: &str| etcd_version(image.rsplit_once(':')?.1);
    let (before, after) = (version(before)?, version(after)?);
    let (_, floor) = FLOORS.iter().find(|(minor, _)| *minor == (after.major, after.minor))?;
    let short = (before.major, before.minor) < (after.major, after.minor) && before < *floor;
    short.then(|| {
        format!(
            "the step to {to} asks for etcd {floor} or newer, and what comes before it brings {before} unless its image holds a newer one: \
             set etcd.local.imageTag to {floor}-0 or newer in ConfigMap kube-system/kubeadm-config before that step"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Severity;

    fn member(id: u64) -> Member {
        Member { id, name: format!("cp{id}"), ..Member::default() }
    }

    fn status(version: &str) -> MemberStatus {
        MemberStatus { version: version.into(), ..MemberStatus::default() }
    }

    fn messages(found: Vec<Found>) -> Vec<String> {
        found.into_iter().map(|(_, finding)| finding.message).collect()
    }

    #[test]
    fn members_below_the_floor_of_the_next_minor_are_told() {
        let (one, two) = (member(1), member(2));
        let wanted = semver::Version::new(3, 7, 0);
        let asked = [(&one, Some(status("3.6.16"))), (&two, Some(status("3.6.8")))];
        assert_eq!(
            messages(floors(&asked, &wanted)),
            ["member cp2 (2) is of 3.6.8: etcd 3.7.0 asks for 3.6.11 or newer on all members first"]
        );
        // One that was upgraded before is beyond it.
        let asked = [(&one, Some(status("3.7.0")))];
        assert!(floors(&asked, &wanted).is_empty());
    }

    #[test]
    fn a_later_step_that_will_ask_for_more_is_told() {
        let to = KubeVersion::new(1, 37, 2);
        let told = floor_between("r/etcd:3.6.8-0", "r/etcd:3.7.0-0", &to).unwrap();
        assert!(told.contains("asks for etcd 3.6.11 or newer") && told.contains("brings 3.6.8"), "{told}");
        assert!(floor_between("r/etcd:3.6.11-0", "r/etcd:3.7.0-0", &to).is_none());
        assert!(floor_between("r/etcd:3.6.5-0", "r/etcd:3.6.8-0", &to).is_none());
    }

    #[test]
    fn a_cluster_that_is_not_whole_is_told() {
        let learner = Member { is_learner: true, ..member(1) };
        let unborn = Member { name: String::new(), peer_urls: vec!["https://a:2380".into()], ..member(2) };
        let silent = member(3);
        let asked = [(&learner, Some(status("3.6.16"))), (&unborn, None), (&silent, None)];
        assert_eq!(
            messages(of_members(&asked)),
            [
                "member cp1 (1) is a learner",
                "member https://a:2380 (2) was added and has never started",
                "member cp3 (3) does not answer",
                "etcd has 2 members: while one of them restarts, there is no quorum"
            ]
        );
    }

    /// Alarms, MiB, those of them in use, the quota in bytes; and what is told.
    type Case = (&'static [&'static str], i64, i64, Option<i64>, &'static [&'static str]);

    #[test]
    fn alarms_and_size_are_told() {
        const FILLED: &str = "member cp1 (1) uses 1900 of its quota of 2048 MiB";
        const HOLES: &str = "member cp1 (1): of 1900 MiB only 100 hold data";
        const ALARM: &str = "member cp1 (1): NOSPACE";
        let quota = |flag| static_pods::etcd_quota(flag);
        let cases: [Case; 9] = [
            (&[], 1900, 1900, quota(None), &[FILLED]),
            (&[], 1900, 100, quota(None), &[FILLED, HOLES]),
            (&[], 1900, 100, quota(Some("8589934592")), &[HOLES]),
            // Without a limit nothing fills up.
            (&[], 1900, 100, quota(Some("-1")), &[HOLES]),
            (&["NOSPACE"], 1900, 1900, None, &[ALARM]),
            (&["NOSPACE", "CORRUPT"], 1, 1, None, &[ALARM, "member cp1 (1): CORRUPT"]),
            // Four fifths, a half, and what is small anyway.
            (&[], 1638, 1638, quota(None), &[]),
            (&[], 1000, 500, quota(None), &[]),
            (&[], 100, 1, quota(None), &[]),
        ];
        for (alarms, size, in_use, quota, expected) in cases {
            let status = MemberStatus {
                errors: alarms.iter().map(|alarm| (*alarm).to_owned()).collect(),
                db_size: size << 20,
                db_size_in_use: in_use << 20,
                ..MemberStatus::default()
            };
            let found = of_status(&member(1), &status, quota);
            let errors = found.iter().filter(|(severity, _)| *severity == Severity::Error).count();
            assert_eq!(errors, alarms.len(), "an alarm stops an upgrade, a size does not");
            assert_eq!(messages(found), expected, "{size} MiB, {in_use} in use");
        }
    }
}
