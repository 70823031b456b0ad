//! Running a program on a copy of this machine: `sandbox.sh`.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cri;
use crate::tree::Entry;

/// What all sandboxes share.
pub struct Sandboxes {
    /// Each mounts a file system of its own here, which the others do not see.
    mount_point: PathBuf,
    cri_socket: PathBuf,
    /// Held for as long as the socket is served.
    _lock: std::fs::File,
}

/// What a program did.
pub struct Done {
    pub code: i32,
    /// What it printed, to stdout and to stderr.
    pub log: String,
    /// What it changed; nothing if it failed.
    pub changed: Vec<Entry>,
}

/// What to run.
pub struct Task<'a> {
    pub program: &'a Path,
    /// A shell script for which the program is `/program`.
    pub commands: &'a str,
    /// What it finds on the machine.
    pub files: &'a [Entry],
    pub env: &'a [(String, String)],
}

impl Sandboxes {
    pub fn new() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "namespaces and mounts need root");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parity");
        let mount_point = dir.join("mount");
        std::fs::create_dir_all(&mount_point)?;
        let lock = std::fs::File::create(dir.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(Self { mount_point, cri_socket: cri::serve(&dir)?, _lock: lock })
    }

    pub fn run(&self, task: &Task<'_>) -> Result<Done> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/sandbox.sh");
        // Two chains, so that all of it ends when this process is killed: the signal that comes when a parent dies
        // reaches unshare, and from there the first process of the sandbox, which takes all others with it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--uts", "--pid", "--fork"]);
        command.args(["--kill-child", "sh", script]);
        command.args([self.mount_point.as_os_str(), task.program.as_os_str(), self.cri_socket.as_os_str()]);
        command.arg(OsStr::new(task.commands));
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(task.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("setpriv and unshare of util-linux are needed")?;
        let archive = Entry::pack(task.files)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A sandbox that could not be made does not read; what it printed tells more than a broken pipe.
            let _ = stdin.write_all(&archive);
        }
        let output = child.wait_with_output()?;
        let code = output.status.code().unwrap_or(-1);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let changed = if code == 0 { Entry::unpack(&output.stdout)? } else { vec![] };
        Ok(Done { code, log, changed })
    }
}
