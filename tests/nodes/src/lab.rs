//! A network of nodes that nothing leaves.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::state::{self, LabDir, LabState, NodeSpec, Process};
use crate::{Cache, Node, cache, files, host, net, progress, reap, ssh};

/// A lab lives until it is closed or dropped. If its owner is killed, the next lab or `nodes clean` clears it
/// away.
#[derive(Debug)]
pub struct Lab {
    cache: Cache,
    dir: LabDir,
    /// Nobody's: it stays until `nodes clean`.
    persistent: bool,
}

impl Lab {
    /// A new lab of this process.
    pub fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let plain = plain.trim_matches('-');
        let plain = plain[..plain.len().min(16)].trim_end_matches('-');
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::create(&format!("{plain}-{:x}-{count}", std::process::id()), false)
    }

    /// The lab of this name that belongs to no process; made if it does not exist.
    pub fn persistent(name: &str) -> Result<Self> {
        match Self::open(name) {
            Ok(lab) => Ok(lab),
            Err(_) => Self::create(name, true),
        }
    }

    /// An existing lab that belongs to no process.
    pub fn open(name: &str) -> Result<Self> {
        let cache = Cache::open()?;
        let dir = LabDir::new(&cache, name);
        let state = dir
            .state()
            .with_context(|| format!("there is no lab {name}; `nodes list` shows what there is"))?;
        ensure!(state.owner.is_none(), "lab {name} belongs to a running test");
        net::create_lab(&dir)?;
        Ok(Self { cache, dir, persistent: true })
    }

    fn create(id: &str, persistent: bool) -> Result<Self> {
        host::check()?;
        host::raise_limits()?;
        let cache = Cache::open()?;
        let lock = reap::lock(&cache)?;
        reap::dead(&cache, &lock)?;
        let dir = LabDir::new(&cache, id);
        ensure!(!dir.path.exists(), "there is a lab {id} already");
        let owner = if persistent { None } else { Some(Process::current()?) };
        // With its owner first: a lab without one that can be read is taken for a leftover.
        state::store(&dir.path.join("lab.json"), &LabState { id: id.to_owned(), owner })?;
        let lab = Self { cache, dir, persistent };
        files::create_dir(&lab.dir.nodes())?;
        ssh::create_lab(&lab.dir)?;
        net::create_lab(&lab.dir)?;
        Ok(lab)
    }

    pub fn id(&self) -> &str {
        &self.dir.id
    }

    /// Makes a node and boots it. Builds whatever of its programs and images is not there yet.
    pub fn node(&self, name: &str, spec: NodeSpec) -> Result<Node> {
        let node = {
            let _lock = cache::lock(&self.dir.path.join("lock"))?;
            let node = Node::create(&self.cache, &self.dir, name, spec)?;
            self.publish_names(&node)?;
            node
        };
        node.boot()?;
        Ok(node)
    }

    /// A node that was made before.
    pub fn get(&self, name: &str) -> Result<Node> {
        let known: Vec<_> = self.dir.node_states().into_iter().map(|state| state.name).collect();
        ensure!(
            known.iter().any(|node| node == name),
            "lab {} has no node {name}; it has {}",
            self.id(),
            known.join(", ")
        );
        Ok(Node::handle(&self.cache, &self.dir, name))
    }

    /// All nodes, in the order they were made.
    pub fn nodes(&self) -> Vec<Node> {
        self.dir.node_states().iter().map(|state| Node::handle(&self.cache, &self.dir, &state.name)).collect()
    }

    /// Every node knows every other by name and by ssh host key.
    fn publish_names(&self, new: &Node) -> Result<()> {
        let states = self.dir.node_states();
        let names: String =
            states.iter().fold(String::new(), |all, state| all + &format!("{} {}\n", state.ip(), state.name));
        let hosts = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{names}");
        let known_hosts = files::read(&self.dir.ssh().join("known_hosts"))?;
        for state in &states {
            let node = Node::handle(&self.cache, &self.dir, &state.name);
            if state.running() && node.name() != new.name() {
                node.write("/etc/hosts", &hosts, 0o644)?;
                node.write("/root/.ssh/known_hosts", &known_hosts, 0o600)?;
            } else {
                let root = node.dir().join("root");
                files::write(&root.join("etc/hosts"), &hosts)?;
                files::write(&root.join("root/.ssh/known_hosts"), &known_hosts)?;
            }
        }
        Ok(())
    }

    /// No packet passes between the two nodes any more, nor between their pods.
    pub fn cut(&self, a: &Node, b: &Node) -> Result<()> {
        net::cut(&self.dir, &a.state()?, &b.state()?)
    }

    pub fn heal(&self, a: &Node, b: &Node) -> Result<()> {
        net::heal(&self.dir, &a.state()?, &b.state()?)
    }

    /// A command of this machine that runs in the lab's network, such as the program under test as on a
    /// laptop.
    pub fn command(&self, program: &str) -> Command {
        net::inside(&self.dir.namespace(), program)
    }

    /// The file for `ssh -F` that reaches every node by its name; for use with `command`.
    pub fn ssh_config(&self) -> PathBuf {
        self.dir.ssh().join("config")
    }

    /// Removes the lab with all its nodes.
    pub fn close(self) -> Result<()> {
        reap::destroy(&self.dir)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // After `close` there is nothing left to do.
        if !self.persistent
            && self.dir.path.exists()
            && let Err(error) = reap::destroy(&self.dir)
        {
            progress::say(&format!("lab {} is not cleared away: {error:#}", self.dir.id));
        }
    }
}
