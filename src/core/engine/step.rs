//! The closed set of changes that a phase may ask for.
//!
//! Every variant has a description, an act ([`super::act`]) and an undo ([`super::undo`]), each matched
//! exhaustively, so that dry-run and rollback cannot be forgotten for a new one.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Action, content::Content, store::SecretKind, wait::Condition};
use crate::{
    archive::Removal,
    config::types::UnmountFlag,
    host::{ApiAccess, ServiceVerb},
    kube::ObjectRef,
};

/// What the plan saw at a path. If the world changed since, the step fails instead of overwriting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was there.
    Absent,
    /// A file with this SHA-256 (hex) was there.
    Sha256(String),
}

/// An API object, or how to make one from secrets that exist only at apply time.
#[derive(Clone)]
pub enum ObjectSource {
    /// Known now.
    Plain(Box<Value>),
    /// Made when the step is carried out.
    Made(Arc<dyn ObjectMaker>),
}

impl ObjectSource {
    /// Which object this is.
    pub fn reference(&self) -> Option<ObjectRef> {
        match self {
            Self::Plain(object) => ObjectRef::of(object).ok(),
            Self::Made(maker) => maker.reference(),
        }
    }
}

/// Makes an object from what is known only at apply time.
#[async_trait::async_trait]
pub trait ObjectMaker: Send + Sync {
    /// Which object will be made; `None` while its name is not known.
    fn reference(&self) -> Option<ObjectRef>;
    /// What it is, for the plan; without secrets.
    fn describe(&self) -> String;
    /// Makes it.
    async fn make(&self, cx: &super::act::ActCx<'_>) -> Result<Value, super::act::StepError>;
}

/// A JSON merge patch with its way back, or how to make them from the object as it is at apply time.
#[derive(Clone)]
pub enum PatchSource {
    /// Known now.
    Plain {
        /// The change.
        patch: Value,
        /// The change back.
        undo: Value,
    },
    /// Made from the live object; made again when another writer got in between.
    Made(Arc<dyn PatchMaker>),
}

impl PatchSource {
    /// For plans.
    pub fn describe(&self) -> String {
        match self {
            Self::Plain { patch, .. } => patch.to_string(),
            Self::Made(maker) => maker.describe(),
        }
    }
}

/// Makes a patch from the object as it is.
pub trait PatchMaker: Send + Sync {
    /// What it changes, for the plan.
    fn describe(&self) -> String;
    /// The change and the change back.
    fn make(&self, live: &Value) -> (Value, Value);
}

/// A change.
#[derive(Clone)]
pub enum Step {
    /// A directory that must exist with these permission bits.
    EnsureDir {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// What comes to be in it belongs to this operation and goes on rollback, also where the directory was
        /// there before, empty. Never so for a directory that already held something.
        owned: bool,
    },
    /// A file, replaced atomically.
    WriteFile {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// What it will hold.
        content: Content,
        /// What the plan saw there.
        seen: Seen,
    },
    /// A file that must go.
    RemoveFile {
        /// Where.
        path: PathBuf,
        /// What the plan saw there.
        seen: Seen,
    },
    /// Permission bits of an existing path.
    SetMode {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A unit of the service manager.
    Service {
        /// Unit name without `.service`.
        unit: String,
        /// What to do.
        verb: ServiceVerb,
    },
    /// A command. `undo` is run on rollback, if there is something to take back.
    Run {
        /// Program and arguments; never a secret.
        argv: Vec<String>,
        /// The command that takes it back.
        undo: Option<Vec<String>>,
    },
    /// A command that reads from its standard input. There is nothing to take back: what it changes is made again by
    /// whoever made it.
    Feed {
        /// Program and arguments.
        argv: Vec<String>,
        /// What it reads; never a secret.
        input: String,
        /// What comes of it, for the plan.
        what: String,
    },
    /// Every pod sandbox of the container runtime, stopped and removed. The kubelet starts pods again by itself.
    StopPods {
        /// The runtime's socket URL.
        socket: String,
        /// A pod that cannot be removed, because its network plugin does not work any more, is left as it is, stopped.
        lenient: bool,
    },
    /// Everything that is mounted below a directory, unmounted. The kubelet mounts what its pods need again.
    Unmount {
        /// The directory.
        dir: PathBuf,
        /// Flags of umount2(2).
        flags: Vec<UnmountFlag>,
    },
    /// An archive of what is about to be removed. Rollback removes it again.
    Archive {
        /// The file, mode 0600.
        archive: PathBuf,
        /// What goes into it.
        what: Vec<Removal>,
        /// What is left out of it.
        leave_out: Vec<PathBuf>,
    },
    /// Files and directories that go, in this order.
    Remove {
        /// Which.
        what: Vec<Removal>,
        /// Where rollback finds them; without it they cannot come back.
        archive: Option<PathBuf>,
    },
    /// From here on, what was done before can no longer be taken back.
    CommitPoint {
        /// Why.
        why: String,
    },
    /// An API object that must go. Rollback applies a copy.
    DeleteObject {
        /// How to reach the API server.
        access: ApiAccess,
        /// Which.
        target: ObjectRef,
        /// As in [`Step::Apply`].
        dies_with: Option<PathBuf>,
    },
    /// API objects, applied concurrently.
    Apply {
        /// How to reach the API server.
        access: ApiAccess,
        /// The objects.
        objects: Vec<ObjectSource>,
        /// The directory whose removal takes these objects with it: the etcd data that this operation made.
        dies_with: Option<PathBuf>,
    },
    /// A JSON merge patch of an object, and the patch that takes it back.
    Patch {
        /// How to reach the API server.
        access: ApiAccess,
        /// Which object.
        target: ObjectRef,
        /// The change, and the change back.
        change: PatchSource,
        /// As in [`Step::Apply`].
        dies_with: Option<PathBuf>,
    },
    /// Images that the container runtime must hold, pulled at once.
    PullImages {
        /// The runtime's socket URL.
        socket: String,
        /// Full references.
        images: Vec<String>,
    },
    /// A secret made at apply time, kept in the operation's private folder until the operation ends.
    NewSecret {
        /// Name in the store.
        name: String,
        /// What to make.
        kind: SecretKind,
    },
    /// A value for later phases and for the result.
    Record {
        /// Name in the store.
        name: String,
        /// Not secret.
        value: Value,
    },
    /// Waits until something holds.
    Wait {
        /// What must hold.
        condition: Condition,
        /// How long at most.
        timeout: Duration,
        /// What of kubeadm's configuration says how long, `timeouts.tlsBootstrap` for example.
        setting: Option<&'static str>,
    },
    /// The escape hatch, for what is no primitive. Every use is registered and tested.
    Action(Arc<dyn Action>),
}

impl Step {
    /// What kind of change it is, for programs.
    pub fn action(&self) -> &'static str {
        match self {
            Self::EnsureDir { .. } => "ensure-directory",
            Self::WriteFile { .. } => "write-file",
            Self::RemoveFile { .. } => "remove-file",
            Self::SetMode { .. } => "set-mode",
            Self::Service { .. } => "service",
            Self::Run { .. } => "run",
            Self::Feed { .. } => "feed",
            Self::StopPods { .. } => "stop-pods",
            Self::Unmount { .. } => "unmount",
            Self::Archive { .. } => "archive",
            Self::Remove { .. } => "remove",
            Self::CommitPoint { .. } => "commit-point",
            Self::DeleteObject { .. } => "delete-object",
            Self::Apply { .. } => "apply",
            Self::Patch { .. } => "patch",
            Self::PullImages { .. } => "pull-image",
            Self::NewSecret { .. } => "new-secret",
            Self::Record { .. } => "record",
            Self::Wait { .. } => "wait",
            Self::Action(action) => action.name(),
        }
    }

    /// The paths, objects, units or images that it changes.
    pub fn targets(&self) -> Vec<String> {
        match self {
            Self::EnsureDir { path, .. }
            | Self::WriteFile { path, .. }
            | Self::RemoveFile { path, .. }
            | Self::SetMode { path, .. } => vec![path.display().to_string()],
            Self::Service { unit, .. } => vec![unit.clone()],
            Self::Apply { objects, .. } => objects.iter().map(describe_object).collect(),
            Self::Patch { target, .. } | Self::DeleteObject { target, .. } => vec![target.to_string()],
            Self::Remove { what, .. } => {
                what.iter().map(|removal| removal.path.display().to_string()).collect()
            }
            Self::Unmount { dir, .. } => vec![dir.display().to_string()],
            Self::Archive { archive, .. } => vec![archive.display().to_string()],
            Self::PullImages { images, .. } => images.clone(),
            Self::Run { .. }
            | Self::Feed { .. }
            | Self::StopPods { .. }
            | Self::CommitPoint { .. }
            | Self::NewSecret { .. }
            | Self::Record { .. }
            | Self::Wait { .. }
            | Self::Action(_) => vec![],
        }
    }

    /// One line for people: what will be done to what. Holds no secret.
    pub fn describe(&self) -> String {
        match self {
            Self::EnsureDir { path, mode, .. } => {
                format!("create directory {} (mode {mode:04o})", path.display())
            }
            Self::WriteFile { path, mode, content, seen } => {
                let verb = if *seen == Seen::Absent { "write" } else { "replace" };
                format!("{verb} {} (mode {mode:04o}): {}", path.display(), content.describe())
            }
            Self::RemoveFile { path, .. } => format!("remove {}", path.display()),
            Self::SetMode { path, mode } => format!("set mode {mode:04o} on {}", path.display()),
            Self::Service { unit, verb } => format!("{} service {unit}", verb_name(*verb)),
            Self::Run { argv, .. } => format!("run `{}`", argv.join(" ")),
            Self::Feed { argv, what, .. } => format!("{what} (`{}`)", argv.join(" ")),
            Self::StopPods { .. } => "stop and remove all pods of the container runtime".into(),
            Self::Unmount { dir, .. } => format!("unmount everything below {}", dir.display()),
            Self::Archive { archive, what, .. } => {
                format!("archive {} as {}", in_words(what), archive.display())
            }
            Self::Remove { what, .. } => format!("remove {}", in_words(what)),
            Self::CommitPoint { why } => format!("commit point: {why}"),
            Self::DeleteObject { target, .. } => format!("delete {target}"),
            Self::Apply { objects, .. } => {
                let names: Vec<_> = objects.iter().map(describe_object).collect();
                format!("apply {}", names.join(", "))
            }
            Self::Patch { target, change, .. } => format!("patch {target}: {}", change.describe()),
            Self::PullImages { images, .. } => match images.as_slice() {
                [image] => format!("pull image {image}"),
                several => format!("pull images at once: {}", several.join(", ")),
            },
            Self::NewSecret { kind, .. } => format!("generate {}", kind.title()),
            Self::Record { name, value } => format!("record {name} = {value}"),
            Self::Wait { condition, timeout, .. } => {
                format!("wait up to {} s until {}", timeout.as_secs(), condition.describe())
            }
            Self::Action(action) => action.describe(),
        }
    }
}

fn in_words(what: &[Removal]) -> String {
    what.iter().map(Removal::describe).collect::<Vec<_>>().join(", ")
}

fn describe_object(object: &ObjectSource) -> String {
    match object {
        ObjectSource::Plain(value) => {
            ObjectRef::of(value).map_or_else(|_| "object".into(), |name| name.to_string())
        }
        ObjectSource::Made(maker) => maker.describe(),
    }
}

fn verb_name(verb: ServiceVerb) -> &'static str {
    match verb {
        ServiceVerb::Start => "start",
        ServiceVerb::Restart => "restart",
        ServiceVerb::Stop => "stop",
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}
