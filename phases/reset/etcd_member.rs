//! `remove-etcd-member`: this node's etcd leaves its cluster, where others can go on without it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Event, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
    },
    etcd::{EtcdAccess, Member, quorum},
    host::{Actuator, ApiAccess, HostError, Probe},
    manifest::{Component, pod},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Reset,
    etcd_data::{DEFAULT_DATA, EtcdData},
};
use crate::static_pods;

/// Name of the action in journals: never renamed.
pub const LEAVE_ACTION: &str = "leave-etcd-cluster";
/// Name of the recorded value: what is known of this node's etcd.
pub const MEMBER_OUTPUT: &str = "etcd-member";
/// Of a member that left, data up to this size are archived all the same: they hold the whole cluster's state.
const SMALL: u64 = 256 << 20;
/// How long etcd may refuse to let the member go, where it is given up then.
const LENIENT_PATIENCE: Duration = Duration::from_secs(20);

/// What the manifest says of this node's etcd.
#[derive(Debug, Clone)]
pub struct Local {
    name: String,
    peer_url: String,
    pub data: EtcdData,
    access: EtcdAccess,
}

/// What later phases and the result need to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberOutput {
    /// Where its data are.
    #[serde(flatten)]
    pub data: EtcdData,
    /// The member that left, in words.
    pub removed: Option<String>,
    /// Its data are too big to be kept for nothing.
    pub leave_out: bool,
    /// Its id, and where the others can be asked whether it is still in their list.
    #[serde(default)]
    pub id: u64,
    /// Client URLs of the others.
    #[serde(default)]
    pub others: Vec<String>,
    /// It could not be removed, and forced to go on, the others still have it in their list.
    #[serde(default)]
    pub stays: bool,
}

impl MemberOutput {
    fn of(local: &Local) -> Self {
        Self {
            data: local.data.clone(),
            removed: None,
            leave_out: false,
            id: 0,
            others: vec![],
            stays: false,
        }
    }

    /// As a step.
    pub fn record(&self) -> Step {
        Step::Record { name: MEMBER_OUTPUT.into(), value: serde_json::to_value(self).unwrap_or_default() }
    }

    /// Looks whether the member has left; `None` where nothing has changed about that, or nobody can be asked.
    pub async fn looked_at_again(&self, host: &dyn Probe, reset: &Reset) -> Option<Self> {
        if self.removed.is_none() || self.stays {
            return None;
        }
        let members = host.etcd_members(&reset.etcd_access(self.others.clone())).await.ok()?;
        let stays = members.iter().any(|member| member.id == self.id);
        stays.then(|| Self { stays, ..self.clone() })
    }
}

/// This node's etcd; `None` where there is no manifest of it.
pub async fn local(host: &dyn Probe, reset: &Reset) -> Result<Option<Local>, PhaseError> {
    let Some(pod) = static_pods::read(host, Component::Etcd).await? else { return Ok(None) };
    let flag = |name: &str| pod::flag(&pod, name);
    let urls = flag("advertise-client-urls").unwrap_or_else(|| "https://127.0.0.1:2379".into());
    Ok(Some(Local {
        name: flag("name").unwrap_or_default(),
        peer_url: flag("initial-advertise-peer-urls").unwrap_or_default(),
        data: EtcdData::of(&pod),
        access: reset.etcd_access(urls.split(',').map(str::to_owned).collect()),
    }))
}

/// Lets this node's etcd leave.
pub struct LeaveCluster {
    reset: Arc<Reset>,
}

impl LeaveCluster {
    pub fn new(reset: &Arc<Reset>) -> Self {
        Self { reset: Arc::clone(reset) }
    }
}

#[async_trait]
impl Phase for LeaveCluster {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("remove-etcd-member", "Remove a local etcd member").help(
            "Remove this node's etcd from its cluster, through the other members, unless too few of them would be left \
             to go on. The last member is not removed: its data go with the machine's files.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.store.output(MEMBER_OUTPUT).is_some_and(|known| !known["dataDir"].is_null())
            && !self.is_listed(cx).await?
        {
            return Ok(Verdict::AlreadyDone("that was done before the interruption".into()));
        }
        let Some(local) = local(cx.host, &self.reset).await? else {
            // It may be somebody's own, so it stays; but nobody is to find that out by himself.
            if cx.host.stat(Path::new(DEFAULT_DATA).join("member").as_path()).await?.is_some() {
                cx.warn(format!(
                    "{DEFAULT_DATA} holds the data of an etcd member, of which no manifest is here: they stay, and so does the member \
                     where others have it in their list (`etcdctl member list`)"
                ));
            }
            return Ok(Verdict::NotApplicable("no etcd runs as a static pod here".into()));
        };
        let members = match self.members(cx, &local).await {
            Ok(members) => members,
            Err(message) => return self.unknown(cx, &local, &message),
        };
        let mine = mine(&members, &local);
        let others: Vec<_> =
            members.iter().filter(|other| mine.is_none_or(|mine| mine.id != other.id)).collect();
        if let (None, Some(other)) = (mine, members.iter().find(|member| member.name == local.name)) {
            cx.warn(format!(
                "etcd's member {} at {} has this node's name and another address: it stays",
                other.describe(),
                other.peer_urls.join(", ")
            ));
        }
        match mine {
            // Learners cannot go on without it.
            Some(mine) if mine.is_learner || others.iter().any(|other| !other.is_learner) => {
                self.check_quorum(cx, &local, mine, &others).await?;
                self.leave(cx, &local, mine, &others).await
            }
            // The last one cannot leave, and need not: its cluster ends with it.
            _ => Ok(Verdict::Apply(vec![MemberOutput::of(&local).record()])),
        }
    }
}

impl LeaveCluster {
    /// What speaks against it, for who is to know before anything else is done.
    pub async fn may_leave(&self, cx: &PlanCx<'_>) -> Result<(), PhaseError> {
        let Some(local) = local(cx.host, &self.reset).await? else { return Ok(()) };
        let members = match self.members(cx, &local).await {
            Ok(members) => members,
            Err(message) => return self.unknown(cx, &local, &message).map(drop),
        };
        let Some(mine) = mine(&members, &local) else { return Ok(()) };
        let others: Vec<_> = members.iter().filter(|other| other.id != mine.id).collect();
        if others.iter().all(|other| other.is_learner) {
            return Ok(());
        }
        self.check_quorum(cx, &local, mine, &others).await
    }

    /// Whether this node's etcd is the only one that has a vote. Nobody can tell where etcd does not answer.
    pub async fn is_last(&self, cx: &PlanCx<'_>) -> Result<bool, PhaseError> {
        let Some(local) = local(cx.host, &self.reset).await? else { return Ok(false) };
        let members = cx.host.etcd_members(&local.access).await.unwrap_or_default();
        let Some(mine) = mine(&members, &local) else { return Ok(false) };
        Ok(members.iter().all(|member| member.id == mine.id || member.is_learner))
    }

    /// Whether an earlier run of this operation has still left something to do.
    async fn is_listed(&self, cx: &PlanCx<'_>) -> Result<bool, PhaseError> {
        let known = cx.store.output(MEMBER_OUTPUT);
        let removed = known.is_some_and(|known| known["removed"].is_string());
        let id = known.and_then(|known| known["id"].as_u64()).unwrap_or_default();
        let Some(local) = local(cx.host, &self.reset).await?.filter(|_| removed) else { return Ok(false) };
        let members = self.members(cx, &local).await.unwrap_or_default();
        Ok(members.len() > 1 && members.iter().any(|member| member.id == id))
    }

    /// Asked for at this node's own etcd, else at those that the API server knows.
    async fn members(&self, cx: &PlanCx<'_>, local: &Local) -> Result<Vec<Member>, String> {
        let first = match cx.host.etcd_members(&local.access).await {
            Ok(members) => return Ok(members),
            Err(error) => error.to_string(),
        };
        let access = ApiAccess { kubeconfig: self.reset.admin_kubeconfig(), server: None };
        let urls = match cx.host.stat(&access.kubeconfig).await {
            Ok(Some(_)) => static_pods::etcd_client_urls(cx.host, &access).await.unwrap_or_default(),
            _ => vec![],
        };
        let endpoints: Vec<_> =
            urls.into_iter().filter(|url| !local.access.endpoints.contains(url)).collect();
        if endpoints.is_empty() {
            return Err(first);
        }
        let access = local.access.at(endpoints);
        cx.host.etcd_members(&access).await.map_err(|error| format!("{first}; {error}"))
    }

    /// Nobody says who the members are.
    fn unknown(&self, cx: &PlanCx<'_>, local: &Local, message: &str) -> Result<Verdict, PhaseError> {
        if self.reset.tolerates("EtcdMember") {
            cx.warn(format!(
                "{message}; where etcd has other members, remove {:?} there: `etcdctl member list`, `etcdctl member remove ID`",
                local.name
            ));
            return Ok(Verdict::Apply(vec![MemberOutput::of(local).record()]));
        }
        let hint = "start the kubelet and the container runtime, so that etcd answers; with --force, this node's member is not \
                    removed from the list of the others, which then has to be done with etcdctl";
        Err(PhaseError::Unusable {
            message: format!("etcd cannot be asked for its members: {message}"),
            hint: hint.into(),
        })
    }

    async fn check_quorum(
        &self,
        cx: &PlanCx<'_>,
        local: &Local,
        mine: &Member,
        others: &[&Member],
    ) -> Result<(), PhaseError> {
        if mine.is_learner {
            return Ok(());
        }
        let voters: Vec<_> = others.iter().filter(|member| !member.is_learner).collect();
        let asked = voters.iter().map(|member| self.answers(cx, local, member));
        let answers = futures::future::join_all(asked).await;
        let silent = voters.iter().zip(answers).filter(|(_, answers)| !answers);
        let down: Vec<_> = silent.map(|(member, _)| member.describe()).collect();
        let (left, up) = (voters.len(), voters.len() - down.len());
        if up >= quorum(left) {
            return Ok(());
        }
        let message = format!(
            "without this one, etcd has {left} voting members, of which {} must be up for it to take writes, and {up} {}: {} {} not answer",
            quorum(left),
            if up == 1 { "is" } else { "are" },
            down.join(", "),
            if down.len() == 1 { "does" } else { "do" },
        );
        if self.reset.config.force {
            cx.warn(format!("{message}; etcd takes no writes until enough of them are back"));
            return Ok(());
        }
        let hint =
            "bring the others up first, or remove those that are gone for good; --force goes on all the same";
        Err(PhaseError::Unusable { message, hint: hint.into() })
    }

    async fn answers(&self, cx: &PlanCx<'_>, local: &Local, member: &Member) -> bool {
        for url in &member.client_urls {
            let access = local.access.at(vec![url.clone()]);
            if cx.host.etcd_status(&access, url).await.is_ok() {
                return true;
            }
        }
        false
    }

    async fn leave(
        &self,
        cx: &PlanCx<'_>,
        local: &Local,
        mine: &Member,
        others: &[&Member],
    ) -> Result<Verdict, PhaseError> {
        let mut size = 0;
        for removal in local.data.removals() {
            size += cx.host.tree_size(&removal, &[]).await?;
        }
        let others: Vec<_> = others.iter().flat_map(|member| member.client_urls.clone()).collect();
        let name = mine.describe();
        let known = MemberOutput {
            removed: Some(name.clone()),
            // Forced, it may not have left in the end.
            leave_out: size > SMALL && !self.reset.config.force,
            id: mine.id,
            others: others.clone(),
            ..MemberOutput::of(local)
        };
        // Said before it is done: from the request on it may be so.
        let why = format!(
            "etcd member {name} was asked to leave its cluster, and one that has left cannot come back with its data"
        );
        let lenient = self.reset.config.force;
        let patience = self.reset.etcd_patience();
        Ok(Verdict::Apply(vec![
            known.record(),
            Step::CommitPoint { why },
            Step::Action(Arc::new(Leave {
                access: self.reset.etcd_access(others),
                id: mine.id,
                name,
                lenient,
                patience: if lenient { patience.min(LENIENT_PATIENCE) } else { patience },
            })),
        ]))
    }
}

/// The one at this node's address. A name alone proves nothing: another machine may have taken it, and its member lives.
fn mine<'a>(members: &'a [Member], local: &Local) -> Option<&'a Member> {
    let is_here = |member: &Member| member.client_urls.iter().any(|url| local.access.endpoints.contains(url));
    let is_named = |member: &&Member| member.has_started() && member.name == local.name && is_here(member);
    let is_at = |member: &&Member| member.peer_urls.contains(&local.peer_url);
    members.iter().find(is_at).or_else(|| members.iter().find(is_named))
}

/// Removes this node's member through the others.
struct Leave {
    access: EtcdAccess,
    id: u64,
    name: String,
    lenient: bool,
    patience: Duration,
}

#[async_trait]
impl Action for Leave {
    fn name(&self) -> &'static str {
        LEAVE_ACTION
    }

    fn describe(&self) -> String {
        format!("remove etcd member {} from the cluster", self.name)
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let began = Instant::now();
        loop {
            let error = match cx.host.etcd_remove(&self.access, self.id).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // etcd changes nothing until every member has been connected for some seconds.
            let may_pass = matches!(&error, HostError::Etcd(error) if error.is_transient());
            if may_pass && began.elapsed() < self.patience {
                let missing = format!("etcd to let member {} go: {error}", self.name);
                cx.reporter.report(Event::Waiting { phase: cx.phase.to_owned(), missing });
                cx.unless_cancelled(async {
                    cx.host.pause(Duration::from_secs(1)).await;
                    Ok(())
                })
                .await?;
                continue;
            }
            if !self.lenient || error.is_injected() {
                return Err(error.into());
            }
            let message = format!(
                "etcd member {} stays in the list of the others: {error}; remove it there: `etcdctl member remove {:x}`",
                self.name, self.id
            );
            cx.reporter.report(Event::Warning { message });
            return Ok(());
        }
    }
}
