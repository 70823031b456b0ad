//! What a lab leaves on disk so that another process can find it again, or clear it away.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Cache, files};

/// Which images lie ready in a node's containerd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Images {
    None,
    /// All images of these minors.
    Of(Vec<String>),
}

/// What kind of machine a node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeSpec {
    pub(crate) minor: String,
    pub(crate) images: Images,
    pub(crate) containerd: bool,
}

impl NodeSpec {
    /// A node with kubelet, kubeadm and kubectl of this minor, its images, and containerd running.
    pub fn new(minor: &str) -> Self {
        Self { minor: minor.to_owned(), images: Images::Of(vec![minor.to_owned()]), containerd: true }
    }

    pub fn minor(&self) -> &str {
        &self.minor
    }

    /// Images of these minors instead, for an upgrade.
    #[must_use]
    pub fn images_of(mut self, minors: &[&str]) -> Self {
        self.images = Images::Of(minors.iter().map(|&minor| minor.to_owned()).collect());
        self
    }

    #[must_use]
    pub fn without_images(mut self) -> Self {
        self.images = Images::None;
        self
    }

    /// containerd is installed, but not started at boot.
    #[must_use]
    pub fn without_containerd(mut self) -> Self {
        self.containerd = false;
        self
    }
}

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub pid: u32,
    start: u64,
    boot: String,
}

impl Process {
    pub fn current() -> Result<Self> {
        Self::of(std::process::id())
    }

    pub fn of(pid: u32) -> Result<Self> {
        let start = stat(pid).with_context(|| format!("process {pid} has ended"))?.start;
        Ok(Self { pid, start, boot: boot_id()? })
    }

    pub fn alive(&self) -> bool {
        let same_boot = boot_id().is_ok_and(|boot| boot == self.boot);
        same_boot && stat(self.pid).is_some_and(|stat| stat.start == self.start && !stat.zombie)
    }

    /// SIGKILL. That it has ended already is as good.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL).with_context(|| format!("cannot end process {}", self.pid))
    }

    /// Runs no instruction more, until it is killed.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP).with_context(|| format!("cannot stop process {}", self.pid))
    }

    /// Goes on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT).with_context(|| format!("cannot wake process {}", self.pid))
    }

    /// What started it.
    pub fn parent(&self) -> Option<Self> {
        Self::of(stat(self.pid)?.parent).ok()
    }

    fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.alive()) else { return Ok(()) };
        match rustix::process::kill_process(pid, signal) {
            Err(Errno::SRCH) => Ok(()),
            result => result,
        }
    }

    /// All that run in its namespace of process numbers; what it started in a namespace of their own does not count.
    pub fn companions(&self) -> Vec<Self> {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let Some(own) = namespace(&self.pid.to_string()) else { return vec![] };
        files::entries(Path::new("/proc"))
            .iter()
            .filter_map(|entry| entry.file_name()?.to_str())
            .filter(|pid| namespace(pid).as_ref() == Some(&own))
            .filter_map(|pid| Self::of(pid.parse().ok()?).ok())
            .collect()
    }

    /// Waits until it has ended.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        while self.alive() {
            ensure!(
                start.elapsed() < timeout,
                "process {} still runs after {} s",
                self.pid,
                timeout.as_secs()
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

struct Stat {
    start: u64,
    parent: u32,
    zombie: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last bracket may itself hold blanks and brackets.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { start: fields.nth(17)?.parse().ok()?, parent, zombie })
}

fn boot_id() -> Result<String> {
    Ok(files::read(Path::new("/proc/sys/kernel/random/boot_id"))?.trim().to_owned())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabState {
    pub id: String,
    /// None for a lab that outlives the process that made it.
    pub(crate) owner: Option<Process>,
}

impl LabState {
    /// For people: whose lab is it?
    pub fn describe_owner(&self) -> String {
        match &self.owner {
            None => "stays until `nodes clean`".to_owned(),
            Some(owner) if owner.alive() => format!("of process {}", owner.pid),
            Some(owner) => format!("left by process {}, which has ended", owner.pid),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeState {
    pub name: String,
    /// Counts from 1; address and link names come from it.
    pub(crate) index: u8,
    pub spec: NodeSpec,
    /// The systemd-nspawn process while the node is on.
    pub(crate) machine: Option<Process>,
    pub(crate) pod_cidr: Option<String>,
}

impl NodeState {
    pub fn ip(&self) -> String {
        crate::net::address(self.index)
    }

    pub fn running(&self) -> bool {
        self.machine.as_ref().is_some_and(Process::alive)
    }
}

/// The directory of a lab.
#[derive(Debug, Clone)]
pub(crate) struct LabDir {
    pub id: String,
    pub path: PathBuf,
}

impl LabDir {
    pub fn new(cache: &Cache, id: &str) -> Self {
        Self { id: id.to_owned(), path: all(cache).join(id) }
    }

    pub fn state(&self) -> Result<LabState> {
        load(&self.path.join("lab.json"))
    }

    pub fn ssh(&self) -> PathBuf {
        self.path.join("ssh")
    }

    pub fn nodes(&self) -> PathBuf {
        self.path.join("nodes")
    }

    pub fn node(&self, name: &str) -> PathBuf {
        self.nodes().join(name)
    }

    /// The nodes in the order they were added.
    pub fn node_states(&self) -> Vec<NodeState> {
        let dirs = files::entries(&self.nodes());
        let mut states: Vec<NodeState> =
            dirs.iter().filter_map(|dir| load(&dir.join("node.json")).ok()).collect();
        states.sort_by_key(|state| state.index);
        states
    }

    /// The name of the lab's network namespace; those of its nodes, their cgroups and machines begin with it.
    pub fn namespace(&self) -> String {
        format!("rkadm-{}", self.id)
    }

    /// The name of a node's network namespace, cgroup and machine. With a dot, which no name has in it: node
    /// `b` of lab `a` must not be taken for lab `a-b`.
    pub fn node_namespace(&self, node: &str) -> String {
        format!("{}.{node}", self.namespace())
    }
}

/// Where all labs are. In the cache's file system, so that images can be linked instead of copied.
pub(crate) fn all(cache: &Cache) -> PathBuf {
    cache.root().join("labs")
}

pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&files::read(path)?).with_context(|| format!("{} is damaged", path.display()))
}

pub(crate) fn store(path: &Path, state: &impl Serialize) -> Result<()> {
    files::replace(path, serde_json::to_vec_pretty(state)?)
}

/// Names become host names, link names and parts of paths.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=20).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-');
    ensure!(good, "{name:?} cannot be a name here: use 1 to 20 of a-z, 0-9 and -");
    Ok(())
}
