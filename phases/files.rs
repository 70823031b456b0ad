//! Steps for files, only where the host differs from what is wanted.

use std::path::{Path, PathBuf};

use rkadm_core::{
    engine::{PhaseError, PlanCx, Seen, Step, content::Content},
    host::{FileKind, HostError},
    text::sha256_hex,
};

/// A file whose content is known now. No step when it is there already, with these permission bits.
pub async fn text_file(
    cx: &PlanCx<'_>,
    path: PathBuf,
    mode: u32,
    text: String,
) -> Result<Option<Step>, PhaseError> {
    let seen = match cx.host.read(&path).await {
        Ok(None) => Seen::Absent,
        Ok(Some(bytes)) if bytes == text.as_bytes() => return mode_of(cx, path, mode).await,
        Ok(Some(bytes)) => Seen::Sha256(sha256_hex(&bytes)),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Step::WriteFile { path, mode, content: Content::text(text), seen }))
}

/// A file that is not there yet and whose content is made at apply time.
pub fn new_file(path: PathBuf, mode: u32, content: Content) -> Step {
    Step::WriteFile { path, mode, content, seen: Seen::Absent }
}

async fn mode_of(cx: &PlanCx<'_>, path: PathBuf, mode: u32) -> Result<Option<Step>, PhaseError> {
    let stat = cx.host.stat(&path).await?;
    Ok(stat.filter(|stat| stat.mode != mode).map(|_| Step::SetMode { path, mode }))
}

/// The directory and those above it, as far as they are missing, outermost first.
pub async fn directory(cx: &PlanCx<'_>, path: &Path, mode: u32) -> Result<Vec<Step>, PhaseError> {
    let mut missing = vec![];
    for dir in path.ancestors() {
        match cx.host.stat(dir).await? {
            None => missing.push(dir.to_owned()),
            Some(stat) if stat.kind == FileKind::Dir => break,
            Some(_) => {
                return Err(PhaseError::Unusable {
                    message: format!("{} is not a directory", dir.display()),
                    hint: "move it away, or configure another directory".into(),
                });
            }
        }
    }
    missing.reverse();
    Ok(missing.into_iter().map(|path| Step::EnsureDir { path, mode, owned: false }).collect())
}

/// A file that may be there, be absent, or be planned by an earlier phase of a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// Nothing there.
    Absent,
    /// Its content.
    Bytes(Vec<u8>),
    /// A dry run will make it.
    Planned,
}

impl Existing {
    /// Reads a file.
    pub async fn at(cx: &PlanCx<'_>, path: &Path) -> Result<Self, PhaseError> {
        match cx.host.read(path).await {
            Ok(None) => Ok(Self::Absent),
            Ok(Some(bytes)) => Ok(Self::Bytes(bytes)),
            Err(HostError::KnownAfterApply(_)) => Ok(Self::Planned),
            Err(error) => Err(error.into()),
        }
    }
}
