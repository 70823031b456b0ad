//! What takes a step back, decided and journalled before the step acts.

mod objects;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ActionRegistry, Step,
    act::StepError,
    foreign::{Foreign, keep_foreign},
    operation::ToUndo,
};
use crate::{
    archive::Removal,
    host::{Actuator, ApiAccess, FileKind, ServiceState, ServiceVerb},
    kube::ObjectRef,
    text::sha256_hex,
};

/// How one step is taken back. Safe to repeat, and safe when the step never acted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Undo {
    /// Nothing to take back.
    Nothing,
    /// The file was not there before.
    RemoveFile {
        /// Which.
        path: PathBuf,
        /// SHA-256 (hex) of what the step writes: other content is another hand's.
        #[serde(default)]
        wrote: Option<String>,
    },
    /// The file's earlier content is kept beside the journal.
    RestoreFile {
        /// Which.
        path: PathBuf,
        /// Name of the kept copy.
        saved: String,
        /// Permission bits it had.
        mode: u32,
        /// SHA-256 (hex) of what the step writes, `None` where it removes: other content is another hand's.
        #[serde(default)]
        wrote: Option<String>,
    },
    /// The directory was not there before; it goes when it is empty again. What others put there keeps it.
    RemoveDir {
        /// Which.
        path: PathBuf,
    },
    /// The directory was not there before; all that came into it is this operation's and goes with it.
    RemoveTree {
        /// Which.
        path: PathBuf,
    },
    /// The directory was there before, empty; all that came into it goes.
    EmptyDir {
        /// Which.
        path: PathBuf,
        /// Permission bits it had.
        mode: u32,
    },
    /// The permission bits it had.
    SetMode {
        /// Which.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The unit's state before.
    Service {
        /// Which.
        unit: String,
        /// How it was.
        was: ServiceState,
    },
    /// The archive was not there before.
    RemoveArchive {
        /// Which.
        archive: PathBuf,
    },
    /// What was removed is in an archive: what is missing comes back from there.
    Unpack {
        /// Which archive.
        archive: PathBuf,
        /// What was to be removed.
        what: Vec<Removal>,
    },
    /// A command that takes another back.
    Run {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// Objects that were absent, and copies of those that were not.
    Objects {
        /// How to reach the API server.
        access: ApiAccess,
        /// Objects that were not there.
        created: Vec<ObjectRef>,
        /// Names of kept copies of objects that were there.
        saved: Vec<String>,
        /// Name of a kept copy of all that the step writes: what differs from it is another hand's.
        #[serde(default)]
        wrote: Option<String>,
        /// Removing this directory takes the objects with it.
        dies_with: Option<PathBuf>,
    },
    /// A JSON merge patch back.
    Patch {
        /// How to reach the API server.
        access: ApiAccess,
        /// Which object.
        target: ObjectRef,
        /// The change back.
        patch: Value,
        /// Removing this directory takes the object with it.
        dies_with: Option<PathBuf>,
    },
    /// A registered action's own undo.
    Action {
        /// Its name.
        name: String,
        /// What it noted before it acted.
        data: Value,
    },
}

/// Keeps copies of what a step replaces.
pub trait Saver: Send + Sync {
    /// Keeps the bytes durably and gives the name to find them under.
    fn save(&self, bytes: &[u8]) -> std::io::Result<String>;
    /// Reads a kept copy.
    fn saved(&self, name: &str) -> std::io::Result<Vec<u8>>;
}

impl ToUndo {
    /// Takes the step back. `removed` are directories that the same rollback removes anyway. What another hand made of
    /// the file in the meantime is kept first and returned; where the step may never have acted, it is left in place.
    ///
    /// # Errors
    /// What could not be taken back.
    pub async fn carry_out(
        &self,
        host: &dyn Actuator,
        saver: &dyn Saver,
        registry: &ActionRegistry,
        removed: &[PathBuf],
    ) -> Result<Vec<Foreign>, StepError> {
        match &self.undo {
            Undo::RemoveFile { path, wrote } => {
                let foreign = keep_foreign(host, saver, path, self.acted, &[wrote.as_deref()]).await?;
                host.discard_partial(path).await?;
                if let Some(Foreign { copy: None, .. }) = foreign {
                    return Ok(foreign.into_iter().collect());
                }
                host.remove_file(path).await?;
                Ok(foreign.into_iter().collect())
            }
            Undo::RestoreFile { path, saved, mode, wrote } => {
                let bytes = saver.saved(saved).map_err(|error| StepError::saved(saved, error))?;
                let before = sha256_hex(&bytes);
                let foreign =
                    keep_foreign(host, saver, path, self.acted, &[wrote.as_deref(), Some(&before)]).await?;
                host.discard_partial(path).await?;
                if let Some(Foreign { copy: None, .. }) = foreign {
                    return Ok(foreign.into_iter().collect());
                }
                // Unchanged files are left alone, so that watchers of the path see nothing.
                if host.read(path).await?.as_deref() == Some(&bytes) {
                    host.set_mode(path, *mode).await?;
                } else {
                    host.write(path, &bytes, *mode).await?;
                }
                Ok(foreign.into_iter().collect())
            }
            undo @ Undo::Objects { dies_with, .. }
                if !dies_with.as_ref().is_some_and(|dir| removed.contains(dir)) =>
            {
                objects::take_back(host, saver, undo).await
            }
            other => other.carry_out_plainly(host, registry, removed).await.map(|()| vec![]),
        }
    }
}

impl Undo {
    /// Decides how the step will be taken back, from what is there now.
    ///
    /// # Errors
    /// The host could not be read, or a copy could not be kept.
    pub async fn prepare(step: &Step, host: &dyn Actuator, saver: &dyn Saver) -> Result<Self, StepError> {
        match step {
            Step::EnsureDir { path, owned, .. } => before_dir(host, path, *owned).await,
            Step::WriteFile { path, content, .. } => {
                before_file(host, saver, path, content.made().map(sha256_hex)).await
            }
            Step::RemoveFile { path, .. } => before_file(host, saver, path, None).await,
            Step::SetMode { path, .. } => Ok(match host.stat(path).await? {
                Some(stat) => Self::SetMode { path: path.clone(), mode: stat.mode },
                None => Self::Nothing,
            }),
            Step::Service { unit, .. } => {
                Ok(Self::Service { unit: unit.clone(), was: host.service(unit).await? })
            }
            Step::Archive { archive, .. } => Ok(Self::RemoveArchive { archive: archive.clone() }),
            Step::Remove { what, archive } => Ok(match archive {
                Some(archive) => Self::Unpack { archive: archive.clone(), what: what.clone() },
                None => Self::Nothing,
            }),
            Step::DeleteObject { access, target, dies_with } => {
                objects::before_delete(host, saver, access, target, dies_with.clone()).await
            }
            Step::Run { undo, .. } => Ok(undo.clone().map_or(Self::Nothing, |argv| Self::Run { argv })),
            Step::Apply { access, objects, dies_with } => {
                objects::before_apply(host, saver, access, objects, dies_with.clone()).await
            }
            Step::Patch { access, target, change, dies_with } => Ok(Self::Patch {
                access: access.clone(),
                target: target.clone(),
                patch: super::act::made(host, access, target, change).await?.1,
                dies_with: dies_with.clone(),
            }),
            Step::Action(action) => {
                Ok(Self::Action { name: action.name().to_owned(), data: action.prepare(host).await? })
            }
            Step::Feed { .. }
            | Step::StopPods { .. }
            | Step::Unmount { .. }
            | Step::CommitPoint { .. }
            | Step::PullImages { .. }
            | Step::NewSecret { .. }
            | Step::Record { .. }
            | Step::Wait { .. } => Ok(Self::Nothing),
        }
    }

    /// What stays although the undo succeeds, in words for the operator.
    pub async fn stays(&self, host: &dyn Actuator, registry: &ActionRegistry) -> Option<String> {
        match self {
            Self::Action { name, data } => registry.find(name)?.stays(host, data).await,
            _ => None,
        }
    }

    /// What is not a single file.
    async fn carry_out_plainly(
        &self,
        host: &dyn Actuator,
        registry: &ActionRegistry,
        removed: &[PathBuf],
    ) -> Result<(), StepError> {
        match self {
            // The others are taken back by those who look at what another hand made of them.
            Self::Nothing | Self::RemoveFile { .. } | Self::RestoreFile { .. } | Self::Objects { .. } => {
                Ok(())
            }
            Self::RemoveDir { path } => Ok(host.remove_empty_dir(path).await?),
            Self::RemoveTree { path } => Ok(host.remove_tree(path).await?),
            Self::EmptyDir { path, mode } => {
                for name in host.list(path).await? {
                    host.remove_tree(&path.join(name)).await?;
                }
                Ok(host.set_mode(path, *mode).await?)
            }
            Self::SetMode { path, mode } => match host.stat(path).await? {
                Some(_) => Ok(host.set_mode(path, *mode).await?),
                None => Ok(()),
            },
            Self::Service { unit, was } => restore_service(host, unit, was).await,
            Self::Run { argv } => Ok(host.run(argv).await?),
            Self::RemoveArchive { archive } => Ok(host.remove_archive(archive).await?),
            Self::Unpack { archive, what } => Ok(host.unpack(archive, what).await?),
            Self::Patch { dies_with: Some(dir), .. } if removed.contains(dir) => Ok(()),
            Self::Patch { access, target, patch, .. } => {
                objects::patch_back(host, access, target, patch).await
            }
            Self::Action { name, data } => match registry.find(name) {
                Some(undo) => undo.undo(host, data).await,
                None => Err(StepError::UnknownAction(name.clone())),
            },
        }
    }

    /// The commands that an operator can run when the undo fails; empty where there is none.
    pub fn by_hand(&self, registry: &ActionRegistry) -> Vec<String> {
        match self {
            Self::RemoveFile { path, .. } => vec![format!("rm -f {}", path.display())],
            Self::RestoreFile { path, saved, mode, .. } => {
                vec![format!("install -m {mode:o} {saved} {}", path.display())]
            }
            Self::RemoveDir { path } => vec![format!("rmdir {}", path.display())],
            Self::RemoveTree { path } => vec![format!("rm -rf --one-file-system {}", path.display())],
            Self::EmptyDir { path, .. } => {
                vec![format!("find {} -xdev -mindepth 1 -delete", path.display())]
            }
            Self::SetMode { path, mode } => vec![format!("chmod {mode:o} {}", path.display())],
            Self::Service { unit, was } => {
                vec![format!("systemctl {} {unit}", if was.is_up() { "restart" } else { "stop" })]
            }
            Self::Run { argv } => vec![argv.join(" ")],
            Self::RemoveArchive { archive } => vec![format!("rm -f {}", archive.display())],
            Self::Unpack { archive, .. } => {
                vec![format!("tar -xpzf {} --skip-old-files -C /", archive.display())]
            }
            Self::Objects { access, created, saved, .. } => {
                let kubectl = format!("kubectl --kubeconfig {}", access.kubeconfig.display());
                let deletes = created.iter().map(|target| format!("{kubectl} delete {}", target.kubectl()));
                let applies = saved.iter().map(|file| format!("{kubectl} apply --server-side -f {file}"));
                deletes.chain(applies).collect()
            }
            Self::Patch { access, target, patch, .. } => vec![format!(
                "kubectl --kubeconfig {} patch {} --type merge -p '{patch}'",
                access.kubeconfig.display(),
                target.kubectl()
            )],
            Self::Action { name, data } => {
                registry.find(name).map(|undo| undo.by_hand(data)).unwrap_or_default()
            }
            Self::Nothing => vec![],
        }
    }
}

async fn before_dir(host: &dyn Actuator, path: &Path, owned: bool) -> Result<Undo, StepError> {
    match host.stat(path).await? {
        None if owned => Ok(Undo::RemoveTree { path: path.to_owned() }),
        None => Ok(Undo::RemoveDir { path: path.to_owned() }),
        Some(stat) if stat.kind == FileKind::Dir && owned && host.list(path).await?.is_empty() => {
            Ok(Undo::EmptyDir { path: path.to_owned(), mode: stat.mode })
        }
        Some(stat) if stat.kind == FileKind::Dir => {
            Ok(Undo::SetMode { path: path.to_owned(), mode: stat.mode })
        }
        Some(_) => Err(StepError::WorldChanged { path: path.to_owned(), what: "is not a directory".into() }),
    }
}

async fn before_file(
    host: &dyn Actuator,
    saver: &dyn Saver,
    path: &Path,
    wrote: Option<String>,
) -> Result<Undo, StepError> {
    let Some(stat) = host.stat(path).await? else {
        return Ok(Undo::RemoveFile { path: path.to_owned(), wrote });
    };
    let bytes = host.read(path).await?.unwrap_or_default();
    let saved = saver.save(&bytes).map_err(|error| StepError::saved(&path.display().to_string(), error))?;
    Ok(Undo::RestoreFile { path: path.to_owned(), saved, mode: stat.mode, wrote })
}

async fn restore_service(host: &dyn Actuator, unit: &str, was: &ServiceState) -> Result<(), StepError> {
    if !was.exists {
        return Ok(());
    }
    let now = host.service(unit).await?;
    match (was.is_up(), now.is_up()) {
        (false, true) => Ok(host.control_service(unit, ServiceVerb::Stop).await?),
        // Also where both are up: the unit must run with the files as they are after the rollback.
        // One that the service manager tried to start, again and again, is left to that: it need not succeed now.
        (true, _) => match host.control_service(unit, ServiceVerb::Restart).await {
            Err(_) if was.active != "active" => Ok(()),
            result => Ok(result?),
        },
        (false, false) => Ok(()),
    }
}
