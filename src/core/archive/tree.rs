//! Trees on the disk: how much they hold, and their removal unit by unit.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{REMOVED, Removal, aside, below, is_aside};
use crate::preflight::parse;

/// An error with the path that it is about.
pub type At = (PathBuf, io::Error);

fn at(path: &Path) -> impl Fn(io::Error) -> At + '_ {
    move |error| (path.to_owned(), error)
}

/// Every mount point of this process's view, in the order of the mounts.
pub fn mount_points() -> Result<Vec<PathBuf>, At> {
    let table = Path::new("/proc/self/mounts");
    let text = fs::read(table).map_err(at(table))?;
    Ok(parse::mounts(&text).into_iter().map(|mount| PathBuf::from(mount.target)).collect())
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The units of a removal that are there, sorted, as paths of the machine.
pub fn units(root: &Path, removal: &Removal) -> Result<Vec<PathBuf>, At> {
    let real = below(root, &removal.path);
    if !removal.contents_only {
        return Ok(if fs::symlink_metadata(&real).is_ok() { vec![removal.path.clone()] } else { vec![] });
    }
    let entries = match fs::read_dir(&real) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(vec![]),
        Err(error) => return Err((real, error)),
    };
    let mut units = vec![];
    for entry in entries {
        units.push(removal.path.join(entry.map_err(at(&real))?.file_name()));
    }
    units.sort();
    Ok(units)
}

/// Bytes on the disk of what a removal would take, without what is mounted there or left out.
pub fn size(root: &Path, removal: &Removal, leave_out: &[PathBuf]) -> Result<u64, At> {
    let mounts = mount_points()?;
    let mut bytes = 0;
    for unit in units(root, removal)? {
        bytes += size_of(&below(root, &unit), &unit, &mounts, leave_out)?;
    }
    Ok(bytes)
}

fn size_of(real: &Path, path: &Path, mounts: &[PathBuf], leave_out: &[PathBuf]) -> Result<u64, At> {
    if leave_out.iter().any(|left| left == path) || mounts.iter().any(|mount| mount == real) {
        return Ok(0);
    }
    let meta = match fs::symlink_metadata(real) {
        Ok(meta) => meta,
        // It is gone already: somebody else is at work there.
        Err(error) if is_absent(&error) => return Ok(0),
        Err(error) => return Err((real.to_owned(), error)),
    };
    let mut bytes = meta.blocks() * 512;
    if meta.is_dir() {
        let entries = match fs::read_dir(real) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(bytes),
            Err(error) => return Err((real.to_owned(), error)),
        };
        for entry in entries {
            let name = entry.map_err(at(real))?.file_name();
            bytes += size_of(&real.join(&name), &path.join(&name), mounts, leave_out)?;
        }
    }
    Ok(bytes)
}

/// Removes units, each at once for everybody who looks: a directory gets another name first. What is mounted in one stays,
/// with the directories that lead there. In this order, also for a power loss.
pub fn remove(root: &Path, what: &[Removal]) -> Result<(), At> {
    let mounts = mount_points()?;
    let mut doomed = vec![];
    for (position, removal) in what.iter().enumerate() {
        for unit in units(root, removal)? {
            doomed.extend(put_aside(&below(root, &unit), &mounts)?);
        }
        // Removals from one directory reach the disk together.
        let next = what.get(position + 1).map(Removal::dir);
        if next != Some(removal.dir()) {
            sync(&below(root, removal.dir()))?;
        }
    }
    for dir in doomed {
        remove_below(&dir, &mounts)?;
    }
    for removal in what {
        sweep(root, removal)?;
    }
    Ok(())
}

/// Takes a unit from its place; a directory that is still to be removed is returned.
fn put_aside(unit: &Path, mounts: &[PathBuf]) -> Result<Option<PathBuf>, At> {
    let meta = match fs::symlink_metadata(unit) {
        Ok(meta) => meta,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err((unit.to_owned(), error)),
    };
    if !meta.is_dir() {
        return fs::remove_file(unit).map_err(at(unit)).map(|()| None);
    }
    let resolved = fs::canonicalize(unit).unwrap_or_else(|_| unit.to_owned());
    if is_aside(unit) || mounts.iter().any(|mount| mount.starts_with(&resolved)) {
        return Ok(Some(resolved));
    }
    let doomed = aside(unit, REMOVED);
    // What an earlier process left of one with this name.
    if fs::symlink_metadata(&doomed).is_ok() {
        remove_below(&doomed, mounts)?;
    }
    fs::rename(unit, &doomed).map_err(at(unit))?;
    Ok(Some(doomed))
}

/// Removes what a process that died left half removed or half brought back.
pub fn sweep(root: &Path, removal: &Removal) -> Result<(), At> {
    let dir = below(root, removal.dir());
    let names = match fs::read_dir(&dir) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
        Err(error) if is_absent(&error) => vec![],
        Err(error) => return Err((dir, error)),
    };
    let mounts = mount_points()?;
    for path in names.into_iter().filter(|path| is_aside(path)) {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => remove_below(&path, &mounts)?,
            _ => fs::remove_file(&path).map_err(at(&path))?,
        }
    }
    Ok(())
}

/// Leaves what is mounted in it, and the directories that lead there. Bind mounts of the same file system count too.
pub fn remove_below(dir: &Path, mounts: &[PathBuf]) -> Result<(), At> {
    if mounts.iter().any(|mount| mount == dir) {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        let meta = fs::symlink_metadata(&path).map_err(at(&path))?;
        if meta.is_dir() {
            remove_below(&path, mounts)?;
        } else {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    if mounts.iter().any(|mount| mount.starts_with(dir)) {
        return Ok(());
    }
    match fs::remove_dir(dir) {
        Err(error) if !is_absent(&error) => Err((dir.to_owned(), error)),
        _ => Ok(()),
    }
}

pub(super) fn sync_parent(path: &Path) -> Result<(), At> {
    sync(path.parent().unwrap_or(Path::new("/")))
}

/// A directory that is not there has nothing to be synced.
fn sync(dir: &Path) -> Result<(), At> {
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        Err(error) if !is_absent(&error) => Err((dir.to_owned(), error)),
        _ => Ok(()),
    }
}
