//! The network of a lab: one namespace with a bridge, one namespace for each node, and nothing that leads
//! out.

use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::state::{LabDir, NodeState, Process};
use crate::{cmd, files};

const GATEWAY: &str = "10.99.0.1";

/// Every lab uses the same addresses, as each has its own namespace.
pub(crate) fn address(index: u8) -> String {
    format!("10.99.0.{}", 10 + u16::from(index))
}

fn port(node: &NodeState) -> String {
    format!("port{}", node.index)
}

fn namespace_file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Is there such a namespace? Where /run outlives a reboot, a plain file may be left of one: it is removed.
fn exists(name: &str) -> Result<bool> {
    let file = namespace_file(name);
    if !file.exists() {
        return Ok(false);
    }
    if files::mounts_below(&file)?.is_empty() {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        return Ok(false);
    }
    Ok(true)
}

/// A command that runs in the network namespace. Not `ip netns exec`: that remounts /sys and hides the
/// cgroups.
pub(crate) fn inside(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace_file(namespace).display())).arg("--").arg(program);
    command
}

pub(crate) fn create_lab(lab: &LabDir) -> Result<()> {
    let ns = lab.namespace();
    if exists(&ns)? {
        return Ok(());
    }
    cmd::call(&["ip", "netns", "add", &ns])?;
    let ip = |args: &str| cmd::run(Command::new("ip").arg("-n").arg(&ns).args(args.split(' ')));
    ip("link set lo up")?;
    ip("link add br0 type bridge")?;
    ip(&format!("addr add {GATEWAY}/24 dev br0"))?;
    ip("link set br0 up")?;
    // Links whose frames the bridge throws away. By link and not by address, so that pods are cut off too.
    let rules = "add table bridge lab
        add set bridge lab cuts { type ifname . ifname; }
        add chain bridge lab forward { type filter hook forward priority 0; }
        add rule bridge lab forward iifname . oifname @cuts drop";
    for rule in rules.lines() {
        cmd::run(inside(&ns, "nft").arg(rule.trim()))?;
    }
    Ok(())
}

/// A fresh namespace for a node that boots: what an earlier boot configured is gone, as on a machine.
pub(crate) fn connect(lab: &LabDir, node: &NodeState) -> Result<()> {
    disconnect(lab, node)?;
    let (lab_ns, ns, port) = (lab.namespace(), lab.node_namespace(&node.name), port(node));
    cmd::call(&["ip", "netns", "add", &ns])?;
    cmd::call(&[
        "ip", "-n", &lab_ns, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &ns,
    ])?;
    cmd::call(&["ip", "-n", &lab_ns, "link", "set", &port, "master", "br0", "up"])?;
    let ip = |args: &str| cmd::run(Command::new("ip").arg("-n").arg(&ns).args(args.split(' ')));
    ip("link set lo up")?;
    // Fixed, so that the others' neighbour tables stay right over a boot.
    ip(&format!("link set eth0 address 02:00:0a:63:00:{:02x}", node.index))?;
    ip(&format!("addr add {}/24 dev eth0", node.ip()))?;
    ip("link set eth0 up")?;
    // Nothing listens there, but kubeadm takes the node's address from the default route.
    ip(&format!("route add default via {GATEWAY}"))?;
    for other in lab.node_states() {
        if let Some(pod_cidr) = other.pod_cidr.as_ref().filter(|_| other.name != node.name) {
            ip(&format!("route replace {pod_cidr} via {}", other.ip()))?;
        }
    }
    Ok(())
}

pub(crate) fn disconnect(lab: &LabDir, node: &NodeState) -> Result<()> {
    let ns = lab.node_namespace(&node.name);
    if exists(&ns)? {
        // The machine may live on when its systemd-nspawn was killed by somebody else.
        kill_all(&[namespace_file(&ns)])?;
        cmd::call(&["ip", "netns", "del", &ns])?;
    }
    // The link goes with the namespace, but only when the kernel gets to it.
    let (lab_ns, port) = (lab.namespace(), port(node));
    let show = || cmd::output(Command::new("ip").args(["-n", &lab_ns, "link", "show", &port]));
    if show()?.success() {
        let deleted = cmd::call(&["ip", "-n", &lab_ns, "link", "del", &port]);
        if deleted.is_err() && show()?.success() {
            deleted?;
        }
    }
    Ok(())
}

/// Tells the other nodes that are on where the pods of `node` are.
pub(crate) fn announce_pods(lab: &LabDir, node: &NodeState, pod_cidr: &str) -> Result<()> {
    for other in lab.node_states().into_iter().filter(|other| other.name != node.name && other.running()) {
        cmd::call(&[
            "ip",
            "-n",
            &lab.node_namespace(&other.name),
            "route",
            "replace",
            pod_cidr,
            "via",
            &node.ip(),
        ])?;
    }
    Ok(())
}

pub(crate) fn cut(lab: &LabDir, a: &NodeState, b: &NodeState) -> Result<()> {
    set_element(lab, "add", a, b)
}

pub(crate) fn heal(lab: &LabDir, a: &NodeState, b: &NodeState) -> Result<()> {
    set_element(lab, "delete", a, b)
}

fn set_element(lab: &LabDir, verb: &str, a: &NodeState, b: &NodeState) -> Result<()> {
    let (a, b) = (port(a), port(b));
    let rule = format!("{verb} element bridge lab cuts {{ {a} . {b}, {b} . {a} }}");
    cmd::run(inside(&lab.namespace(), "nft").arg(rule))?;
    Ok(())
}

/// The namespaces of the lab and its nodes.
fn namespaces(lab: &LabDir) -> Vec<PathBuf> {
    let name = lab.namespace();
    let ours = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file == name || file.starts_with(&format!("{name}."))
    };
    files::entries(Path::new("/run/netns")).into_iter().filter(ours).collect()
}

/// Removes every trace of the lab's network.
pub(crate) fn remove_lab(lab: &LabDir) -> Result<()> {
    for path in namespaces(lab) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if exists(&name)? {
            cmd::call(&["ip", "netns", "del", &name])?;
        }
    }
    Ok(())
}

/// Ends every process in the lab's namespaces.
pub(crate) fn kill_processes(lab: &LabDir) -> Result<()> {
    kill_all(&namespaces(lab))
}

/// Ends every process in these namespaces: only those that the lab started can be there.
fn kill_all(namespaces: &[PathBuf]) -> Result<()> {
    let mut ending: Vec<Process> = Vec::new();
    for _ in 0..500 {
        let found = processes(namespaces);
        // A process that ends leaves its namespace a little before it is gone.
        ending.retain(Process::alive);
        if found.is_empty() && ending.is_empty() {
            return Ok(());
        }
        for process in found.into_iter().filter_map(|pid| Process::of(pid).ok()) {
            process.kill()?;
            if !ending.contains(&process) {
                ending.push(process);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("processes in {namespaces:?} do not end: {ending:?}")
}

fn processes(namespaces: &[PathBuf]) -> Vec<u32> {
    let inode = |path: &Path| fs::metadata(path).map(|meta| (meta.st_dev(), meta.st_ino())).ok();
    let wanted: Vec<_> = namespaces.iter().filter_map(|path| inode(path)).collect();
    let pids = files::entries(Path::new("/proc"))
        .into_iter()
        .filter_map(|dir| dir.file_name()?.to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        inode(Path::new(&format!("/proc/{pid}/ns/net"))).is_some_and(|found| wanted.contains(&found))
    })
    .collect()
}
