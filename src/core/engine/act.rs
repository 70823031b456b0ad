//! Carries out one step.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Cancel, Event, Reporter, Seen, Step,
    content::Content,
    pods,
    step::{ObjectSource, PatchSource},
    store::Store,
    wait::{self, WaitError},
};
use crate::{
    host::{Actuator, ApiAccess, FileKind, HostError, images::pull_images},
    kube::{KubeError, ObjectRef},
    pki::{CertificateError, IssueError, KeyAlgorithm, KeyError, KeyPool, PrivateKey, RandomUnavailable},
    text::{chain, sha256_hex},
};

/// What is wrong with a key or certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A private key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It cannot be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

/// Why a step could not be carried out or taken back.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The host said no.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Another hand changed a file between plan and act.
    #[error("{path} {what}: something else changes this machine at the same time", path = path.display())]
    WorldChanged {
        /// Which.
        path: PathBuf,
        /// How it differs from what the plan saw.
        what: String,
    },
    /// A key or certificate on the host cannot be used.
    #[error("{path}: {source}", path = path.display())]
    PkiFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: PkiError,
    },
    /// A key or certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The content of a file or object cannot be made.
    #[error("{0}")]
    Content(String),
    /// A file that the step needs is not there.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// Something did not come up.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A kept copy or secret cannot be written or read.
    #[error("cannot keep or read the copy {name}: {source}")]
    Saved {
        /// Which.
        name: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The journal names an action that this version does not have.
    #[error("this version of rkadm does not know the action {0:?}; use the version that wrote the journal")]
    UnknownAction(String),
    /// The operator asked to stop.
    #[error("stopped by {0}")]
    Cancelled(&'static str),
}

impl StepError {
    /// A key or certificate file that cannot be used.
    pub fn pki(path: &Path, source: impl Into<PkiError>) -> Self {
        Self::PkiFile { path: path.to_owned(), source: source.into() }
    }

    /// A copy that cannot be kept or read.
    pub fn saved(name: &str, source: std::io::Error) -> Self {
        Self::Saved { name: name.to_owned(), source }
    }

    /// What the operator can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Host(error) if error.is_disk_full() => {
                vec!["the file system is full: free some space, then run the command again".into()]
            }
            Self::Host(error) if error.is_read_only() => {
                vec!["the file system is read-only: remount it writable (dmesg may say why it is not)".into()]
            }
            Self::Host(error) if error.is_busy() => {
                vec!["`fuser -vm PATH` shows who uses it; `unmountFlags: [MNT_DETACH]` in a ResetConfiguration detaches it all the same".into()]
            }
            Self::Wait(error) => error.hints(),
            _ => vec![],
        }
    }
}

/// What an acting step may use.
pub struct ActCx<'a> {
    /// The host.
    pub host: &'a dyn Actuator,
    /// Outputs and secrets of this operation.
    pub store: &'a Store,
    /// Keys made ahead.
    pub keys: &'a Arc<KeyPool>,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
    /// Whom to tell.
    pub reporter: &'a dyn Reporter,
    /// The phase at work.
    pub phase: &'a str,
}

impl ActCx<'_> {
    /// A file that must be there.
    pub async fn read(&self, path: &Path) -> Result<Vec<u8>, StepError> {
        self.host.read(path).await?.ok_or_else(|| StepError::Missing(path.to_owned()))
    }

    /// A new private key, from those made ahead if there is one.
    pub async fn new_key(&self, algorithm: KeyAlgorithm) -> Result<PrivateKey, StepError> {
        let keys = Arc::clone(self.keys);
        let key = tokio::task::spawn_blocking(move || keys.take(algorithm)).await;
        match key {
            Ok(key) => Ok(key.map_err(PkiError::from)?),
            Err(error) => Err(StepError::Content(format!("key generation stopped: {error}"))),
        }
    }

    /// The result of this work; or, when the operator asks to stop first, that. For work that is harmless to abandon.
    pub async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        tokio::select! {
            result = work => result,
            signal = self.cancel.cancelled() => Err(StepError::Cancelled(signal)),
        }
    }

    /// A secret of this operation that must be there.
    pub fn secret(&self, name: &str) -> Result<String, StepError> {
        let secret = self.store.secret(name).map_err(|error| StepError::saved(name, error))?;
        secret
            .ok_or_else(|| StepError::Content(format!("the secret {name:?} was not made in this operation")))
    }
}

/// Turns files and objects that are made at apply time into plain ones, so that their undo and their act see the same.
pub async fn materialise(step: Step, cx: &ActCx<'_>) -> Result<Step, StepError> {
    let (access, objects, dies_with) = match step {
        Step::Apply { access, objects, dies_with } => (access, objects, dies_with),
        Step::WriteFile { path, mode, content, seen } if content.made().is_none() => {
            let content = Content::Private(content.make(cx).await?);
            return Ok(Step::WriteFile { path, mode, content, seen });
        }
        step => return Ok(step),
    };
    let mut plain = Vec::with_capacity(objects.len());
    for object in objects {
        plain.push(match object {
            ObjectSource::Made(maker) => ObjectSource::Plain(Box::new(maker.make(cx).await?)),
            known @ ObjectSource::Plain(_) => known,
        });
    }
    Ok(Step::Apply { access, objects: plain, dies_with })
}

/// Carries out a step. Safe to repeat.
///
/// # Errors
/// What went wrong; the step may have acted in part, which its undo covers.
pub async fn act(step: &Step, cx: &ActCx<'_>) -> Result<(), StepError> {
    match step {
        Step::EnsureDir { path, mode, .. } => ensure_dir(cx.host, path, *mode).await,
        Step::WriteFile { path, mode, content, seen } => {
            check_seen(cx.host, path, seen).await?;
            let bytes = content.make(cx).await?;
            Ok(cx.host.write(path, &bytes, *mode).await?)
        }
        Step::RemoveFile { path, seen } => {
            check_seen(cx.host, path, seen).await?;
            Ok(cx.host.remove_file(path).await?)
        }
        Step::SetMode { path, mode } => Ok(cx.host.set_mode(path, *mode).await?),
        Step::Service { unit, verb } => Ok(cx.host.control_service(unit, *verb).await?),
        Step::Run { argv, .. } => Ok(cx.host.run(argv).await?),
        Step::Feed { argv, input, .. } => Ok(cx.host.feed(argv, input).await?),
        Step::StopPods { socket, lenient } => pods::stop_all(cx, socket, *lenient).await,
        Step::Unmount { dir, flags } => {
            // The last mount first: it may lie on top of an earlier one.
            for mount in cx.host.mounts_below(dir).await?.into_iter().rev() {
                cx.host.unmount_with(&mount, flags).await?;
            }
            Ok(())
        }
        Step::Archive { archive, what, leave_out } => Ok(cx.host.archive(archive, what, leave_out).await?),
        Step::Remove { what, .. } => Ok(cx.host.remove_units(what).await?),
        Step::DeleteObject { access, target, .. } => {
            cx.unless_cancelled(async { Ok(cx.host.delete(access, target).await?) }).await
        }
        Step::Apply { access, objects, .. } => {
            let plain = objects.iter().filter_map(plain_object);
            let all = futures::future::try_join_all(plain.map(|object| apply(cx, access, object)));
            cx.unless_cancelled(async { all.await.map(drop) }).await
        }
        Step::Patch { access, target, change, .. } => {
            cx.unless_cancelled(patch(cx.host, access, target, change)).await
        }
        Step::PullImages { socket, images } => {
            cx.unless_cancelled(async {
                let pulled = images.iter().zip(pull_images(cx.host, socket, images, true).await);
                let mut failed: Vec<_> =
                    pulled.filter_map(|(image, pull)| Some((image, pull.err()?))).collect();
                // One error keeps its kind; several are told together.
                match failed.len() {
                    0 => Ok(()),
                    1 => Err(failed.remove(0).1.into()),
                    _ => {
                        let each = failed.iter().map(|(image, error)| format!("{image}: {}", chain(error)));
                        Err(StepError::Content(each.collect::<Vec<_>>().join("; ")))
                    }
                }
            })
            .await
        }
        Step::NewSecret { name, kind } => match cx.store.secret(name) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                let secret = kind.generate().map_err(PkiError::from)?;
                cx.store.keep_secret(name, &secret).map_err(|error| StepError::saved(name, error))
            }
            Err(error) => Err(StepError::saved(name, error)),
        },
        // The runner records it in the journal.
        Step::Record { .. } | Step::CommitPoint { .. } => Ok(()),
        Step::Wait { condition, timeout, setting } => {
            cx.unless_cancelled(async { Ok(wait::wait(cx, condition, *timeout, *setting).await?) }).await
        }
        Step::Action(action) => action.act(cx).await,
    }
}

/// How long an address may seem taken. The API server's repair loop frees one that no Service has after a minute.
const ORPHANED_ADDRESS: Duration = Duration::from_secs(150);

async fn apply(cx: &ActCx<'_>, access: &ApiAccess, object: &Value) -> Result<(), StepError> {
    let (began, mut told) = (Instant::now(), false);
    loop {
        let error = match cx.host.apply(access, object).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // An API server that died between taking a Service's address and storing the Service leaves the address
        // taken. Kubernetes has no reason code for it, so the text has to tell.
        let orphaned = matches!(&error, HostError::Api(KubeError::Invalid { .. }))
            && object["kind"] == "Service"
            && error.to_string().contains("already allocated");
        if !orphaned || began.elapsed() > ORPHANED_ADDRESS {
            return Err(error.into());
        }
        if !std::mem::replace(&mut told, true) {
            let missing =
                "the API server to free the Service's address, which an earlier one left taken".into();
            cx.reporter.report(Event::Waiting { phase: cx.phase.to_owned(), missing });
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// How often a patch is made anew because another writer got in between.
const PATCH_TRIES: u32 = 5;

async fn patch(
    host: &dyn Actuator,
    access: &ApiAccess,
    target: &ObjectRef,
    change: &PatchSource,
) -> Result<(), StepError> {
    let mut tries = 1;
    loop {
        let (patch, _) = made(host, access, target, change).await?;
        match host.patch(access, target, &patch).await {
            Err(HostError::Api(KubeError::Conflict { .. })) if tries < PATCH_TRIES => tries += 1,
            // Made anew from the live object, it may be sent again where a blind repeat may not.
            Err(HostError::Api(error)) if error.is_transient() && tries < PATCH_TRIES => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                tries += 1;
            }
            result => return Ok(result?),
        }
    }
}

/// The patch and its way back. A made one holds for the version of the object that it was made from.
pub(super) async fn made(
    host: &dyn Actuator,
    access: &ApiAccess,
    target: &ObjectRef,
    change: &PatchSource,
) -> Result<(Value, Value), StepError> {
    let maker = match change {
        PatchSource::Plain { patch, undo } => return Ok((patch.clone(), undo.clone())),
        PatchSource::Made(maker) => maker,
    };
    let live = host.object(access, target).await?;
    let live = live.ok_or_else(|| StepError::Content(format!("{target} does not exist")))?;
    let (mut patch, undo) = maker.make(&live);
    if let Some(version) = live.pointer("/metadata/resourceVersion") {
        patch["metadata"]["resourceVersion"] = version.clone();
    }
    Ok((patch, undo))
}

fn plain_object(object: &ObjectSource) -> Option<&Value> {
    match object {
        ObjectSource::Plain(value) => Some(value),
        ObjectSource::Made(_) => None,
    }
}

async fn ensure_dir(host: &dyn Actuator, path: &Path, mode: u32) -> Result<(), StepError> {
    match host.stat(path).await? {
        None => Ok(host.make_dir(path, mode).await?),
        Some(stat) if stat.kind != FileKind::Dir => {
            Err(StepError::WorldChanged { path: path.to_owned(), what: "is not a directory".into() })
        }
        Some(stat) if stat.mode != mode => Ok(host.set_mode(path, mode).await?),
        Some(_) => Ok(()),
    }
}

/// Fails when the file is no longer what the plan saw.
async fn check_seen(host: &dyn Actuator, path: &Path, seen: &Seen) -> Result<(), StepError> {
    let now = host.read(path).await?;
    let what = match (seen, &now) {
        (Seen::Absent, None) => return Ok(()),
        (Seen::Sha256(hash), Some(bytes)) if *hash == sha256_hex(bytes) => return Ok(()),
        (Seen::Absent, Some(_)) => "appeared since it was planned",
        (Seen::Sha256(_), None) => "disappeared since it was planned",
        (Seen::Sha256(_), Some(_)) => "changed since it was planned",
    };
    Err(StepError::WorldChanged { path: path.to_owned(), what: what.into() })
}
