//! etcd: every member, and whether they are one cluster.

use futures::future::join_all;
use rkadm_core::{
    etcd::{EtcdAccess, Member, MemberStatus, quorum},
    host::Probe,
    manifest::{
        Component,
        pod::{etcd_access, flag},
    },
};

use super::Check;
use crate::static_pods;

/// Behind by more entries of the log, a member is not merely a moment late.
const LAG: u64 = 1000;
pub(crate) const NAME: &str = "etcd";
/// What this member has is newer than any backup.
const NO_QUORUM: &str = "bring the other members up again; where they are lost for good, go on with the data that is here: rkadm restore etcd \
    --from-survivor; a backup is for where that cannot be used: rkadm restore etcd latest";

/// Looks at this machine's member and, through it, at the others. None where etcd runs elsewhere.
pub async fn look(host: &dyn Probe) -> Vec<Check> {
    let pod = match static_pods::read(host, Component::Etcd).await {
        Ok(Some(pod)) => pod,
        Ok(None) => return vec![],
        Err(error) => return vec![Check::failed(NAME, error.to_string(), "mend the manifest")],
    };
    let access = etcd_access(&pod);
    let Some(own) = access.endpoints.first().cloned() else { return vec![] };
    let status = match host.etcd_status(&access, &own).await {
        Ok(status) => status,
        Err(error) => {
            let hint = "crictl logs $(crictl ps -a -q --name etcd | head -1)";
            return vec![Check::failed(NAME, error.to_string(), hint)];
        }
    };
    let quota = static_pods::etcd_quota(flag(&pod, "quota-backend-bytes").as_deref());
    let mut checks = vec![room(&status, quota)];
    match host.etcd_members(&access).await {
        Ok(members) => checks.extend(of_members(host, &access, &members, &status).await),
        Err(error) => checks.push(Check::failed(
            NAME,
            format!("this member answers, but the cluster has no quorum: {error}"),
            NO_QUORUM,
        )),
    }
    checks
}

fn room(status: &MemberStatus, quota: Option<i64>) -> Check {
    let mib = |bytes: i64| bytes >> 20;
    let of = quota.map(|quota| format!(" of {} MiB", mib(quota))).unwrap_or_default();
    let sum =
        format!("{} serves revision {}, {} MiB{of}", status.version, status.revision, mib(status.db_size));
    if quota.is_none_or(|quota| status.db_size.saturating_mul(100) / quota < 80) {
        return Check::ok(NAME, sum);
    }
    let free = status.db_size - status.db_size_in_use;
    let hint = if free > status.db_size / 2 {
        "half of it is free: etcdctl defrag, one member after the other"
    } else {
        "find what fills it, or raise --quota-backend-bytes; at the quota etcd takes no more writes"
    };
    Check::warning(NAME, sum, hint)
}

async fn of_members(
    host: &dyn Probe,
    access: &EtcdAccess,
    members: &[Member],
    own: &MemberStatus,
) -> Vec<Check> {
    let asked = members.iter().map(|member| async move {
        let url = member.client_urls.first()?;
        host.etcd_status(&access.at(vec![url.clone()]), url).await.ok()
    });
    let statuses = join_all(asked).await;
    let pairs: Vec<_> = members.iter().zip(&statuses).collect();
    let mut checks: Vec<_> =
        pairs.iter().filter_map(|(member, status)| of_member(member, status.as_ref())).collect();
    checks.extend(alarms(&statuses));
    checks.extend(agreement(&pairs, own));
    let voters = pairs.iter().filter(|(member, _)| !member.is_learner);
    let (all, up) =
        voters.fold((0, 0), |(all, up), (_, status)| (all + 1, up + usize::from(status.is_some())));
    let sum = format!("{up} of {all} voting members are up, {} are needed", quorum(all));
    checks.push(if up < all && up == quorum(all) {
        Check::warning(NAME, sum, "no further member may fail: bring the others up again")
    } else {
        Check::ok(NAME, sum)
    });
    checks
}

/// What is wrong with one of them.
fn of_member(member: &Member, status: Option<&MemberStatus>) -> Option<Check> {
    let name = member.describe();
    if !member.has_started() {
        let message = format!("member {name} has never started");
        let hint =
            format!("a join was cut off: finish it there, or etcdctl member remove {}", member.hex_id());
        return Some(Check::failed(NAME, message, hint));
    }
    if member.is_learner {
        let hint = format!(
            "a join is under way, or was cut off: finish it there, or etcdctl member remove {}",
            member.hex_id()
        );
        return Some(Check::warning(NAME, format!("member {name} is a learner: it has no vote"), hint));
    }
    if status.is_none() {
        let hint = "bring its machine up again; where that is lost for good, `rkadm join --replace-member` on a new one";
        return Some(Check::failed(NAME, format!("member {name} does not answer"), hint));
    }
    None
}

fn alarms(statuses: &[Option<MemberStatus>]) -> Option<Check> {
    let mut errors: Vec<_> = statuses.iter().flatten().flat_map(|status| &status.errors).collect();
    errors.sort();
    errors.dedup();
    if errors.is_empty() {
        return None;
    }
    let text: Vec<_> = errors.into_iter().map(String::as_str).collect();
    let hint = "NOSPACE: make room (etcdctl compact, defrag), then etcdctl alarm disarm; CORRUPT: replace that member";
    Some(Check::failed(NAME, format!("it raises an alarm: {}", text.join("; ")), hint))
}

/// One cluster, one leader, and nobody far behind.
fn agreement(pairs: &[(&Member, &Option<MemberStatus>)], own: &MemberStatus) -> Vec<Check> {
    let mut checks = vec![];
    let known: Vec<_> =
        pairs.iter().filter_map(|(member, status)| Some((member, status.as_ref()?))).collect();
    let newest = known.iter().map(|(_, status)| status.raft_index).max().unwrap_or(0);
    for (member, status) in known {
        let name = member.describe();
        if status.cluster_id != own.cluster_id {
            let message = format!("member {name} is of another cluster ({:x})", status.cluster_id);
            checks.push(Check::failed(
                NAME,
                message,
                "it was restored by itself: remove its data and join it again",
            ));
        } else if status.leader == 0 {
            checks.push(Check::failed(
                NAME,
                format!("member {name} knows no leader"),
                "look at its log and its network",
            ));
        } else if status.leader != own.leader {
            let message = format!("member {name} follows another leader than this one");
            checks.push(Check::warning(NAME, message, "an election may be under way: look again"));
        } else if newest.saturating_sub(status.raft_applied_index) > LAG {
            let behind = newest - status.raft_applied_index;
            let message = format!("member {name} is {behind} entries behind");
            checks.push(Check::warning(NAME, message, "its disk or its network is slow"));
        }
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    fn told(checks: impl IntoIterator<Item = Check>) -> Vec<(State, String)> {
        checks.into_iter().map(|check| (check.state, check.message)).collect()
    }

    /// One that has all that the others have.
    fn agreed() -> MemberStatus {
        MemberStatus {
            cluster_id: 0xC,
            leader: 1,
            raft_index: 5000,
            raft_applied_index: 5000,
            ..MemberStatus::default()
        }
    }

    #[test]
    fn members_that_do_not_agree_are_told() {
        let cases = [
            (agreed(), None),
            (MemberStatus { raft_applied_index: 4000, ..agreed() }, None),
            (
                MemberStatus { raft_applied_index: 3999, ..agreed() },
                Some((State::Warning, "member cp2 (2) is 1001 entries behind")),
            ),
            (
                MemberStatus { leader: 2, ..agreed() },
                Some((State::Warning, "member cp2 (2) follows another leader than this one")),
            ),
            (MemberStatus { leader: 0, ..agreed() }, Some((State::Failed, "member cp2 (2) knows no leader"))),
            // Its leader and its log are those of another cluster, too, which says nothing more.
            (
                MemberStatus { cluster_id: 0xBAD, leader: 0, raft_applied_index: 1, ..agreed() },
                Some((State::Failed, "member cp2 (2) is of another cluster (bad)")),
            ),
        ];
        let member = |id: u64| Member { id, name: format!("cp{id}"), ..Member::default() };
        let (one, two, silent) = (member(1), member(2), member(3));
        for (status, expected) in cases {
            let (own, status) = (Some(agreed()), Some(status));
            let checks = agreement(&[(&one, &own), (&two, &status), (&silent, &None)], &agreed());
            let expected: Vec<_> =
                expected.map(|(state, text)| (state, text.to_owned())).into_iter().collect();
            assert_eq!(told(checks), expected);
        }
    }

    #[test]
    fn alarms_are_told_once_for_all_members() {
        let raises = |errors: &[&str]| {
            let errors = errors.iter().map(|error| (*error).to_owned()).collect();
            Some(MemberStatus { errors, ..agreed() })
        };
        let statuses = [raises(&["NOSPACE"]), None, raises(&["NOSPACE", "CORRUPT"])];
        let expected = (State::Failed, "it raises an alarm: CORRUPT; NOSPACE".to_owned());
        assert_eq!(told(alarms(&statuses)), [expected]);
        assert!(alarms(&[raises(&[]), None]).is_none());
    }

    #[test]
    fn a_database_that_fills_up_is_told_with_what_helps() {
        let room = |size: i64, in_use: i64, quota| {
            let status = MemberStatus {
                version: "3.7.0".into(),
                revision: 9,
                db_size: size << 20,
                db_size_in_use: in_use << 20,
                ..agreed()
            };
            let Check { state, message, hint, .. } = room(&status, quota);
            (state, message, hint.unwrap_or_default())
        };
        let quota = Some(1000 << 20);
        let sum = "3.7.0 serves revision 9, 800 MiB of 1000 MiB";
        let (state, message, hint) = room(800, 500, quota);
        assert_eq!((state, message.as_str()), (State::Warning, sum));
        assert!(hint.contains("raise --quota-backend-bytes"), "{hint}");
        let (state, _, hint) = room(800, 300, quota);
        assert!(state == State::Warning && hint.contains("etcdctl defrag"), "{hint}");
        assert_eq!(room(799, 300, quota).0, State::Ok);
        assert_eq!(
            room(800, 300, None),
            (State::Ok, "3.7.0 serves revision 9, 800 MiB".into(), String::new())
        );
    }
}
