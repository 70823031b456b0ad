//! Files: reads, and changes that are atomic and durable.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FallocateFlags, Mode, OFlags};

use crate::{
    archive::tree,
    host::{FileKind, FileStat, HostError, Space},
};

fn fail<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> HostError + 'a {
    move |source| HostError::File { what, path: path.to_owned(), source }
}

pub(super) fn stat(path: &Path) -> Result<Option<FileStat>, HostError> {
    match fs::symlink_metadata(path) {
        Ok(meta) => {
            // A link to a directory or file on another disk is as good as the thing itself.
            let meta = if meta.is_symlink() { fs::metadata(path).unwrap_or(meta) } else { meta };
            let kind = match meta.file_type() {
                kind if kind.is_file() => FileKind::File,
                kind if kind.is_dir() => FileKind::Dir,
                _ => FileKind::Other,
            };
            Ok(Some(FileStat { kind, mode: meta.mode() & 0o7777 }))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(fail("look at", path)(error)),
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, HostError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(fail("read", path)(error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn list(dir: &Path) -> Result<Vec<String>, HostError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(vec![]),
        Err(error) => return Err(fail("list", dir)(error)),
    };
    let mut names = vec![];
    for entry in entries {
        names.push(entry.map_err(fail("list", dir))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

pub(super) fn space(path: &Path) -> Option<Space> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    let stats = rustix::fs::statvfs(existing).ok()?;
    Some(Space {
        bytes_free: stats.f_bavail * stats.f_frsize,
        bytes: stats.f_blocks * stats.f_frsize,
        inodes_free: stats.f_favail,
        inodes: stats.f_files,
    })
}

/// What etcd does for every write: append to a preallocated log, then wait until the disk has it.
pub(super) fn sync_latency(path: &Path, budget: Duration) -> Option<Duration> {
    /// As much as a request of a small object.
    const BLOCK: [u8; 2300] = [b'r'; 2300];
    const FEWEST: usize = 10;
    const MOST: usize = 200;
    let dir = path.ancestors().find(|ancestor| ancestor.is_dir())?;
    // A file without a name is gone with its descriptor, however this process ends.
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).ok()?);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, (BLOCK.len() * MOST) as u64).ok()?;
    file.sync_all().ok()?;
    let (began, mut times) = (Instant::now(), vec![]);
    while times.len() < MOST && (times.len() < FEWEST || began.elapsed() < budget) {
        let start = Instant::now();
        (&file).write_all(&BLOCK).ok()?;
        file.sync_data().ok()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied()
}

pub(super) fn make_dir(path: &Path, mode: u32) -> Result<(), HostError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(fail("create directory", path)(error)),
    }
    // The umask may have taken bits away.
    set_mode(path, mode)?;
    sync_parent(path)
}

/// Never leaves a partial file under its final name: the content is complete and on the disk before the rename.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
    let resolved = resolved(path);
    let path = resolved.as_path();
    let partial = partial_name(path);
    let result = write_partial(&partial, content, mode, fs::metadata(path).ok().as_ref())
        .and_then(|()| fs::rename(&partial, path))
        .map_err(fail("write", path));
    if result.is_err() {
        let _ = fs::remove_file(&partial);
        return result;
    }
    sync_parent(path)
}

/// A link stays a link: what it leads to is replaced.
fn resolved(path: &Path) -> PathBuf {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        _ => path.to_owned(),
    }
}

/// Of the same owner and group as what it replaces: a key may be there for somebody else, such as etcd's own user.
fn write_partial(partial: &Path, content: &[u8], mode: u32, replaced: Option<&Metadata>) -> io::Result<()> {
    // What a killed process left there may have other bits.
    let _ = fs::remove_file(partial);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(partial)?;
    if let Some(theirs) = replaced {
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (theirs.uid(), theirs.gid()) {
            match fchown(&file, Some(theirs.uid()), Some(theirs.gid())) {
                // Not root, or a file system that does not know this owner, or none at all.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied
                            | io::ErrorKind::InvalidInput
                            | io::ErrorKind::Unsupported
                    ) => {}
                changed => changed?,
            }
        }
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

/// The same for the same file, so that a later run finds what a killed one left. The kubelet ignores files in its
/// manifest directory that begin with a dot.
fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.rkadm-partial"))
}

/// Removes what an interrupted write of this path may have left beside it.
pub(super) fn discard_partial(path: &Path) -> Result<(), HostError> {
    remove_file(&partial_name(&resolved(path)))
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), HostError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(fail("set the mode of", path))
}

pub(super) fn remove_file(path: &Path) -> Result<(), HostError> {
    if is_nothing(path) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(fail("remove", path)(error)),
    }
}

/// A read-only file system says so before it says that there is nothing to remove.
fn is_nothing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| is_absent(&error))
}

/// Never over something that is there: a directory would take the place of an empty one.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), HostError> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let cwd = rustix::fs::CWD;
    let renamed = rustix::fs::renameat_with(cwd, from, cwd, to, flags);
    renamed.map_err(|error| fail("rename", from)(error.into()))?;
    sync_parent(to)?;
    if from.parent() == to.parent() { Ok(()) } else { sync_parent(from) }
}

pub(super) fn remove_empty_dir(path: &Path) -> Result<(), HostError> {
    if is_nothing(path) {
        return Ok(());
    }
    match fs::remove_dir(path) {
        Ok(()) => sync_parent(path),
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) => Err(fail("remove", path)(error)),
    }
}

/// A mount point in the tree is emptied of nothing and stays: it may be the operator's own file system.
pub(super) fn remove_tree(path: &Path) -> Result<(), HostError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(fail("remove", path)(error)),
    };
    if meta.is_dir() {
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let removed = tree::mount_points().and_then(|mounts| tree::remove_below(&resolved, &mounts));
        removed.map_err(|(path, source)| HostError::File { what: "remove", path, source })?;
    } else {
        fs::remove_file(path).map_err(fail("remove", path))?;
    }
    sync_parent(path)
}

/// The mounts below a directory, in the order of the mounts.
pub(super) fn mounts_below(path: &Path) -> Result<Vec<PathBuf>, HostError> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut points =
        tree::mount_points().map_err(|(path, source)| HostError::File { what: "read", path, source })?;
    points.retain(|mount| mount.starts_with(&path) && *mount != path);
    Ok(points)
}

pub(super) fn unmount(mount: &Path) -> Result<(), HostError> {
    let flags = rustix::mount::UnmountFlags::empty();
    rustix::mount::unmount(mount, flags).map_err(|error| fail("unmount", mount)(error.into()))
}

fn sync_parent(path: &Path) -> Result<(), HostError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail("sync", dir))
}
