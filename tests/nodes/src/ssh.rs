//! Keys and configuration for ssh to the nodes, from the lab and between them.

use std::path::Path;

use anyhow::Result;

use crate::state::{LabDir, NodeState};
use crate::{cmd, files};

/// The lab's own key: root on every node accepts it.
pub(crate) fn create_lab(lab: &LabDir) -> Result<()> {
    keygen(&lab.ssh().join("id_ed25519"), "lab")
}

/// The node's host key, known to the lab and to all its nodes.
pub(crate) fn create_node(lab: &LabDir, node: &NodeState, etc_and_root: &Path) -> Result<()> {
    let host_key = etc_and_root.join("etc/ssh/ssh_host_ed25519_key");
    keygen(&host_key, &node.name)?;
    let public = files::read(&host_key.with_extension("pub"))?;
    // Every node is added under the lab's lock, so nobody else writes these two.
    let known_hosts = lab.ssh().join("known_hosts");
    let known = std::fs::read_to_string(&known_hosts).unwrap_or_default();
    files::replace(&known_hosts, format!("{known}{},{} {}\n", node.name, node.ip(), public.trim()))?;
    let config = lab.ssh().join("config");
    let before = std::fs::read_to_string(&config).unwrap_or_default();
    files::replace(&config, format!("{before}{}", host_section(lab, node)))?;

    let root_ssh = etc_and_root.join("root/.ssh");
    files::create_dir(&root_ssh)?;
    std::fs::copy(lab.ssh().join("id_ed25519.pub"), root_ssh.join("authorized_keys"))?;
    // So that a fleet command can be run on a node as well as from a laptop.
    std::fs::copy(lab.ssh().join("id_ed25519"), root_ssh.join("id_ed25519"))?;
    Ok(())
}

fn host_section(lab: &LabDir, node: &NodeState) -> String {
    let ssh = lab.ssh();
    let ssh = ssh.display();
    format!(
        "Host {name} {ip}\n  HostName {ip}\n  User root\n  IdentityFile {ssh}/id_ed25519\n  IdentitiesOnly yes\n  \
         UserKnownHostsFile {ssh}/known_hosts\n  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 10\n",
        name = node.name,
        ip = node.ip(),
    )
}

fn keygen(path: &Path, comment: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        files::create_dir(dir)?;
    }
    cmd::call(&[
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        comment,
        "-f",
        &path.to_string_lossy(),
    ])?;
    Ok(())
}
