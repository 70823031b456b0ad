//! A cgroup for each node, so that the kubelets of several nodes do not see each other.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::files;
use crate::state::Process;

const ROOT: &str = "/sys/fs/cgroup";

/// How this machine's cgroups are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// One tree per controller; a node gets its own group in each.
    V1(Vec<PathBuf>),
    /// One tree, and systemd runs it: systemd-nspawn asks for a scope with a delegated subtree by itself.
    V2Systemd,
    /// One tree and no systemd; a node gets its own group.
    V2,
}

impl Hierarchy {
    pub fn detect() -> Result<Self> {
        let root = Path::new(ROOT);
        if root.join("cgroup.controllers").exists() {
            let systemd = Path::new("/run/systemd/system").exists();
            return Ok(if systemd { Self::V2Systemd } else { Self::V2 });
        }
        // Links are second names of a tree (cpu → cpu,cpuacct).
        let trees: Vec<_> = files::entries(root)
            .into_iter()
            .filter(|dir| !dir.is_symlink() && dir.join("cgroup.procs").exists())
            .collect();
        if trees.is_empty() {
            bail!("no cgroups are mounted in {ROOT}: nodes need cgroup v1 or v2");
        }
        Ok(Self::V1(trees))
    }

    /// Does systemd make the node's group?
    pub(crate) fn delegated(&self) -> bool {
        *self == Self::V2Systemd
    }

    fn groups(&self, name: &str) -> Vec<PathBuf> {
        match self {
            Self::V1(trees) => trees.iter().map(|tree| tree.join(name)).collect(),
            Self::V2 => vec![Path::new(ROOT).join(name)],
            Self::V2Systemd => vec![],
        }
    }

    /// Makes the groups that the node's first process has to enter.
    pub(crate) fn create(&self, name: &str) -> Result<Vec<PathBuf>> {
        if *self == Self::V2 {
            enable_controllers(Path::new(ROOT))?;
        }
        let groups = self.groups(name);
        for group in &groups {
            // What a power loss left would be taken for the new node's.
            remove_group(group)?;
            files::create_dir(group)?;
            inherit_cpuset(group)?;
        }
        Ok(groups)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.groups(name).iter().try_for_each(|group| remove_group(group))
    }
}

impl fmt::Display for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(trees) => write!(f, "cgroup v1 ({} hierarchies)", trees.len()),
            Self::V2Systemd => f.write_str("cgroup v2, delegated by systemd"),
            Self::V2 => f.write_str("cgroup v2, without systemd"),
        }
    }
}

/// Children of a v2 group only have the controllers that it enables.
fn enable_controllers(root: &Path) -> Result<()> {
    let controllers = files::read(&root.join("cgroup.controllers"))?;
    for controller in controllers.split_whitespace() {
        fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).with_context(|| {
            format!(
                "cannot enable the cgroup controller {controller} for the nodes: \
                 run where systemd is process 1, or with the machine's own cgroup root"
            )
        })?;
    }
    Ok(())
}

/// A new v1 cpuset is empty, and no process may enter it.
fn inherit_cpuset(group: &Path) -> Result<()> {
    let parent = group.parent().unwrap_or(Path::new(ROOT));
    for file in ["cpuset.cpus", "cpuset.mems"] {
        // On v2 an empty file means: as the parent.
        if group.join(file).exists() && !parent.join("cgroup.controllers").exists() {
            let value = files::read(&parent.join(file))?;
            files::write(&group.join(file), value)?;
        }
    }
    Ok(())
}

/// Removes a group of a node and all below it. Ends the processes in it: none but the node's can be there.
fn remove_group(group: &Path) -> Result<()> {
    for child in files::entries(group).into_iter().filter(|path| path.is_dir()) {
        remove_group(&child)?;
    }
    // The kernel still counts a process for a moment after it has ended.
    for _ in 0..200 {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for pid in processes.lines().filter_map(|line| line.parse().ok()) {
            Process::of(pid).map_or(Ok(()), |process| process.kill())?;
        }
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
    bail!("{} still has processes", group.display())
}
