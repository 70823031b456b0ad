//! `etcd-join`: a member of etcd on this node: added without a vote, started, caught up, and given its vote.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    config::GoDuration,
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict,
        act::{ActCx, StepError},
        content::{Content, ContentMaker},
        wait::Condition,
    },
    etcd::EtcdAccess,
    manifest::{self, Component, EtcdMembership, patch::Patch},
    text::sha256_hex,
};

use super::{
    check_etcd::in_the_way,
    etcd_member::{AddMember, PromoteMember, RemoveMember, Target},
    joining::{Joining, WORKER},
    members::Etcd,
};
use crate::{
    files::{Existing, directory},
    init::{Cluster, PRIVATE, PRIVATE_DIR, etcd_data_dir_steps, static_pod_of},
    patches,
};

/// Brings this node's member into the cluster.
pub struct EtcdJoin {
    joining: Arc<Joining>,
}

impl EtcdJoin {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for EtcdJoin {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("etcd-join", "Join etcd for control plane nodes").help(
            "Add a learner to etcd, write its manifest, and give it its vote once it has started and caught up. One that \
             never starts is removed, not promoted. etcd takes one learner at a time: control planes that join at once \
             wait for each other here. Not with an external etcd.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let joining = &self.joining;
        if !joining.is_control_plane() {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        let Some(data_dir) = joining.cluster.etcd_data_dir() else {
            return Ok(Verdict::NotApplicable("etcd is external".into()));
        };
        let manifest = Existing::at(cx, &Cluster::manifest(&Component::Etcd.file_name())).await?;
        let Some(etcd) = Etcd::look(cx, joining).await? else {
            // A dry run: who the others are is not known before the certificates are.
            let access = joining.etcd_access(vec![]);
            return self.steps(cx, access, &data_dir, vec![], seen(&manifest, false)).await;
        };
        let has_data = joining.has_etcd_data(cx).await?;
        let own = etcd.own(joining);
        if let Some(own) = own
            && !own.is_learner
            && manifest != Existing::Absent
            && has_data
        {
            return Ok(Verdict::AlreadyDone("this node has a voting member".into()));
        }
        if has_data && own.is_none() {
            return Err(removed_meanwhile(&data_dir));
        }
        let mut removals = vec![];
        let limit = self.limit();
        if !has_data {
            let stale = etcd.stale(joining);
            if etcd.blocks(joining) {
                return Err(in_the_way(joining, &etcd));
            }
            for seen in stale {
                let (access, member) = (etcd.access.clone(), seen.member.clone());
                removals.push(Step::Action(Arc::new(RemoveMember { access, member, limit })));
            }
        }
        // A try that fails leaves a directory; the log begins with the first start that works.
        let has_started = !cx.host.list(&data_dir.join("member/wal")).await?.is_empty();
        self.steps(cx, etcd.access, &data_dir, removals, seen(&manifest, has_started)).await
    }
}

impl EtcdJoin {
    /// How long etcd may refuse a change of its members.
    fn limit(&self) -> Duration {
        let timeouts = &self.joining.cluster.config.timeouts;
        timeouts.etcd_api_call.map_or(Duration::from_mins(2), GoDuration::as_std)
    }

    async fn steps(
        &self,
        cx: &PlanCx<'_>,
        access: EtcdAccess,
        data_dir: &Path,
        removals: Vec<Step>,
        manifest: Option<Seen>,
    ) -> Result<Verdict, PhaseError> {
        let cluster = &self.joining.cluster;
        let target = Target { access: access.clone(), peer_url: self.joining.peer_url(), was_there: false };
        let limit = self.limit();
        let mut steps = removals;
        steps.extend(etcd_data_dir_steps(cx, data_dir).await?);
        steps.push(Step::Action(Arc::new(AddMember { target: target.clone(), limit })));
        if let Some(seen) = manifest {
            let path = Cluster::manifest(&Component::Etcd.file_name());
            steps.extend(directory(cx, &Cluster::manifests(), PRIVATE_DIR).await?);
            let maker = Manifest {
                cluster: Arc::clone(cluster),
                access: access.clone(),
                peer_url: self.joining.peer_url(),
                patches: patches::read(cx, cluster).await?,
            };
            let content = Content::Made(Arc::new(maker));
            steps.push(Step::WriteFile { path, mode: PRIVATE, content, seen });
        }
        let started = Condition::EtcdStarted { access, peer_url: self.joining.peer_url() };
        steps.push(cluster.wait_by_kubelet(started));
        let client_url = self.joining.client_url();
        steps.push(Step::Action(Arc::new(PromoteMember { target, client_url, limit })));
        Ok(Verdict::Apply(steps))
    }
}

/// What the manifest replaces; `None` where it stays. One that an interruption left is made anew as long as etcd has not started
/// with it: members may have come and gone since, and etcd does not start with a list of them that does not hold.
fn seen(manifest: &Existing, has_started: bool) -> Option<Seen> {
    match manifest {
        Existing::Absent => Some(Seen::Absent),
        Existing::Bytes(bytes) if !has_started => Some(Seen::Sha256(sha256_hex(bytes))),
        Existing::Bytes(_) | Existing::Planned => None,
    }
}

fn removed_meanwhile(data_dir: &Path) -> PhaseError {
    PhaseError::Unusable {
        message: format!(
            "{} holds the data of an etcd member that the cluster does not have (any more)",
            data_dir.display()
        ),
        hint: "etcd does not take a removed member back: `rkadm op rollback` clears what this operation made, then join \
               again; what was there before it, move away"
            .into(),
    }
}

/// etcd's manifest, with the members as they are once this node's was added.
#[derive(Debug)]
struct Manifest {
    cluster: Arc<Cluster>,
    access: EtcdAccess,
    peer_url: String,
    patches: Vec<Patch>,
}

#[async_trait]
impl ContentMaker for Manifest {
    fn describe(&self) -> String {
        "static pod of etcd that joins the other members".into()
    }

    async fn make(&self, cx: &ActCx<'_>) -> Result<Vec<u8>, StepError> {
        let members = cx.host.etcd_members(&self.access).await?;
        let mut all: Vec<(String, String)> = vec![];
        for member in members.iter().filter(|member| !member.peer_urls.contains(&self.peer_url)) {
            all.extend(member.peer_urls.iter().map(|url| (member.name.clone(), url.clone())));
        }
        all.push((self.cluster.config.node_name().to_owned(), self.peer_url.clone()));
        let pod = static_pod_of(
            cx.host.probe(),
            &self.cluster,
            Component::Etcd,
            EtcdMembership::Joining(&all),
            &self.patches,
        );
        let pod = pod.await.map_err(|error| StepError::Content(error.to_string()))?;
        Ok(manifest::to_yaml(&pod).into_bytes())
    }
}
