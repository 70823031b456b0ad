//! The operator's patches of what rkadm makes.

use std::path::Path;

use rkadm_core::{
    engine::{PhaseError, PlanCx},
    host::{FileKind, Probe},
    manifest::patch::{self, Patch, PatchTarget, Patches},
};
use serde_json::Value;

use crate::init::Cluster;

/// The patches of the configured directory; none where none is configured.
pub async fn read(cx: &PlanCx<'_>, cluster: &Cluster) -> Result<Vec<Patch>, PhaseError> {
    let found = found(cx.host, cluster).await?;
    let dir = cluster.config.patches_dir.clone().unwrap_or_default();
    for (name, why) in found.ignored {
        cx.warn(format!("{}: ignored: {why}", Path::new(&dir).join(name).display()));
    }
    Ok(found.patches)
}

/// The same, with what is no patch.
pub async fn found(host: &dyn Probe, cluster: &Cluster) -> Result<Patches, PhaseError> {
    let Some(dir) = &cluster.config.patches_dir else { return Ok(Patches::default()) };
    let dir = Path::new(dir);
    let wrong = match host.stat(dir).await? {
        None => Some("does not exist"),
        Some(stat) if stat.kind == FileKind::File => Some("is a file"),
        Some(_) => None,
    };
    if let Some(wrong) = wrong {
        return Err(PhaseError::Unusable {
            message: format!("the patches directory {} {wrong}", dir.display()),
            hint: "correct --patches or patches.directory; the directory must stay on the node for upgrades"
                .into(),
        });
    }
    let mut files = vec![];
    for name in host.list(dir).await? {
        let path = dir.join(&name);
        if host.stat(&path).await?.is_none_or(|stat| stat.kind != FileKind::File) {
            continue;
        }
        if let Some(bytes) = host.read(&path).await? {
            files.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    patch::read(&files).map_err(|error| unusable(dir, &error))
}

/// Applies those of the patches that are meant for this document.
pub fn apply(
    cluster: &Cluster,
    document: &mut Value,
    target: PatchTarget,
    patches: &[Patch],
) -> Result<(), PhaseError> {
    let dir = cluster.config.patches_dir.clone().unwrap_or_default();
    patch::apply(document, target, patches).map(drop).map_err(|error| unusable(Path::new(&dir), &error))
}

/// The error with its causes.
pub fn unusable(dir: &Path, error: &dyn std::error::Error) -> PhaseError {
    let mut message = format!("{}: {error}", dir.display());
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    PhaseError::Unusable { message, hint: "correct the patch, or move it out of the directory".into() }
}
