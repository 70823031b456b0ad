//! What another hand made of a file that an operation wrote: a rollback never destroys it.

use std::path::{Path, PathBuf};

use super::{act::StepError, undo::Saver};
use crate::{host::Actuator, text::sha256_hex};

/// What another hand had made of a file that a rollback took back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The file.
    pub path: PathBuf,
    /// Where its content is kept; `None` when it was left in its place.
    pub copy: Option<String>,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        match &self.copy {
            Some(copy) => {
                write!(f, "{path} was changed after rkadm wrote it: that content is kept as {copy}")
            }
            None => write!(f, "{path} is not what rkadm would have written: it is left as it is"),
        }
    }
}

/// Keeps the file's content when it has none of the expected digests; where the step may never have acted, it is left
/// in its place.
pub(super) async fn keep_foreign(
    host: &dyn Actuator,
    saver: &dyn Saver,
    path: &Path,
    acted: bool,
    expected: &[Option<&str>],
) -> Result<Option<Foreign>, StepError> {
    let Some(bytes) = host.read(path).await? else { return Ok(None) };
    let found = sha256_hex(&bytes);
    if expected.contains(&Some(found.as_str())) {
        return Ok(None);
    }
    let copy = || saver.save(&bytes).map_err(|error| StepError::saved(&path.display().to_string(), error));
    let copy = if acted { Some(copy()?) } else { None };
    Ok(Some(Foreign { path: path.to_owned(), copy }))
}
