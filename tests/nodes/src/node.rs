//! One machine of a lab.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cmd::{self, Output};
use crate::state::{self, LabDir, NodeSpec, NodeState};
use crate::tools::Minor;
use crate::{Cache, base, boot, files, images, net, seed, ssh, tools};

/// A handle to a machine; cheap to clone. The machine itself belongs to its lab.
#[derive(Debug, Clone)]
pub struct Node {
    cache: Cache,
    lab: LabDir,
    name: String,
}

impl Node {
    pub(crate) fn handle(cache: &Cache, lab: &LabDir, name: &str) -> Self {
        Self { cache: cache.clone(), lab: lab.clone(), name: name.to_owned() }
    }

    /// Makes the machine's files. The lab's lock is held.
    pub(crate) fn create(cache: &Cache, lab: &LabDir, name: &str, spec: NodeSpec) -> Result<Self> {
        state::check_name(name)?;
        let node = Self::handle(cache, lab, name);
        ensure!(!node.dir().exists(), "lab {} has a node {name} already", lab.id);
        let index = lab.node_states().last().map_or(1, |last| last.index + 1);
        ensure!(index < 200, "lab {} has no address left", lab.id);
        let state = NodeState { name: name.to_owned(), index, spec, machine: None, pod_cidr: None };
        if let Err(error) = node.make_files(&state) {
            files::remove_tree(&node.dir())?;
            return Err(error);
        }
        Ok(node)
    }

    fn make_files(&self, state: &NodeState) -> Result<()> {
        self.store(state)?;
        seed::fill(&self.cache, &state.spec.images, &self.dir().join("containerd"))?;
        self.mount(state)?;
        self.configure(state)
    }

    fn mount(&self, state: &NodeState) -> Result<()> {
        boot::mount(self, &base::layers(&self.cache, &state.spec.minor.parse()?)?)
    }

    /// What makes this machine different from the next.
    fn configure(&self, state: &NodeState) -> Result<()> {
        let root = self.dir().join("root");
        let etc = root.join("etc");
        files::write(&etc.join("hostname"), format!("{}\n", state.name))?;
        files::write(
            &etc.join("machine-id"),
            files::read(Path::new("/proc/sys/kernel/random/uuid"))?.replace('-', ""),
        )?;
        // Nobody answers there: a name that is not in /etc/hosts fails at once.
        files::write(&etc.join("resolv.conf"), "nameserver 10.99.0.1\noptions timeout:1 attempts:1\n")?;
        if state.spec.containerd {
            let unit = etc.join("systemd/system/multi-user.target.wants/containerd.service");
            files::symlink("/lib/systemd/system/containerd.service", &unit)?;
        }
        ssh::create_node(&self.lab, state, &root)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn ip(&self) -> String {
        self.state().map(|state| state.ip()).unwrap_or_default()
    }

    pub fn running(&self) -> bool {
        self.state().is_ok_and(|state| state.running())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.lab.node(&self.name)
    }

    pub(crate) fn lab_dir(&self) -> &LabDir {
        &self.lab
    }

    pub(crate) fn state(&self) -> Result<NodeState> {
        state::load(&self.dir().join("node.json"))
    }

    pub(crate) fn store(&self, state: &NodeState) -> Result<()> {
        state::store(&self.dir().join("node.json"), state)
    }

    /// Turns the machine on and waits until systemd and containerd are up.
    pub fn boot(&self) -> Result<()> {
        self.mount(&self.state()?)?;
        boot::on(self)
    }

    /// Shuts the machine down cleanly.
    pub fn stop(&self) -> Result<()> {
        boot::off(self)
    }

    /// Takes the power away. What was written stays; `boot` turns the machine on again.
    pub fn power_loss(&self) -> Result<()> {
        boot::power_loss(self)
    }

    /// The machine's process 1, as this machine numbers it.
    pub fn leader(&self) -> Result<u32> {
        let machine = self
            .state()?
            .machine
            .filter(state::Process::alive)
            .with_context(|| format!("{} is off", self.name))?;
        let children =
            files::read(Path::new(&format!("/proc/{pid}/task/{pid}/children", pid = machine.pid)))?;
        let leader = children
            .split_whitespace()
            .next()
            .with_context(|| format!("{} has not started yet", self.name))?;
        Ok(leader.parse()?)
    }

    /// A command line that runs `argv` as root in the machine, with a login's environment.
    pub fn command<S: AsRef<str>>(&self, argv: &[S]) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &self.leader()?.to_string(),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "-C",
            "--",
            "env",
            "-i",
        ]);
        command.args([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "USER=root",
            "LANG=C.UTF-8",
        ]);
        command.args(argv.iter().map(AsRef::as_ref));
        Ok(command)
    }

    /// Runs a command to its end.
    pub fn exec<S: AsRef<str>>(&self, argv: &[S]) -> Result<Output> {
        cmd::output(&mut self.command(argv)?)
    }

    /// Runs a script of bash.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.exec(&["bash", "-c", script])
    }

    /// Runs a script and returns its stdout; if it fails, an error with all that it printed.
    pub fn sh_ok(&self, script: &str) -> Result<String> {
        self.sh(script)?.ok(&format!("{}: {script}", self.name))
    }

    /// Starts a command whose stdin, stdout and stderr the caller reads and writes. Killing the child only
    /// ends the way in: end the command itself with `pkill` in the machine.
    pub fn spawn<S: AsRef<str>>(&self, argv: &[S]) -> Result<Child> {
        let mut command = self.command(argv)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("cannot start {}", cmd::line(&command)))
    }

    /// Runs a script over a real ssh connection from the lab's network.
    pub fn ssh(&self, script: &str) -> Result<Output> {
        let config = self.lab.ssh().join("config");
        let mut command = net::inside(&self.lab.namespace(), "ssh");
        cmd::output(command.arg("-F").arg(config).arg(&self.name).arg(script))
    }

    /// Writes a file, with its directories; `mode` as in 0o600.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        self.feed(&["install", "-D", "-m", &format!("{mode:o}"), "/dev/stdin", path], content.as_ref())
            .with_context(|| format!("cannot write {path}"))
    }

    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let output = self.command(&["cat", "--", path])?.output()?;
        ensure!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr).trim());
        Ok(output.stdout)
    }

    /// Runs a command with this stdin.
    fn feed(&self, argv: &[&str], stdin: &[u8]) -> Result<()> {
        let mut child = self.spawn(argv)?;
        let written = child.stdin.take().context("the child has no stdin")?.write_all(stdin);
        let output = Output::from(child.wait_with_output()?);
        output.ok(&format!("{}: {}", self.name, argv.join(" ")))?;
        written.context("the command did not read all of its input")
    }

    /// Copies a file (with its mode) or a directory of this machine to that path in the node.
    pub fn copy_in(&self, from: &Path, to: &str) -> Result<()> {
        if from.is_dir() {
            let tar = Command::new("tar")
                .arg("-C")
                .arg(from)
                .args(["-cf", "-", "."])
                .stdout(Stdio::piped())
                .spawn()?;
            let script = format!("mkdir -p '{to}' && tar -C '{to}' --no-same-owner -xf -");
            return pipe(tar, &mut self.command(&["sh", "-c", &script])?);
        }
        let file = fs::File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()) & 0o7777;
        let mut command = self.command(&["install", "-D", "-m", &format!("{mode:o}"), "/dev/stdin", to])?;
        Output::from(command.stdin(file).output()?).ok(&format!("{}: cannot write {to}", self.name))?;
        Ok(())
    }

    /// Copies a file or a directory of the node to that path on this machine.
    pub fn copy_out(&self, from: &str, to: &Path) -> Result<()> {
        if self.exec(&["test", "-d", from])?.success() {
            files::create_dir(to)?;
            let mut source =
                self.command(&["tar", "-C", from, "--warning=no-file-changed", "-cf", "-", "."])?;
            let source = source.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
            return pipe(source, Command::new("tar").arg("-C").arg(to).args(["--no-same-owner", "-xf", "-"]));
        }
        files::write(to, self.read(from)?)
    }

    /// Puts a small file system of `bytes` over a directory, with what the directory holds now. It is full
    /// soon, and gone after a boot. A container that runs already keeps what it had mounted.
    pub fn small_fs(&self, path: &str, bytes: u64) -> Result<()> {
        let script = format!(
            "set -e; mkdir -p '{path}' /run/small-fs; mount -t tmpfs -o mode=0755,size={bytes} tmpfs /run/small-fs; \
             cp -a '{path}/.' /run/small-fs/; mount --bind /run/small-fs '{path}'; umount /run/small-fs"
        );
        self.sh_ok(&script).map(drop)
    }

    /// Takes the small file system away: the directory is again as it was before.
    pub fn remove_small_fs(&self, path: &str) -> Result<()> {
        self.exec(&["umount", path])?.ok(&format!("{}: {path} has no small file system", self.name)).map(drop)
    }

    /// Gives pods a network: a bridge with `pod_cidr`, and routes to it on the other nodes. After init or
    /// join.
    pub fn install_cni(&self, pod_cidr: &str) -> Result<()> {
        let conflist = include_str!("../cni.conflist").replace("POD_CIDR", pod_cidr);
        self.write("/etc/cni/net.d/10-lab.conflist", conflist, 0o644)?;
        let mut state = self.state()?;
        state.pod_cidr = Some(pod_cidr.to_owned());
        self.store(&state)?;
        net::announce_pods(&self.lab, &state, pod_cidr)
    }

    /// Replaces programs of Kubernetes by those of another minor, as a package manager would.
    pub fn install_programs(&self, minor: &str, names: &[&str]) -> Result<()> {
        let minor: Minor = minor.parse()?;
        let tools = tools::kubernetes(&self.cache, &minor)?;
        for name in names {
            // Under a new name first: a program that runs cannot be written to.
            let target = format!("/usr/bin/{name}");
            self.copy_in(&tools.program(name), &format!("{target}.new"))?;
            self.exec(&["mv", &format!("{target}.new"), &target])?.ok("cannot replace the program")?;
        }
        Ok(())
    }

    /// Imports all images of a minor into the running containerd.
    pub fn import_images(&self, minor: &str) -> Result<()> {
        for archive in files::entries(&images::archives(&self.cache, &minor.parse()?)?) {
            let mut command = self.command(&["ctr", "-n", "k8s.io", "images", "import", "-"])?;
            command.stdin(fs::File::open(&archive)?);
            Output::from(command.output()?).ok(&format!(
                "{}: cannot import {}",
                self.name,
                archive.display()
            ))?;
        }
        Ok(())
    }
}

/// Feeds the stdout of one command to another and waits for both.
fn pipe(mut from: Child, to: &mut Command) -> Result<()> {
    let stream = from.stdout.take().context("the source has no stdout")?;
    let written = Output::from(to.stdin(stream).output()?);
    let status = from.wait()?;
    written.ok(&cmd::line(to))?;
    // 1 is tar's "file changed while it was read": no reason to lose the rest.
    match status.code() {
        Some(0 | 1) => Ok(()),
        _ => bail!("tar of the source failed: {status}"),
    }
}
