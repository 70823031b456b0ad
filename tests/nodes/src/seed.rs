//! containerd's directory with the images already in it: imported once, then linked into every new node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cache::{Cache, Key};
use crate::state::{Images, NodeSpec};
use crate::tools::Minor;
use crate::{Lab, base, cgroup, cmd, files, host, images, progress};

/// Builds everything that nodes of these minors need.
pub fn prepare(minors: &[Minor]) -> Result<()> {
    host::check()?;
    let cache = Cache::open()?;
    progress::say(&format!("this machine has {}", cgroup::Hierarchy::detect()?));
    progress::timed("preparing the nodes", || {
        for minor in minors {
            base::layers(&cache, minor)?;
            containerd_root(&cache, &[minor.to_string()])?;
        }
        // For upgrades: a node that has the images of both.
        for pair in minors.windows(2) {
            containerd_root(&cache, &[pair[0].to_string(), pair[1].to_string()])?;
        }
        Ok(())
    })
}

/// Puts the images into a new node's containerd directory.
pub(crate) fn fill(cache: &Cache, images: &Images, target: &Path) -> Result<()> {
    let Images::Of(minors) = images else {
        return files::create_dir(target);
    };
    let source = containerd_root(cache, minors)?.join("root");
    // Links, as containerd never changes a blob or an unpacked layer once it has it.
    cmd::call(&["cp", "-al", "--", &source.to_string_lossy(), &target.to_string_lossy()])?;
    // Its databases it does change.
    for path in
        files::walk(&source).into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "db"))
    {
        let copy = target.join(&path);
        fs::remove_file(&copy).with_context(|| format!("cannot replace {}", copy.display()))?;
        fs::copy(source.join(&path), &copy).with_context(|| format!("cannot copy to {}", copy.display()))?;
    }
    Ok(())
}

fn containerd_root(cache: &Cache, minors: &[String]) -> Result<PathBuf> {
    let mut minors: Vec<Minor> = minors.iter().map(|minor| minor.parse()).collect::<Result<_>>()?;
    minors.sort();
    minors.dedup();
    let mut key = Key::default().with(base::debian(cache)?.to_string_lossy().as_bytes());
    for minor in &minors {
        key = key.with(images::archives(cache, minor)?.to_string_lossy().as_bytes());
    }
    let name = minors.iter().map(Minor::to_string).collect::<Vec<_>>().join("+");
    cache.entry(&format!("containerd-{name}"), key, |scratch| {
        progress::timed(&format!("importing the images of {name}"), || {
            // By a real containerd on a node of its own, so that nothing has to be known of its formats.
            let lab = Lab::new("seed")?;
            let newest = minors.last().context("no minor was given")?.to_string();
            let node = lab.node("seed", NodeSpec::new(&newest).without_images())?;
            for minor in &minors {
                node.import_images(&minor.to_string())?;
            }
            // Only after a clean end do its databases hold everything.
            node.sh_ok("systemctl stop containerd; cd /var/lib/containerd && rm -rf io.containerd.runtime.* tmpmounts")?;
            node.stop()?;
            let imported = node.dir().join("containerd");
            fs::rename(imported, scratch.join("root")).context("cannot keep the imported images")?;
            lab.close()
        })
    })
}
