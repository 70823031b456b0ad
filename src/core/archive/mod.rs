//! Archives of what is removed from a machine: a gzipped tar that any tar reads, and the way back from it.
//!
//! What is archived, removed and brought back is counted in *units*: a whole path, or each entry of a directory whose
//! contents go. A unit is on the machine or it is not; there is no half of one, whenever a process dies.

mod attributes;
mod read;
#[cfg(test)]
mod tests;
pub mod tree;
mod write;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use read::unpack;
pub use write::{discard_partial, write};

/// Something that is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// A file or directory of the machine.
    pub path: PathBuf,
    /// Only what is in the directory goes; the directory itself stays.
    #[serde(default)]
    pub contents_only: bool,
}

impl Removal {
    /// The file or directory itself.
    pub fn whole(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), contents_only: false }
    }

    /// What is in the directory.
    pub fn contents(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), contents_only: true }
    }

    /// The unit that a path belongs to; `None` where the removal does not touch the path.
    pub fn unit(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.path).ok()?;
        if !self.contents_only {
            return Some(self.path.clone());
        }
        below.components().next().map(|first| self.path.join(first))
    }

    /// The directory that holds the units.
    pub fn dir(&self) -> &Path {
        if self.contents_only { &self.path } else { self.path.parent().unwrap_or(Path::new("/")) }
    }

    /// In words.
    pub fn describe(&self) -> String {
        let path = self.path.display();
        if self.contents_only { format!("the contents of {path}") } else { path.to_string() }
    }
}

/// What was archived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes before compression.
    pub bytes: u64,
}

/// Begins the name of a unit while it is being removed.
const REMOVED: &str = ".rkadm-removed.";
/// Begins the name of a unit while it is being brought back.
const UNPACKING: &str = ".rkadm-unpacking.";

/// The name of a unit for the time that it is neither here nor gone.
fn aside(unit: &Path, prefix: &str) -> PathBuf {
    let name = unit.file_name().unwrap_or_default().to_string_lossy();
    unit.with_file_name(format!("{prefix}{name}"))
}

/// Whether a name was given by [`aside`].
fn is_aside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(REMOVED) || name.starts_with(UNPACKING)
}

/// Where a path of the machine whose file system is at `root` really is.
fn below(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new("/") { path.to_owned() } else { root.join(path.strip_prefix("/").unwrap_or(path)) }
}
