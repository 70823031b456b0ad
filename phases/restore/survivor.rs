//! What speaks against making a cluster of what is left on this machine.

use futures::future::join_all;
use rkadm_core::{
    backup::remains::Remains,
    etcd::{Member, MemberStatus, quorum},
    host::Probe,
};

use super::{Restore, Survey};

/// A member on another machine, and what it says of itself.
struct Other<'a> {
    member: &'a Member,
    status: Option<MemberStatus>,
}

/// Compares what is left here with what is left elsewhere.
pub(super) async fn members(host: &dyn Probe, restore: &Restore, found: &mut Survey) {
    const BACKUP: &str = "`rkadm restore etcd FILE` brings back a backup";
    let node = &restore.node;
    let left = match host.etcd_remains(&node.data_dir).await {
        Ok(left) => left,
        Err(error) => {
            let message =
                format!("what is left of etcd in {} cannot be used: {error}", node.data_dir.display());
            return found.doubt("EtcdData", false, message, BACKUP);
        }
    };
    found.revision = Some(left.revision);
    if !left.members.iter().any(|member| member.name == node.name && !member.is_learner) {
        let message =
            format!("the data in {} is not of a voting member {}", node.data_dir.display(), node.name);
        return found.doubt("EtcdMembers", false, message, BACKUP);
    }
    let voters = left.members.iter().filter(|member| !member.is_learner).count();
    if voters < 2 {
        let message = "etcd has one voting member, so it cannot have lost its quorum".to_owned();
        let hint = "look why it does not run: `crictl ps -a --name etcd`, and its logs";
        return found.doubt("EtcdMembers", false, message, hint);
    }
    if host.etcd_members(&node.access).await.is_ok() {
        let message = "etcd has its quorum: nothing is lost".to_owned();
        let hint =
            "members whose machines are gone are replaced: `rkadm join --control-plane --replace-member`";
        return found.doubt("EtcdQuorum", false, message, hint);
    }
    let mut own = None;
    if let Some(endpoint) = node.access.endpoints.first() {
        own = host.etcd_status(&node.access, endpoint).await.ok();
    }
    // One that runs writes what is missing when it is stopped.
    if own.is_none() && left.missing() > 0 {
        let message = format!(
            "etcd does not run, and {} entries of its log that count are not in its database",
            left.missing()
        );
        let hint = "let the kubelet start etcd: it writes them although there is no quorum. To go on without them: --force";
        found.doubt("EtcdLog", true, message, hint);
    }
    let revision = own.as_ref().map_or(left.revision, |status| status.revision.max(left.revision));
    found.revision = Some(revision);
    let others = others(host, restore, &left).await;
    compare(&others, voters, &left, revision, found);
}

async fn others<'a>(host: &dyn Probe, restore: &Restore, left: &'a Remains) -> Vec<Other<'a>> {
    let members = left.members.iter().filter(|member| member.name != restore.node.name);
    let ask = |member: &'a Member| async move {
        let access = restore.node.access.at(member.client_urls.clone());
        let mut status = None;
        for url in &member.client_urls {
            if let Ok(answer) = host.etcd_status(&access, url).await {
                status = Some(answer);
                break;
            }
        }
        Other { member, status }
    };
    join_all(members.map(ask)).await
}

fn compare(others: &[Other<'_>], voters: usize, left: &Remains, revision: i64, found: &mut Survey) {
    let names =
        |list: &[&Other<'_>]| list.iter().map(|other| other.member.describe()).collect::<Vec<_>>().join(", ");
    let (up, down): (Vec<_>, Vec<_>) = others.iter().partition(|other| other.status.is_some());
    let voting: Vec<_> = up.iter().copied().filter(|other| !other.member.is_learner).collect();
    if voting.len() + 1 >= quorum(voters) {
        let message = format!(
            "{} of {voters} voting members run, which is a quorum: this one and {}",
            voting.len() + 1,
            names(&voting)
        );
        let hint = "wait until they have found a leader: `etcdctl endpoint status --cluster`; see why they cannot reach each \
                    other on port 2380";
        found.doubt("EtcdQuorum", false, message, hint);
        return;
    }
    for other in &voting {
        let theirs = other.status.as_ref().map_or(0, |status| status.revision);
        if theirs > revision {
            let message = format!(
                "member {} has more than this one: revision {theirs}, here {revision}",
                other.member.describe()
            );
            found.doubt("EtcdRevision", true, message, "run this there. To lose what only it has: --force");
        }
    }
    if !up.is_empty() {
        found.warnings.push(format!(
            "{} will not be of the new cluster: `rkadm reset --force` there, then `rkadm join --control-plane`",
            names(&up)
        ));
    }
    if !down.is_empty() {
        found.warnings.push(format!(
            "{} cannot be reached from here. Be sure that they are off: where they run and reach each other, they go on, and \
             there would be two clusters",
            names(&down)
        ));
    }
    if left.undecided() > 0 {
        found.warnings.push(format!(
            "the last {} entries of the log are left out: nobody here knows whether a majority had them",
            left.undecided()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        Member { id, name: format!("cp{id}"), ..Member::default() }
    }

    /// What is said where these of five members answer with these revisions.
    fn said(up: &[(u64, i64)]) -> Survey {
        let members: Vec<_> = (2..=5).map(member).collect();
        let status = |member: &Member| {
            let (_, revision) = up.iter().find(|(id, _)| *id == member.id)?;
            Some(MemberStatus { revision: *revision, ..MemberStatus::default() })
        };
        let others: Vec<_> = members.iter().map(|member| Other { member, status: status(member) }).collect();
        let mut found = Survey::default();
        let left = Remains { commit: 9, applied: 9, last: 11, ..Remains::default() };
        compare(&others, 5, &left, 100, &mut found);
        found
    }

    #[test]
    fn a_quorum_is_not_given_up() {
        let found = said(&[(2, 100), (3, 100)]);
        assert!(found.against(true)[0].message.contains("3 of 5 voting members run"), "{found:?}");
    }

    #[test]
    fn the_member_that_has_most_is_the_one_to_use() {
        let found = said(&[(4, 101)]);
        assert!(found.against(false)[0].message.contains("cp4 (4) has more than this one"), "{found:?}");
        assert!(found.against(true).is_empty());
        assert!(said(&[(4, 100)]).against(false).is_empty());
    }

    #[test]
    fn members_that_cannot_be_seen_are_named() {
        let told = said(&[]).told(false).join("\n");
        assert!(told.contains("cp2 (2), cp3 (3), cp4 (4), cp5 (5) cannot be reached from here"), "{told}");
        assert!(told.contains("the last 2 entries of the log are left out"), "{told}");
    }
}
