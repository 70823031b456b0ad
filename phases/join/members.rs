//! The stacked etcd that this node's member is to join, and what stands in its way there.

use futures::future::join_all;
use rkadm_core::{
    engine::{PhaseError, PlanCx},
    etcd::{EtcdAccess, Member, MemberStatus, quorum},
    host::HostError,
};

use super::joining::Joining;
use crate::static_pods;

/// A member and what it says of itself; `None` where it does not answer.
#[derive(Debug)]
pub struct Seen {
    pub member: Member,
    pub status: Option<MemberStatus>,
}

/// The members, and how to reach those on other nodes.
#[derive(Debug)]
pub struct Etcd {
    pub access: EtcdAccess,
    pub members: Vec<Seen>,
}

impl Etcd {
    /// Looks at it. `None` in a dry run that has not got the certificates for it yet.
    pub async fn look(cx: &PlanCx<'_>, joining: &Joining) -> Result<Option<Self>, PhaseError> {
        let endpoints = match endpoints(cx, joining).await {
            Err(PhaseError::Host(HostError::KnownAfterApply(_))) => return Ok(None),
            endpoints => endpoints?,
        };
        if endpoints.is_empty() {
            return Err(PhaseError::Unusable {
                message: "no etcd Pod of another control plane was found in namespace kube-system".into(),
                hint: "control planes with stacked etcd run it as a static Pod with the label component=etcd; check \
                       `kubectl -n kube-system get pods -l component=etcd`"
                    .into(),
            });
        }
        let access = joining.etcd_access(endpoints);
        let members = match cx.host.etcd_members(&access).await {
            Err(HostError::KnownAfterApply(_)) => return Ok(None),
            Err(error) => return Err(unreachable(&error)),
            Ok(members) => members,
        };
        // Clients of all members: each is asked itself.
        let urls = members.iter().flat_map(|member| member.client_urls.iter().cloned()).collect();
        let all = joining.etcd_access(urls);
        let asked = members.iter().map(|member| async {
            let url = member.client_urls.first()?;
            cx.host.etcd_status(&all, url).await.ok()
        });
        let statuses = join_all(asked).await;
        let own = joining.client_url();
        let others = members
            .iter()
            .filter(|member| !member.is_learner)
            .flat_map(|member| member.client_urls.iter().cloned())
            .filter(|url| *url != own)
            .collect();
        let members =
            members.into_iter().zip(statuses).map(|(member, status)| Seen { member, status }).collect();
        Ok(Some(Self { access: joining.etcd_access(others), members }))
    }

    /// This node's member: the one at its peer URL.
    pub fn own(&self, joining: &Joining) -> Option<&Member> {
        let url = joining.peer_url();
        let at = |seen: &&Seen| seen.member.peer_urls.contains(&url);
        self.members.iter().find(at).map(|seen| &seen.member)
    }

    /// Started members that have this node's name or peer URL although nothing of etcd is on this node, or that this node is to
    /// replace: what is left of a machine that is gone.
    pub fn stale(&self, joining: &Joining) -> Vec<&Seen> {
        let (url, name) = (joining.peer_url(), joining.cluster.config.node_name());
        let replaced = joining.request.replaced.as_deref();
        let in_place = |seen: &&Seen| {
            let known_as = |name: &str| seen.member.name == name;
            let at_its_place = seen.member.peer_urls.contains(&url) || known_as(name);
            seen.member.has_started() && (at_its_place || replaced.is_some_and(known_as))
        };
        self.members.iter().filter(in_place).collect()
    }

    /// Whether a member in this node's place holds up the join: one that is alive does in any case, one that is dead until
    /// somebody consents to its removal.
    pub fn blocks(&self, joining: &Joining) -> bool {
        let stale = self.stale(joining);
        let alive = stale.iter().any(|seen| seen.status.is_some());
        !stale.is_empty() && (alive || !joining.request.replace_member)
    }

    /// Whether etcd lets one more member in, once those of these ids are removed; in words. It counts the new one as one more vote that
    /// is not up, although it has none as a learner, unless it would be the second.
    ///
    /// # Errors
    /// It does not: what is missing.
    pub fn room_for_one_more(&self, removed: &[u64]) -> Result<String, PhaseError> {
        let stays = |seen: &&Seen| !seen.member.is_learner && !removed.contains(&seen.member.id);
        let voters: Vec<_> = self.members.iter().filter(stays).collect();
        let dead: Vec<_> = voters.iter().filter(|seen| seen.status.is_none()).collect();
        let alive = voters.len() - dead.len();
        let (now, then) = (quorum(voters.len()), quorum(voters.len() + 1));
        let sum = format!(
            "{alive} of {} voting members of etcd are up; {now} are needed now, {then} with one more",
            voters.len()
        );
        if alive >= then || (alive, voters.len()) == (1, 1) {
            return Ok(sum);
        }
        let names: Vec<_> = dead.iter().map(|seen| seen.member.describe()).collect();
        Err(PhaseError::Unusable {
            message: format!("{sum}; these do not answer: {}", names.join(", ")),
            hint: "bring them up again; one that is gone for good is removed first by the same command with --replace-member=NAME"
                .into(),
        })
    }
}

/// Client URLs of the other control planes' members, from their static pods.
async fn endpoints(cx: &PlanCx<'_>, joining: &Joining) -> Result<Vec<String>, PhaseError> {
    let access = joining.admin_elsewhere();
    let own = joining.client_url();
    let mut urls = static_pods::etcd_client_urls(cx.host, &access).await?;
    urls.retain(|url| *url != own);
    urls.dedup();
    Ok(urls)
}

fn unreachable(error: &HostError) -> PhaseError {
    PhaseError::Unusable {
        message: format!("etcd of the other control planes cannot be asked: {error}"),
        hint: "port 2379 of the other control planes must be reachable from here, and a majority of their etcd members \
               up: on one of them, `kubectl -n kube-system get pods -l component=etcd` and the logs of etcd tell more"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(id: u64, up: bool) -> Seen {
        Seen {
            member: Member { id, name: format!("cp{id}"), ..Member::default() },
            status: up.then(MemberStatus::default),
        }
    }

    fn etcd(up: &[bool]) -> Etcd {
        let members = up.iter().zip(1..).map(|(up, id)| voter(id, *up)).collect();
        Etcd { access: EtcdAccess::default(), members }
    }

    #[test]
    fn one_more_is_let_in_while_a_majority_holds() {
        let sum = etcd(&[true]).room_for_one_more(&[]).unwrap();
        assert_eq!(sum, "1 of 1 voting members of etcd are up; 1 are needed now, 2 with one more");
        etcd(&[true, true]).room_for_one_more(&[]).unwrap();
        etcd(&[true, true, true, false]).room_for_one_more(&[]).unwrap();
        // Once the dead one is removed.
        etcd(&[true, true, false]).room_for_one_more(&[3]).unwrap();
    }

    #[test]
    fn etcd_counts_a_new_member_as_one_that_is_down() {
        let error = etcd(&[true, true, false]).room_for_one_more(&[]).unwrap_err();
        assert!(error.to_string().contains("2 are needed now, 3 with one more"), "{error}");
        assert!(error.hints()[0].contains("--replace-member=NAME"), "{:?}", error.hints());
    }

    #[test]
    fn a_cluster_without_its_majority_is_left_alone() {
        let error = etcd(&[true, false]).room_for_one_more(&[]).unwrap_err().to_string();
        assert!(error.contains("1 of 2 voting members of etcd are up; 2 are needed now"), "{error}");
        assert!(error.contains("cp2 (2)"), "{error}");
        assert!(etcd(&[true, false, false]).room_for_one_more(&[]).is_err());
    }
}
