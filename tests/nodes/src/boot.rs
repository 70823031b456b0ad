//! Turning a node on and off.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cgroup::Hierarchy;
use crate::node::Node;
use crate::state::Process;
use crate::{cmd, files, net, progress};

/// Enters the groups given in $GROUPS_OF_NODE (one a line), then becomes the command.
const ENTER_GROUPS: &str =
    r#"for group in $GROUPS_OF_NODE; do echo $$ > "$group/cgroup.procs" || exit 1; done; exec "$@""#;

/// Starts the command on its own, prints its process id, and does not wait: a node may outlive who started
/// it.
const DETACHED: &str = r#""$@" </dev/null >>"$CONSOLE" 2>&1 & echo $!"#;

/// Joins the node's layers and its own writable directory. Stays mounted while the node is off.
pub(crate) fn mount(node: &Node, layers: &[std::path::PathBuf]) -> Result<()> {
    let dir = node.dir();
    let root = dir.join("root");
    if files::mounts_below(&root)?.contains(&root) {
        return Ok(());
    }
    for part in ["upper", "work", "root", "containerd", "kubelet"] {
        files::create_dir(&dir.join(part))?;
    }
    let lower: Vec<_> = layers.iter().map(|layer| layer.to_string_lossy()).collect();
    let options =
        format!("lowerdir={},upperdir={dir}/upper,workdir={dir}/work", lower.join(":"), dir = dir.display());
    cmd::call(&["mount", "-t", "overlay", "overlay", "-o", &options, &root.to_string_lossy()]).with_context(
        || {
            format!(
                "{} has to be in a file system that overlays can write to, such as ext4 or xfs",
                dir.display()
            )
        },
    )?;
    Ok(())
}

pub(crate) fn on(node: &Node) -> Result<()> {
    let mut state = node.state()?;
    ensure!(!state.running(), "{} is on already", state.name);
    let lab = node.lab_dir();
    let hierarchy = Hierarchy::detect()?;
    let name = lab.node_namespace(&state.name);
    net::connect(lab, &state)?;
    let groups = hierarchy.create(&name)?;

    let console = node.dir().join("console.log");
    let mut command = Command::new("sh");
    command.env("CONSOLE", &console).args(["-c", DETACHED, "sh", "setsid", "sh", "-c", ENTER_GROUPS, "sh"]);
    command.env(
        "GROUPS_OF_NODE",
        groups.iter().map(|group| group.to_string_lossy()).collect::<Vec<_>>().join("\n"),
    );
    // No seccomp filter, and a writable /sys: the kubelet and containerd do everything that a machine lets
    // them.
    command.env("SYSTEMD_SECCOMP", "0").env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1");
    // nspawn itself has to be in the node's network, or the node's /sys would show the links of the host.
    let namespace = format!("/run/netns/{name}");
    command
        .args(["nsenter", &format!("--net={namespace}"), "--"])
        .args(nspawn(node, &name, &namespace, &hierarchy));
    let pid = cmd::run(&mut command)?.trim().parse().context("the shell printed no process id")?;
    state.machine = Process::of(pid).ok();
    node.store(&state)?;
    wait_until_up(node, &console)
}

fn nspawn(node: &Node, machine: &str, namespace: &str, hierarchy: &Hierarchy) -> Vec<String> {
    let dir = node.dir();
    let dir = dir.display();
    let mut argv = vec![
        "systemd-nspawn".to_owned(),
        "--quiet".to_owned(),
        "--boot".to_owned(),
        "--register=no".to_owned(),
        "--capability=all".to_owned(),
        "--resolv-conf=off".to_owned(),
        "--timezone=off".to_owned(),
        "--link-journal=no".to_owned(),
        "--console=pipe".to_owned(),
        "--bind=/dev/kmsg".to_owned(),
        format!("--directory={dir}/root"),
        format!("--machine={machine}"),
        format!("--hostname={}", node.name()),
        format!("--network-namespace-path={namespace}"),
        // An overlay cannot lie on an overlay, so the directories in which containers are made are real ones.
        format!("--bind={dir}/containerd:/var/lib/containerd"),
        format!("--bind={dir}/kubelet:/var/lib/kubelet"),
    ];
    if !hierarchy.delegated() {
        argv.push("--keep-unit".to_owned());
    }
    if Path::new("/lib/modules").is_dir() {
        argv.push("--bind-ro=/lib/modules".to_owned());
    }
    argv
}

/// Waits until systemd has started everything, and containerd answers if the node has it.
fn wait_until_up(node: &Node, console: &Path) -> Result<()> {
    let start = Instant::now();
    let state = node.state()?;
    loop {
        let answer =
            node.exec(&["systemctl", "is-system-running"]).map(|output| output.stdout).unwrap_or_default();
        match answer.trim() {
            "running" => break,
            "degraded" => {
                let failed = node.exec(&["systemctl", "--failed", "--plain", "--no-legend"])?.stdout;
                progress::say(&format!("{} is up, but these units failed: {}", state.name, failed.trim()));
                break;
            }
            _ if !state.running() => bail!("{} ended while booting\n{}", state.name, tail(console)),
            _ if start.elapsed() > Duration::from_mins(1) => {
                bail!("{} does not finish booting\n{}", state.name, tail(console))
            }
            _ => thread::sleep(Duration::from_millis(30)),
        }
    }
    if state.spec.containerd {
        node.exec(&["ctr", "version"])?.ok(&format!("{}: containerd does not answer", state.name))?;
    }
    Ok(())
}

fn tail(console: &Path) -> String {
    let text = fs::read_to_string(console).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A clean shutdown, as by `poweroff`.
pub(crate) fn off(node: &Node) -> Result<()> {
    // What systemd as process 1 takes for "power off".
    cmd::call(&["kill", "-s", "RTMIN+4", &node.leader()?.to_string()])?;
    if let Some(machine) = node.state()?.machine {
        machine
            .wait(Duration::from_mins(2))
            .with_context(|| format!("{} does not shut down", node.name()))?;
    }
    forget(node)
}

/// The plug pulled: nothing in the node gets to know. Its files stay.
pub(crate) fn power_loss(node: &Node) -> Result<()> {
    let leader = Process::of(node.leader()?)?;
    let machine = node.state()?.machine;
    // Process 1 closes its connections some milliseconds before the others end: a program in the middle of `systemctl start` would
    // see that fail, and could still react to it.
    let mut frozen: Vec<Process> = vec![];
    loop {
        let mut started = leader.companions();
        started.retain(|process| !frozen.contains(process));
        if started.is_empty() {
            break;
        }
        started.iter().try_for_each(Process::freeze)?;
        frozen.extend(started);
    }
    // `nsenter` stops with what it runs in there, and the machine is not gone before it has taken note of the end. Woken, it wakes what it
    // runs: that has to be dead by then.
    let outside: Vec<_> =
        frozen.iter().filter_map(Process::parent).filter(|it| !frozen.contains(it)).collect();
    let others: Vec<_> = frozen.iter().filter(|process| **process != leader).collect();
    let start = Instant::now();
    let in_time = || -> Result<()> {
        ensure!(start.elapsed() < Duration::from_secs(10), "{} does not end", node.name());
        Ok(())
    };
    others.iter().try_for_each(|process| process.kill())?;
    while others.iter().any(|process| process.alive()) {
        in_time()?;
        thread::sleep(Duration::from_millis(1));
    }
    for process in machine.iter().chain([&leader]) {
        process.kill()?;
    }
    while machine.iter().chain([&leader]).any(Process::alive) {
        in_time()?;
        // One that was just about to stop has not heard the last one.
        outside.iter().try_for_each(Process::thaw)?;
        thread::sleep(Duration::from_millis(10));
    }
    forget(node)
}

/// Clears what the host kept for the machine.
fn forget(node: &Node) -> Result<()> {
    let mut state = node.state()?;
    state.machine = None;
    node.store(&state)?;
    let lab = node.lab_dir();
    net::disconnect(lab, &state)?;
    let machine = lab.node_namespace(&state.name);
    Hierarchy::detect()?.remove(&machine)?;
    forget_propagation(&machine)
}

/// nspawn leaves its mount propagation directory behind when it is killed.
pub(crate) fn forget_propagation(machine: &str) -> Result<()> {
    files::remove_tree(&Path::new("/run/systemd/nspawn/propagate").join(machine))
}
