//! The actions that change the members of etcd.
//!
//! An added member has no vote and counts for no quorum. Whatever follows it is undone while this node's etcd still runs,
//! so that a member that has got its vote can leave a cluster of two as well.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action, Event,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    etcd::{EtcdAccess, EtcdError, Member},
    host::{Actuator, HostError},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names of the actions in journals: never renamed.
pub const ADD_MEMBER_ACTION: &str = "add-etcd-member";
pub const PROMOTE_MEMBER_ACTION: &str = "promote-etcd-member";
pub const REMOVE_MEMBER_ACTION: &str = "remove-etcd-member";

const PAUSE: Duration = Duration::from_millis(100);
/// One that has just begun takes connections and does not answer, for seconds. How far it is must not hold up its vote.
const TELLS_WITHIN: Duration = Duration::from_millis(300);
/// A member that is removed while others are away: etcd may elect a leader first.
const UNDO_TIME: Duration = Duration::from_secs(30);

/// Which member, and how the others are reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub access: EtcdAccess,
    pub peer_url: String,
    /// The member, or its vote, was there before: what did not come with the operation does not go with it.
    #[serde(default)]
    pub was_there: bool,
}

impl Target {
    /// What an undo needs: with whether the member is as it is to become already. An etcd that does not answer now may do so
    /// when the step is tried; then nothing of it was there.
    async fn noted(&self, host: &dyn Actuator, there: fn(&Member) -> bool) -> Result<Value, StepError> {
        let own = self.find(host).await.ok().and_then(|(_, own)| own);
        let noted = Self { was_there: own.is_some_and(|own| there(&own)), ..self.clone() };
        serde_json::to_value(noted).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn find(&self, host: &dyn Actuator) -> Result<(Vec<Member>, Option<Member>), HostError> {
        let members = host.probe().etcd_members(&self.access).await?;
        let own = members.iter().find(|member| member.peer_urls.contains(&self.peer_url)).cloned();
        Ok((members, own))
    }
}

/// What one try came to.
enum Try {
    Done,
    /// Not yet, and why.
    Wait(String),
    /// Not yet either, but something moves: each new `place` is a reason to wait anew.
    Moving {
        why: String,
        place: String,
    },
}

/// Something that is tried again and again.
#[async_trait]
trait Attempt: Sync {
    async fn attempt(&self, cx: &ActCx<'_>) -> Result<Try, StepError>;

    /// Tries until it is done, nothing has moved for so long, or the operator asks to stop.
    async fn persist(&self, cx: &ActCx<'_>, limit: Duration) -> Result<(), StepError> {
        let mut since = Instant::now();
        let (mut told, mut last) = (String::new(), String::new());
        loop {
            let why = match cx.unless_cancelled(self.attempt(cx)).await? {
                Try::Done => return Ok(()),
                Try::Wait(why) => why,
                Try::Moving { why, place } => {
                    if place != last {
                        (since, last) = (Instant::now(), place);
                    }
                    why
                }
            };
            if since.elapsed() >= limit {
                return Err(StepError::Content(format!(
                    "after {} s (timeouts.etcdAPICall) still waiting for {why}",
                    limit.as_secs()
                )));
            }
            if why != told {
                cx.reporter.report(Event::Waiting { phase: cx.phase.to_owned(), missing: why.clone() });
                told = why;
            }
            cx.host.pause(PAUSE).await;
        }
    }
}

/// Adds this node's member, without a vote.
pub struct AddMember {
    pub target: Target,
    pub limit: Duration,
}

#[async_trait]
impl Action for AddMember {
    fn name(&self) -> &'static str {
        ADD_MEMBER_ACTION
    }

    fn describe(&self) -> String {
        format!("add {} to etcd as a learner, which has no vote", self.target.peer_url)
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        self.target.noted(host, |_| true).await
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        self.persist(cx, self.limit).await
    }
}

#[async_trait]
impl Attempt for AddMember {
    /// etcd takes one learner at a time: so control planes that join at once queue up here, those of kubeadm as well.
    async fn attempt(&self, cx: &ActCx<'_>) -> Result<Try, StepError> {
        let members = match self.target.find(cx.host).await {
            Ok((_, Some(_))) => return Ok(Try::Done),
            Ok((members, None)) => members,
            Err(error) => return later(error, "etcd to answer"),
        };
        match cx.host.etcd_add_learner(&self.target.access, &self.target.peer_url).await {
            Ok(_) => Ok(Try::Done),
            Err(HostError::Etcd(EtcdError::PeerUrlExists)) => Ok(Try::Wait("etcd".into())),
            Err(HostError::Etcd(EtcdError::TooManyLearners)) => {
                let learner = members.iter().find(|member| member.is_learner).map(Member::describe);
                let learner = learner.unwrap_or_else(|| "another member".into());
                let why = format!(
                    "{learner} to finish joining etcd, which takes one at a time (if that was given up: `rkadm op rollback` there, or `etcdctl member remove`)"
                );
                Ok(Try::Moving { why, place: learner })
            }
            Err(error) => later(error, "etcd to accept a new member"),
        }
    }
}

/// Waits for what may pass by itself.
fn later(error: HostError, what: &str) -> Result<Try, StepError> {
    match &error {
        HostError::Etcd(etcd) if etcd.is_transient() => Ok(Try::Wait(format!("{what}: {etcd}"))),
        _ => Err(error.into()),
    }
}

/// Gives this node's member its vote once it has caught up.
pub struct PromoteMember {
    pub target: Target,
    /// Where this node's member answers clients.
    pub client_url: String,
    pub limit: Duration,
}

#[async_trait]
impl Action for PromoteMember {
    fn name(&self) -> &'static str {
        PROMOTE_MEMBER_ACTION
    }

    fn describe(&self) -> String {
        format!("give {} its vote in etcd once it has caught up", self.target.peer_url)
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        self.target.noted(host, |own| !own.is_learner).await
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        self.persist(cx, self.limit).await
    }
}

#[async_trait]
impl Attempt for PromoteMember {
    async fn attempt(&self, cx: &ActCx<'_>) -> Result<Try, StepError> {
        let own = match self.target.find(cx.host).await {
            Ok((_, Some(own))) => own,
            Ok((_, None)) => {
                let text = format!("the member at {} was removed by somebody else", self.target.peer_url);
                return Err(StepError::Content(text));
            }
            Err(error) => return later(error, "etcd to answer"),
        };
        if !own.is_learner {
            return Ok(Try::Done);
        }
        // One that has never started is not promoted: it would count for the quorum and not be there.
        if !own.has_started() {
            return Ok(Try::Wait("the etcd member of this node to start".into()));
        }
        match cx.host.etcd_promote(&self.target.access, own.id).await {
            Ok(()) | Err(HostError::Etcd(EtcdError::NotALearner)) => Ok(Try::Done),
            Err(HostError::Etcd(EtcdError::NotInSync)) => Ok(self.lag(cx).await),
            Err(error) => later(error, "etcd to give the member its vote"),
        }
    }
}

impl PromoteMember {
    /// How far the member is behind the others.
    async fn lag(&self, cx: &ActCx<'_>) -> Try {
        let own = EtcdAccess { endpoints: vec![self.client_url.clone()], ..self.target.access.clone() };
        let host = cx.host.probe();
        let behind = async {
            let mine = host.etcd_status(&own, &self.client_url).await.ok()?;
            let other = self.target.access.endpoints.first()?;
            let theirs = host.etcd_status(&self.target.access, other).await.ok()?;
            let why = format!(
                "the etcd member of this node to catch up: revision {} of {}",
                mine.revision, theirs.revision
            );
            Some(Try::Moving { why, place: mine.revision.to_string() })
        };
        let told = tokio::select! {
            biased;
            told = behind => told,
            () = cx.host.pause(TELLS_WITHIN) => None,
        };
        told.unwrap_or_else(|| Try::Wait("the etcd member of this node to catch up".into()))
    }
}

/// Removes the member again. Nothing is lost by that: all it holds, a majority of the others holds, too.
pub struct UndoMember;

#[async_trait]
impl UndoAction for UndoMember {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let target: Target =
            serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))?;
        if target.was_there {
            return Ok(());
        }
        let began = Instant::now();
        loop {
            let removed = async {
                match target.find(host).await?.1 {
                    Some(own) => host.etcd_remove(&target.access, own.id).await,
                    None => Ok(()),
                }
            };
            match removed.await {
                Err(HostError::Etcd(error)) if error.is_transient() && began.elapsed() < UNDO_TIME => {
                    host.pause(PAUSE).await;
                }
                result => return Ok(result?),
            }
        }
    }

    fn by_hand(&self, data: &Value) -> Vec<String> {
        let url = data["peerUrl"].as_str().unwrap_or_default();
        vec![
            format!("on another control plane, find the id of the member at {url}: etcdctl member list"),
            "etcdctl member remove <id>".into(),
        ]
    }
}

/// Removes a member whose machine is gone, before this node takes its place.
pub struct RemoveMember {
    pub access: EtcdAccess,
    pub member: Member,
    pub limit: Duration,
}

#[async_trait]
impl Action for RemoveMember {
    fn name(&self) -> &'static str {
        REMOVE_MEMBER_ACTION
    }

    fn describe(&self) -> String {
        format!("remove the member {} from etcd, whose machine is gone", self.member.describe())
    }

    async fn prepare(&self, _host: &dyn Actuator) -> Result<Value, StepError> {
        serde_json::to_value(&self.member).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        self.persist(cx, self.limit).await
    }
}

#[async_trait]
impl Attempt for RemoveMember {
    async fn attempt(&self, cx: &ActCx<'_>) -> Result<Try, StepError> {
        // Asked before each try: that it comes back may be what lets the removal through.
        if let Some(url) = self.member.client_urls.first() {
            let own = self.access.at(vec![url.clone()]);
            if cx.host.etcd_status(&own, url).await.is_ok() {
                let text = format!("the member {} answers: its machine is not gone", self.member.describe());
                return Err(StepError::Content(text));
            }
        }
        match cx.host.etcd_remove(&self.access, self.member.id).await {
            Ok(()) => Ok(Try::Done),
            Err(error) => later(error, "etcd to let the member go whose machine is gone"),
        }
    }
}
