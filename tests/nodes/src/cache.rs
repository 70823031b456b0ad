//! What takes long is made once. An entry is built in a scratch directory and renamed into place, under a
//! lock: whatever stands under its final name is complete, and two runs at once build it once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use crate::files;

/// Where binaries, images, trees and labs are kept: `$RKADM_TEST_CACHE`, else `rkadm-test` in the user's
/// cache directory.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    pub fn open() -> Result<Self> {
        let user_cache = || {
            let xdg = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
            xdg.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
                .map(|dir| dir.join("rkadm-test"))
        };
        let chosen = std::env::var_os("RKADM_TEST_CACHE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let root = chosen
            .or_else(user_cache)
            .context("set RKADM_TEST_CACHE or HOME: nowhere to keep the test binaries")?;
        files::create_dir(&root)?;
        let root = root.canonicalize().with_context(|| format!("cannot resolve {}", root.display()))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of an entry that is there.
    pub(crate) fn existing(&self, name: &str, key: Key) -> Option<PathBuf> {
        Some(self.root.join(format!("{name}-{}", key.finish()))).filter(|place| place.exists())
    }

    /// The directory of an entry, built by `build` if it is not there yet.
    pub(crate) fn entry(
        &self,
        name: &str,
        key: Key,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = format!("{name}-{}", key.finish());
        let place = self.root.join(&name);
        if place.exists() {
            return Ok(place);
        }
        let _lock = lock(&self.root.join("locks").join(&name))?;
        if place.exists() {
            return Ok(place);
        }
        // Under the lock these can only be what earlier runs left when they were cut off.
        let prefix = format!("{name}.");
        let scratch_root = self.root.join("scratch");
        let of_this =
            |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&prefix));
        files::entries(&scratch_root)
            .iter()
            .filter(|path| of_this(path))
            .try_for_each(|path| files::remove_tree(path))?;
        // A name of its own: programs that such a run started may still write to theirs.
        let scratch = scratch_root.join(format!("{prefix}{}", std::process::id()));
        files::create_dir(&scratch)?;
        if let Err(error) = build(&scratch) {
            files::remove_tree(&scratch)?;
            return Err(error);
        }
        // After a power cut an entry must not be there with its files still empty.
        let dir = File::open(&scratch).with_context(|| format!("cannot open {}", scratch.display()))?;
        rustix::fs::syncfs(&dir).context("cannot sync the cache to disk")?;
        fs::rename(&scratch, &place).with_context(|| format!("cannot put {} in place", place.display()))?;
        Ok(place)
    }
}

/// Takes the lock file until the returned handle is dropped.
pub(crate) fn lock(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        files::create_dir(parent)?;
    }
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Digest of everything an entry depends on.
#[derive(Default)]
pub(crate) struct Key(Sha256);

impl Key {
    #[must_use]
    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        // With its length, so that two parts cannot be taken for one.
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    fn finish(self) -> String {
        hex(&self.0.finalize()[..8])
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use anyhow::ensure;

    use super::*;

    fn scratch_cache(name: &str) -> Result<Cache> {
        let root = std::env::temp_dir().join(format!("rkadm-cache-{name}-{}", std::process::id()));
        files::create_dir(&root)?;
        Ok(Cache { root })
    }

    #[test]
    fn two_at_once_build_once() -> Result<()> {
        let cache = scratch_cache("once")?;
        let count = AtomicU32::new(0);
        let build = |dir: &Path| {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
            files::write(&dir.join("file"), "whole")
        };
        std::thread::scope(|scope| {
            let entries =
                [(); 2].map(|()| scope.spawn(|| cache.entry("thing", Key::default().with("a"), build)));
            entries.into_iter().try_for_each(|entry| {
                let dir = entry.join().expect("no panic")?;
                ensure!(files::read(&dir.join("file"))? == "whole");
                Ok(())
            })
        })?;
        ensure!(count.into_inner() == 1);
        files::remove_tree(cache.root())
    }

    #[test]
    fn what_was_cut_off_is_not_taken_for_complete() -> Result<()> {
        let cache = scratch_cache("cut")?;
        let key = || Key::default().with("a");
        let failed = cache.entry("thing", key(), |dir| {
            files::write(&dir.join("half"), "")?;
            anyhow::bail!("cut off")
        });
        ensure!(failed.is_err() && files::entries(&cache.root().join("scratch")).is_empty());
        // As a killed run leaves it.
        let name = format!("thing-{}", key().finish());
        files::write(&cache.root().join("scratch").join(format!("{name}.1")).join("half"), "")?;
        let dir = cache.entry("thing", key(), |dir| files::write(&dir.join("file"), "whole"))?;
        ensure!(files::walk(&dir) == [PathBuf::from("file")]);
        ensure!(files::entries(&cache.root().join("scratch")).is_empty());
        files::remove_tree(cache.root())
    }
}
