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

/// Does something in the network of the machine, wherever this thread is: what is built for the tests is fetched from there.
pub fn outside<T: Send>(action: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let work = || {
        // That of the first thread of this process, which no test runs on.
        let namespace = File::open("/proc/self/ns/net")?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        action()
    };
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
