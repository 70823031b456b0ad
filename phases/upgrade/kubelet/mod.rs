//! `kubelet/*`: the kubelet's own new version, where it was asked for. What can be done while the node works is done first;
//! then its pods move away, the kubelet changes, and the node takes pods again.

mod drain;
mod install;
mod package;
mod servers;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        operation::REVERSIBLE,
        step::{PatchMaker, PatchSource},
        wait::Condition,
    },
    host::{ApiAccess, ServiceVerb},
    kube::ObjectRef,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use drain::DRAIN_ACTION;

use super::Upgrading;
use crate::{init::KUBELET, join::by_kubelet, objects::named};

/// Where the new kubelet comes from, and what may be done to its pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeletUpgrade {
    /// A program to put in place; without it, the machine's package manager is asked.
    pub binary: Option<PathBuf>,
    /// How many seconds its pods may take to move away.
    pub drain_seconds: u64,
    /// Pods that nobody would make again may go.
    pub unmanaged: bool,
    /// Pods whose data lies in an emptyDir may go.
    pub empty_dir: bool,
}

/// A kubelet looks at the static pods within this time from its start.
const STEADY: Duration = Duration::from_secs(5);

/// What the phases say where nobody asked for them.
const NOT_ASKED: &str = "--kubelet was not given";
/// The output that says that this operation has cordoned the node.
pub const CORDONED: &str = "cordoned";
/// The output that names the package or the file that was put in place.
const INSTALLED: &str = "kubelet installed";

/// The name that selects them: they are an operation of their own, so that what comes before stays when they fail.
pub const GROUP: &str = "kubelet";

/// All of them, in order.
pub fn phases(upgrading: &Arc<Upgrading>) -> Vec<Box<dyn Phase>> {
    vec![
        Box::new(install::Fetch::new(upgrading)),
        Box::new(install::Download::new(upgrading)),
        Box::new(Cordon::new(upgrading)),
        Box::new(drain::Drain::new(upgrading)),
        Box::new(install::Install::new(upgrading)),
        Box::new(Start::new(upgrading)),
        Box::new(Uncordon::new(upgrading)),
    ]
}

impl Upgrading {
    /// A control plane asks as its administrator. Elsewhere the kubelet may move its own pods away, and mark its own Node.
    async fn node_access(&self, cx: &PlanCx<'_>) -> Result<ApiAccess, PhaseError> {
        if self.request.control_plane || self.request.environment.kubeconfig.is_some() {
            return Ok(self.cluster.admin(cx.host).await?);
        }
        Ok(by_kubelet())
    }

    fn node_target(&self) -> Result<ObjectRef, PhaseError> {
        named("Node", None, self.cluster.config.node_name())
    }
}

struct Cordon(Arc<Upgrading>);

impl Cordon {
    fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self(Arc::clone(upgrading))
    }
}

#[async_trait]
impl Phase for Cordon {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet/cordon", "Keep new pods away from this node")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if self.0.request.kubelet.is_none() {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        }
        if cx.store.output(INSTALLED).is_none() && cx.store.output(install::NEEDED).is_none() {
            return Ok(Verdict::NotApplicable("the kubelet is of this version".into()));
        }
        let (access, target) = (self.0.node_access(cx).await?, self.0.node_target()?);
        let live = cx.host.object(&access, &target).await?.unwrap_or_default();
        if live["spec"]["unschedulable"] == true {
            // By whoever did it before; it stays so.
            return Ok(Verdict::AlreadyDone("the node takes no new pods".into()));
        }
        let change = PatchSource::Made(Arc::new(Schedulable(false)));
        Ok(Verdict::Apply(vec![
            // Before the change: a node that is left cordoned is never left so without a word.
            Step::Record { name: CORDONED.into(), value: true.into() },
            Step::Patch { access, target, change, dies_with: None },
        ]))
    }
}

struct Uncordon(Arc<Upgrading>);

impl Uncordon {
    fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self(Arc::clone(upgrading))
    }
}

#[async_trait]
impl Phase for Uncordon {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet/uncordon", "Let this node take pods again")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if self.0.request.kubelet.is_none() {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        }
        if cx.store.output(CORDONED).is_none() && !cx.is_dry_run() {
            let (access, target) = (self.0.node_access(cx).await?, self.0.node_target()?);
            let live = cx.host.object(&access, &target).await?.unwrap_or_default();
            if live["spec"]["unschedulable"] == true {
                let name = self.0.cluster.config.node_name();
                cx.warn(format!("node {name} was cordoned before, and stays so: kubectl uncordon {name}"));
            }
            return Ok(Verdict::NotApplicable("this operation has not cordoned it".into()));
        }
        let (access, target) = (self.0.node_access(cx).await?, self.0.node_target()?);
        let change = PatchSource::Made(Arc::new(Schedulable(true)));
        Ok(Verdict::Apply(vec![Step::Patch { access, target, change, dies_with: None }]))
    }
}

/// Whether the node takes new pods.
struct Schedulable(bool);

impl PatchMaker for Schedulable {
    fn describe(&self) -> String {
        if self.0 { "takes new pods (uncordon)" } else { "takes no new pods (cordon)" }.into()
    }

    fn make(&self, live: &Value) -> (Value, Value) {
        let set = |it: Value| json!({"spec": {"unschedulable": it}});
        let before = live["spec"].get("unschedulable").cloned().unwrap_or(Value::Null);
        (set(if self.0 { Value::Null } else { true.into() }), set(before))
    }
}

struct Start(Arc<Upgrading>);

impl Start {
    fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self(Arc::clone(upgrading))
    }
}

#[async_trait]
impl Phase for Start {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet/start", "Restart the kubelet and wait until the node is Ready")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if self.0.request.kubelet.is_none() {
            return Ok(Verdict::NotApplicable(NOT_ASKED.into()));
        }
        if cx.store.output(INSTALLED).is_none() && !cx.is_dry_run() {
            return Ok(Verdict::NotApplicable("the kubelet is of this version".into()));
        }
        let config = &self.0.cluster.config;
        let ready = Condition::All(vec![
            self.0.cluster.kubelet_healthy(),
            Condition::NodeReady {
                access: self.0.node_access(cx).await?,
                target: self.0.node_target()?,
                version: config.kubernetes_version.to_string(),
            },
        ]);
        let wait = |condition| self.0.cluster.wait_for_kubelet(condition);
        let mut steps = vec![Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Restart }, wait(ready)];
        // A kubelet of another minor starts the static pods anew, etcd among them, a moment after it is ready itself: the next
        // control plane must not follow before.
        if self.0.request.control_plane {
            let mut all = vec![self.0.cluster.all_healthy(self.0.cluster.admin(cx.host).await?)];
            all.extend(self.0.cluster.etcd_healthy());
            let condition = Box::new(Condition::All(all));
            steps.push(wait(Condition::Steady { condition, during: STEADY }));
        }
        steps.push(Step::Record { name: REVERSIBLE.into(), value: true.into() });
        Ok(Verdict::Apply(steps))
    }
}
