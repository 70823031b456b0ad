//! A network for one test: addresses 127.0.0.0/8, nothing else, and nobody else in it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Keeps the network. It goes when this process ends, however that happens.
pub struct Net {
    holder: Child,
}

impl Net {
    /// Makes a network and moves this thread into it: its connections, and the processes that it starts.
    pub fn enter() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a network namespace needs root");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c"]);
        command.arg("ip link set lo up && echo up && exec sleep infinity");
        let mut holder = command.stdout(Stdio::piped()).spawn().context("setpriv and unshare are needed")?;
        let mut line = String::new();
        let out = holder.stdout.take().context("no output")?;
        BufReader::new(out).read_line(&mut line)?;
        ensure!(line == "up\n", "the loopback interface cannot be brought up");
        let namespace = File::open(format!("/proc/{}/ns/net", holder.id()))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(Self { holder })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
