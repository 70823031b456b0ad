//! Trees: archives of them, their removal and return. Off the threads that wait for answers: this may take long.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use super::files;
use crate::{
    archive::{self, Removal, tree},
    config::types::UnmountFlag,
    host::HostError,
};

fn fail(what: &'static str) -> impl Fn(tree::At) -> HostError {
    move |(path, source)| HostError::File { what, path, source }
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    path: PathBuf,
    work: impl FnOnce() -> Result<T, tree::At> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(fail(what)),
        Err(error) => Err(HostError::File { what, path, source: std::io::Error::other(error) }),
    }
}

pub(super) async fn size(root: &Path, removal: &Removal, leave_out: &[PathBuf]) -> Result<u64, HostError> {
    let (root, removal, leave_out) = (root.to_owned(), removal.clone(), leave_out.to_vec());
    blocking("measure", removal.path.clone(), move || tree::size(&root, &removal, &leave_out)).await
}

pub(super) async fn archive(
    root: &Path,
    archive: &Path,
    what: &[Removal],
    leave_out: &[PathBuf],
) -> Result<(), HostError> {
    let (root, archive) = (root.to_owned(), archive.to_owned());
    let (what, leave_out) = (what.to_vec(), leave_out.to_vec());
    blocking("archive", archive.clone(), move || archive::write(&root, &archive, &what, &leave_out).map(drop))
        .await
}

pub(super) fn remove_archive(archive: &Path) -> Result<(), HostError> {
    let dir = archive.parent().unwrap_or(Path::new("/"));
    archive::discard_partial(dir).map_err(|source| HostError::File {
        what: "clean",
        path: dir.to_owned(),
        source,
    })?;
    files::remove_file(archive)
}

pub(super) async fn remove(root: &Path, what: &[Removal]) -> Result<(), HostError> {
    let (root, what) = (root.to_owned(), what.to_vec());
    let first = what.first().map(|removal| removal.path.clone()).unwrap_or_default();
    blocking("remove", first, move || tree::remove(&root, &what)).await
}

pub(super) async fn unpack(root: &Path, archive: &Path, what: &[Removal]) -> Result<(), HostError> {
    let (root, archive, what) = (root.to_owned(), archive.to_owned(), what.to_vec());
    blocking("bring back", archive.clone(), move || archive::unpack(&root, &archive, &what)).await
}

pub(super) fn unmount(path: &Path, flags: &[UnmountFlag]) -> Result<(), HostError> {
    let mut all = UnmountFlags::empty();
    for flag in flags {
        all |= match flag {
            UnmountFlag::Force => UnmountFlags::FORCE,
            UnmountFlag::Detach => UnmountFlags::DETACH,
            UnmountFlag::Expire => UnmountFlags::EXPIRE,
            UnmountFlag::NoFollow => UnmountFlags::NOFOLLOW,
        };
    }
    let unmount = || rustix::mount::unmount(path, all);
    let mut result = unmount();
    // The first call only marks it.
    if all.contains(UnmountFlags::EXPIRE) && result == Err(rustix::io::Errno::AGAIN) {
        result = unmount();
    }
    result.map_err(|error| HostError::File { what: "unmount", path: path.to_owned(), source: error.into() })
}
