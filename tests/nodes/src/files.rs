//! File system helpers that are careful about mounts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::cmd;

/// Mount points at or below `path`, deepest last in mount order.
pub(crate) fn mounts_below(path: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mount table")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(path))
        .collect())
}

/// Unmounts everything at and below `path`.
pub(crate) fn unmount_below(path: &Path) -> Result<()> {
    for point in mounts_below(path)?.iter().rev() {
        let point = point.to_string_lossy();
        // Lazily as the second try: a process of somebody else may stand in there.
        cmd::call(&["umount", &point]).or_else(|_| cmd::call(&["umount", "-l", &point]))?;
    }
    Ok(())
}

/// Removes a tree. Never follows a mount out of it: what is mounted inside is unmounted first.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    unmount_below(path)?;
    let left = mounts_below(path)?;
    ensure!(left.is_empty(), "{} still has mounts inside: {left:?}", path.display());
    fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))
}

pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces a file in one step, so that a reader in another process never sees half of it.
pub(crate) fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let new = path.with_added_extension("new");
    write(&new, content)?;
    fs::rename(&new, path).with_context(|| format!("cannot replace {}", path.display()))
}

pub(crate) fn symlink(target: &str, link: &Path) -> Result<()> {
    if let Some(parent) = link.parent() {
        create_dir(parent)?;
    }
    if link.is_symlink() {
        fs::remove_file(link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    std::os::unix::fs::symlink(target, link).with_context(|| format!("cannot link {}", link.display()))
}

/// The entries of a directory, sorted; none if there is no such directory.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// All files below a directory, sorted, as paths relative to it.
pub(crate) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in entries(&next) {
            if entry.is_dir() && !entry.is_symlink() {
                todo.push(entry);
            } else if let Ok(relative) = entry.strip_prefix(dir) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    found
}
