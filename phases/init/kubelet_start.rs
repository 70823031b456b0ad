//! `kubelet-start`: the kubelet's files, and the kubelet.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rkadm_core::{
    config::{Image, types::Taint},
    engine::{
        Action, Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::{Actuator, ApiAccess, HostError, ServiceVerb},
    kube::ObjectRef,
    kubelet::{self, KubeletFlags},
    manifest::patch::PatchTarget,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster::{Cluster, KUBELET_DIR, PRIVATE_DIR, PUBLIC};
use crate::{
    files::{directory, text_file},
    join::{tell_of_rollback, within},
    patches,
};

/// The unit's name.
pub const KUBELET: &str = "kubelet";
/// The kubelet's own kubeconfig.
pub const KUBELET_CONF: &str = "kubelet.conf";
/// Name of the action in journals: never renamed. (Once it was also what started the kubelet.)
pub const KUBELET_ACTION: &str = "run-kubelet";

/// Writes the kubelet's configuration and starts it.
pub struct KubeletStart {
    cluster: Arc<Cluster>,
}

impl KubeletStart {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

#[async_trait]
impl Phase for KubeletStart {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet-start", "Write kubelet settings and (re)start the kubelet").help(
            "Write the kubelet configuration, its instance configuration and an environment file with node-specific \
             flags, then (re)start the kubelet.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let steps = kubelet_steps(cx, &self.cluster, &[], vec![], None).await?;
        Ok(Verdict::from_steps(steps, "the kubelet runs with these settings"))
    }
}

/// The steps that give the kubelet its files and start it; none where it runs with them. `first` are further files that it
/// must find when it starts; `node` goes again when this is undone.
pub async fn kubelet_steps(
    cx: &PlanCx<'_>,
    cluster: &Cluster,
    register_taints: &[Taint],
    first: Vec<Step>,
    node: Option<NewNode>,
) -> Result<Vec<Step>, PhaseError> {
    let config = &cluster.config;
    let socket = &config.node_registration.cri_socket;
    let mut settings = config.node_kubelet();
    let patches = patches::read(cx, cluster).await?;
    patches::apply(cluster, &mut settings, PatchTarget::KubeletConfiguration, &patches)?;
    let local_socket = config.local_cri_socket();
    if local_socket {
        settings = kubelet::node_config(&settings, socket);
    }
    let hostname = cx.host.hostname().await;
    let flags = KubeletFlags {
        node_name: config.node_name(),
        hostname: &hostname,
        cri_socket: (!local_socket).then_some(socket),
        sandbox_image: cluster.row().sandbox_image_flag.then(|| config.image(Image::Pause)),
        register_taints,
        extra_args: &config.node_registration.kubelet_extra_args,
    };
    let dir = Path::new(KUBELET_DIR);
    let files: Vec<_> = [
        ("kubeadm-flags.env", Some(kubelet::flags_env(&flags))),
        ("instance-config.yaml", local_socket.then(|| kubelet::instance_config(socket))),
        ("config.yaml", Some(kubelet::to_yaml(&settings))),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name, text?)))
    .collect();
    let names: Vec<_> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut before = first;
    before.extend(directory(cx, dir, PRIVATE_DIR).await?);
    let mut writes = vec![];
    for (name, text) in files {
        writes.extend(text_file(cx, dir.join(name), PUBLIC, text).await?);
    }
    let is_active = cx.host.service(KUBELET).await?.active == "active";
    if before.is_empty() && writes.is_empty() && is_active {
        return Ok(vec![]);
    }
    // Without its configuration it ends as soon as it has started, and systemd starts it again, over and over: whoever
    // looks in the right moment sees it active, but it runs nothing.
    let was_configured = cx.host.stat(kubelet::CONFIG_FILE.as_ref()).await?.is_some();
    // Stopped first, so that it does not start with half of its files; and so that an undo, which goes backwards,
    // brings the unit back to its state last of all, with its old files in place.
    let mut steps = vec![Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Stop }];
    steps.extend(before);
    // Before the files: the unit is enabled, so a machine that boots starts the kubelet by itself once it has them.
    steps.push(Step::Action(Arc::new(NoteBefore {
        socket: config.node_registration.cri_socket.clone(),
        was_active: is_active && was_configured,
        node,
        writes: names,
    })));
    steps.extend(writes);
    steps.push(Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Start });
    Ok(steps)
}

/// Notes what there is before the kubelet runs. What comes of it is more than a unit's state: pods, mounts, files.
struct NoteBefore {
    socket: String,
    /// Whether the kubelet ran when this was planned, before the step that stops it.
    was_active: bool,
    /// The Node object that the kubelet makes, where it joins a cluster that was there before.
    node: Option<NewNode>,
    /// Names in the kubelet's directory that are rkadm's to write, and to take back: they have undos of their own.
    writes: Vec<String>,
}

/// The Node object that comes with a kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNode {
    /// How it is removed; where it stays, how it is told that its machine has left.
    pub access: ApiAccess,
    /// Its name.
    pub name: String,
    /// There is nobody on this machine who may remove it.
    #[serde(default)]
    pub stays: bool,
}

/// What was there before the kubelet was started.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    socket: String,
    /// Names in the kubelet's directory.
    entries: Vec<String>,
    /// Ids of the pod sandboxes.
    sandboxes: Vec<String>,
    /// What was mounted below the kubelet's directory.
    mounts: Vec<PathBuf>,
    /// A kubelet that ran before has pods that are not this operation's: they stay.
    was_active: bool,
    /// There was no kubelet.conf: the kubelet writes it when it has got its certificate.
    #[serde(default)]
    without_kubeconfig: bool,
    /// The Node object that comes with it.
    #[serde(default)]
    node: Option<NewNode>,
}

#[async_trait]
impl Action for NoteBefore {
    fn name(&self) -> &'static str {
        KUBELET_ACTION
    }

    fn describe(&self) -> String {
        format!(
            "note the pods, mounts and files of before the kubelet, below {KUBELET_DIR} and in the runtime, for a rollback"
        )
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        let sandboxes = host.sandboxes(&self.socket).await?;
        let mut entries = host.list(KUBELET_DIR.as_ref()).await?;
        for name in &self.writes {
            if !entries.contains(name) {
                entries.push(name.clone());
            }
        }
        let before = Before {
            socket: self.socket.clone(),
            entries,
            sandboxes: sandboxes.into_iter().map(|sandbox| sandbox.id).collect(),
            mounts: host.mounts_below(KUBELET_DIR.as_ref()).await?,
            was_active: self.was_active,
            node: self.node.clone(),
            without_kubeconfig: host.stat(&Cluster::kubeconfig(KUBELET_CONF)).await?.is_none(),
        };
        serde_json::to_value(before).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn act(&self, _cx: &ActCx<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl Before {
    /// The Node that stays when this is undone. A kubelet that ran before keeps it.
    fn left_behind(&self) -> Option<&NewNode> {
        self.node.as_ref().filter(|node| node.stays && !self.was_active)
    }
}

/// Stops the kubelet and removes what it made: its pods first, then their mounts, then its files.
pub struct UndoKubelet;

#[async_trait]
impl UndoAction for UndoKubelet {
    async fn stays(&self, host: &dyn Actuator, data: &Value) -> Option<String> {
        let before: Before = serde_json::from_value(data.clone()).ok()?;
        let NewNode { access, name, .. } = before.left_behind()?;
        // Before the kubelet has its certificate, it has made no Node.
        host.stat(&access.kubeconfig).await.ok()??;
        let target = ObjectRef::new("Node", None, name).ok()?;
        let by_hand = format!("on a control plane: kubectl delete node {name}");
        match within(host.object(access, &target)).await {
            Some(Ok(None)) => None,
            Some(Ok(Some(_))) => Some(format!(
                "Node {name} stays in the cluster, because a worker may not delete its own Node; {by_hand}"
            )),
            _ => Some(format!(
                "the cluster may still have a Node {name}, which a worker may not delete itself, and cannot be asked; {by_hand}"
            )),
        }
    }

    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let before: Before =
            serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))?;
        // The unit's own undo, which comes last, starts such a kubelet again with its old files.
        if host.service(KUBELET).await?.exists {
            host.control_service(KUBELET, ServiceVerb::Stop).await?;
        }
        // Once it can register no more, and while its credentials are there.
        if let Some(node) = before.left_behind() {
            tell_of_rollback(host, &node.access, &node.name).await?;
        }
        if before.was_active {
            return Ok(());
        }
        remove_sandboxes(host, &before).await?;
        let dir = Path::new(KUBELET_DIR);
        for mount in host.mounts_below(dir).await?.into_iter().rev() {
            if !before.mounts.contains(&mount) {
                host.unmount(&mount).await?;
            }
        }
        for name in host.list(dir).await? {
            if !before.entries.contains(&name) {
                host.remove_tree(&dir.join(name)).await?;
            }
        }
        // Last: the machine is clean then but for the file that says that there may be a Node, whatever the cluster answers. Before the
        // kubelet has its certificate, it has made none, and nobody needs to be asked.
        let kubeconfig = Cluster::kubeconfig(KUBELET_CONF);
        let made_a_node = !before.without_kubeconfig || host.stat(&kubeconfig).await?.is_some();
        if let Some(NewNode { access, name, stays: false }) = &before.node
            && made_a_node
        {
            let target = ObjectRef::new("Node", None, name).map_err(HostError::from)?;
            host.delete(access, &target).await?;
        }
        if before.without_kubeconfig {
            host.remove_file(&kubeconfig).await?;
        }
        Ok(())
    }

    fn by_hand(&self, data: &Value) -> Vec<String> {
        let known = |field: &str| {
            let names = data[field].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.collect::<Vec<_>>().join(" ")
        };
        let mut commands = vec![
            "systemctl stop kubelet".into(),
            format!(
                "remove with `crictl rmp -f` every pod sandbox that `crictl pods` shows, but: {}",
                known("sandboxes")
            ),
            format!("unmount what is mounted below {KUBELET_DIR}, but: {}", known("mounts")),
            format!("remove from {KUBELET_DIR} everything but: {}", known("entries")),
        ];
        if let Some(name) = data["node"]["name"].as_str() {
            commands.push(format!("on a control plane: kubectl delete node {name}"));
        }
        commands
    }
}

/// How often the removal of pods is tried, and how long between two tries: a container that the kubelet was just
/// starting cannot be removed until it has started.
const REMOVAL_TRIES: u32 = 40;
const REMOVAL_PAUSE: Duration = Duration::from_millis(500);

/// Removes the pods that came with the kubelet.
async fn remove_sandboxes(host: &dyn Actuator, before: &Before) -> Result<(), StepError> {
    for tries in 1.. {
        let mut failed = None;
        for sandbox in host.sandboxes(&before.socket).await? {
            if !before.sandboxes.contains(&sandbox.id) {
                failed = host.remove_sandbox(&before.socket, &sandbox.id).await.err().or(failed);
            }
        }
        match failed {
            None => break,
            Some(error) if tries == REMOVAL_TRIES || error.is_injected() => return Err(error.into()),
            Some(_) => host.pause(REMOVAL_PAUSE).await,
        }
    }
    Ok(())
}
