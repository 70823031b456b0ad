//! What the runtime tells, in types of our own: callers need no protobuf.

use std::collections::BTreeMap;

use super::proto;

/// Who the runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Such as `containerd`.
    pub runtime_name: String,
    /// Such as `1.6.20~ds1` or `v2.1.4`; its format is the runtime's own.
    pub runtime_version: String,
    /// Such as `v1`.
    pub api_version: String,
}

/// One statement of the runtime about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `RuntimeReady` or `NetworkReady`; a runtime may add its own.
    pub kind: String,
    /// Whether it holds. `NetworkReady` is false until a network plugin is installed, which is no fault.
    pub ok: bool,
    /// A word on why not.
    pub reason: String,
    /// A sentence on why not.
    pub message: String,
}

/// Why a runtime with these conditions cannot start containers, in kubeadm's words; `None` when it can.
pub fn trouble(conditions: &[Condition]) -> Option<String> {
    match conditions.iter().find(|condition| condition.kind == "RuntimeReady") {
        None => Some("container runtime does not tell its condition \"RuntimeReady\"".to_owned()),
        Some(condition) if condition.ok => None,
        Some(Condition { reason, message, .. }) => Some(format!(
            "container runtime condition \"RuntimeReady\" is not true. reason: {reason}, message: {message}"
        )),
    }
}

/// How the runtime manages cgroups. The kubelet must do it the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Through systemd.
    Systemd,
    /// Through the file system.
    Cgroupfs,
}

/// Which sandboxes to list. Empty lists all.
#[derive(Debug, Clone, Default)]
pub struct SandboxFilter {
    /// Labels that must all be there.
    pub labels: BTreeMap<String, String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// Only ready ones, or only others.
    pub ready: Option<bool>,
}

/// Which containers to list. Empty lists all.
#[derive(Debug, Clone, Default)]
pub struct ContainerFilter {
    /// Labels that must all be there.
    pub labels: BTreeMap<String, String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// The container's name in its pod, such as `kube-apiserver`.
    pub name: Option<String>,
    /// The sandbox it runs in.
    pub sandbox: Option<String>,
    /// Its state.
    pub state: Option<ContainerState>,
}

/// The kubelet sets these labels on all it makes.
pub(super) const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";
pub(super) const CONTAINER_LABEL: &str = "io.kubernetes.container.name";
/// The label that the kubelet puts on containers: the uid of their pod.
pub const POD_UID_LABEL: &str = "io.kubernetes.pod.uid";

/// A pod's sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: String,
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's uid.
    pub uid: String,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// Whether it runs.
    pub ready: bool,
    /// Nanoseconds since 1970.
    pub created_at: i64,
    /// Labels, among them the pod's.
    pub labels: BTreeMap<String, String>,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made but not started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The runtime lost track of it.
    Unknown,
}

impl ContainerState {
    pub(super) fn of_wire(state: i32) -> Self {
        match state {
            0 => Self::Created,
            1 => Self::Running,
            2 => Self::Exited,
            _ => Self::Unknown,
        }
    }

    pub(super) fn to_wire(self) -> i32 {
        match self {
            Self::Created => 0,
            Self::Running => 1,
            Self::Exited => 2,
            Self::Unknown => 3,
        }
    }
}

/// A container, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// The sandbox's id.
    pub sandbox: String,
    /// The container's name in its pod.
    pub name: String,
    /// How often it was restarted.
    pub attempt: u32,
    /// The image, as asked for or as resolved.
    pub image: String,
    /// What it does.
    pub state: ContainerState,
    /// Nanoseconds since 1970.
    pub created_at: i64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A container in detail. Times are nanoseconds since 1970, 0 if it did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The runtime's id.
    pub id: String,
    /// The container's name in its pod.
    pub name: String,
    /// How often it was restarted.
    pub attempt: u32,
    /// What it does.
    pub state: ContainerState,
    /// The image.
    pub image: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was started.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: i64,
    /// The exit code; meaningful only for [`ContainerState::Exited`].
    pub exit_code: i32,
    /// A word such as `Error` or `OOMKilled`.
    pub reason: String,
    /// A sentence, such as why it could not be started.
    pub message: String,
    /// The file its output goes to; empty if it has none.
    pub log_path: String,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The runtime's id: the digest of its configuration.
    pub id: String,
    /// Names with a tag.
    pub tags: Vec<String>,
    /// Names with a digest.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// Whether the runtime is told never to remove it.
    pub pinned: bool,
}

impl From<proto::PodSandbox> for Sandbox {
    fn from(wire: proto::PodSandbox) -> Self {
        let metadata = wire.metadata.unwrap_or_default();
        Self {
            id: wire.id,
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            attempt: metadata.attempt,
            ready: wire.state == 0,
            created_at: wire.created_at,
            labels: wire.labels.into_iter().collect(),
        }
    }
}

impl From<proto::Container> for Container {
    fn from(wire: proto::Container) -> Self {
        let metadata = wire.metadata.unwrap_or_default();
        Self {
            id: wire.id,
            sandbox: wire.pod_sandbox_id,
            name: metadata.name,
            attempt: metadata.attempt,
            image: wire.image.unwrap_or_default().image,
            state: ContainerState::of_wire(wire.state),
            created_at: wire.created_at,
            labels: wire.labels.into_iter().collect(),
        }
    }
}

impl From<proto::ContainerStatus> for ContainerStatus {
    fn from(wire: proto::ContainerStatus) -> Self {
        let metadata = wire.metadata.unwrap_or_default();
        Self {
            id: wire.id,
            name: metadata.name,
            attempt: metadata.attempt,
            state: ContainerState::of_wire(wire.state),
            image: wire.image.unwrap_or_default().image,
            created_at: wire.created_at,
            started_at: wire.started_at,
            finished_at: wire.finished_at,
            exit_code: wire.exit_code,
            reason: wire.reason,
            message: wire.message,
            log_path: wire.log_path,
        }
    }
}

impl From<proto::Image> for Image {
    fn from(wire: proto::Image) -> Self {
        Self {
            id: wire.id,
            tags: wire.repo_tags,
            digests: wire.repo_digests,
            size: wire.size,
            pinned: wire.pinned,
        }
    }
}
