//! `check-etcd`: whether the others' etcd is in a state that a member can be added to.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::{
    joining::{Joining, WORKER},
    members::Etcd,
};

/// Asks before the kubelet is started for it.
pub struct CheckEtcd {
    joining: Arc<Joining>,
}

impl CheckEtcd {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for CheckEtcd {
    fn meta(&self) -> PhaseMeta {
        let meta = PhaseMeta::new("check-etcd", "Check the cluster's etcd").once();
        PhaseMeta { hidden: true, ..meta }
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let joining = &self.joining;
        if !joining.is_control_plane() {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        if joining.cluster.etcd_data_dir().is_none() {
            return Ok(Verdict::NotApplicable("etcd is external".into()));
        }
        let Some(etcd) = Etcd::look(cx, joining).await? else {
            return Ok(Verdict::AlreadyDone("known after apply".into()));
        };
        let has_data = joining.has_etcd_data(cx).await?;
        if !has_data && etcd.blocks(joining) {
            return Err(in_the_way(joining, &etcd));
        }
        if let Some(name) = &joining.request.replaced
            && !etcd.members.iter().any(|seen| seen.member.name == *name)
        {
            return Err(no_such_member(name, &etcd));
        }
        let stale = if has_data { vec![] } else { etcd.stale(joining) };
        let removed: Vec<_> = stale.into_iter().map(|seen| seen.member.id).collect();
        Ok(Verdict::AlreadyDone(etcd.room_for_one_more(&removed)?))
    }
}

fn no_such_member(name: &str, etcd: &Etcd) -> PhaseError {
    let known: Vec<_> = etcd.members.iter().map(|seen| seen.member.describe()).collect();
    PhaseError::Unusable {
        message: format!("--replace-member: etcd has no member {name}; it has {}", known.join(", ")),
        hint: "leave the flag out where that one is removed already".into(),
    }
}

/// A member of an earlier machine is in the way, and nobody has consented to its removal.
pub fn in_the_way(joining: &Joining, etcd: &Etcd) -> PhaseError {
    let stale: Vec<_> = etcd
        .stale(joining)
        .into_iter()
        .map(|seen| {
            let state = if seen.status.is_some() { "answers" } else { "does not answer" };
            format!("{} at {}, which {state}", seen.member.describe(), seen.member.peer_urls.join(", "))
        })
        .collect();
    let alive = etcd.stale(joining).iter().any(|seen| seen.status.is_some());
    let hint = if alive {
        "it is alive: choose another --node-name and address; or take that machine out of the cluster first, by `rkadm reset` there"
    } else {
        "when that machine is gone for good, the same command with --replace-member removes its member first"
    };
    PhaseError::Unusable {
        message: format!(
            "etcd has a member already in this node's place, of which nothing is on this machine: {}",
            stale.join("; ")
        ),
        hint: hint.into(),
    }
}
