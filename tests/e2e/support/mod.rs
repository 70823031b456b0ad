//! What all tests use: nodes with rkadm on them, configurations, snapshots, and looks into a cluster.

mod cluster;
mod config;
mod faults;
mod host;
mod informer;
mod join;
mod load;
mod random;
mod running;

pub use cluster::{
    certificates_of_a_year, deploy_probe, get, healthy, install_network, kubectl, token_is_signed, wait,
    works,
};
pub use config::{Config, patch_version};
pub use faults::{fill, make_room, overload, relieve, small_disk};
pub use host::{Snapshot, nothing_half_written};
pub use informer::Informer;
pub use join::{IGNORE, Ticket, etcdctl, joined, machine, members, members_agree};
pub use load::Load;
pub use random::Random;
pub use running::Running;

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, Output};
use serde_json::Value;

/// Where the configuration of a test lies on a node.
pub const CONFIG: &str = "/root/cluster.yaml";
/// The newest minor: most tests are about it.
pub const NEWEST: &str = "1.37";

/// A node with rkadm and a configuration, and nothing done yet.
pub fn fresh(lab: &Lab, name: &str) -> Result<Node> {
    fresh_of(lab, name, NodeSpec::new(NEWEST))
}

pub fn fresh_of(lab: &Lab, name: &str, spec: NodeSpec) -> Result<Node> {
    let config = Config::new(spec.minor());
    let node = lab.node(name, spec)?;
    node.copy_in(&binary(), "/usr/local/bin/rkadm")?;
    config.install(&node)?;
    Ok(node)
}

/// The program under test.
pub fn binary() -> PathBuf {
    let chosen = env::var_os("RKADM").filter(|path| !path.is_empty()).map(PathBuf::from);
    chosen.unwrap_or_else(|| env!("CARGO_BIN_EXE_rkadm").into())
}

/// `rkadm init` with the node's configuration.
pub fn init(node: &Node) -> Result<Output> {
    rkadm(node, &["init", "--config", CONFIG])
}

/// Runs rkadm to its end. What it prints is kept on the node for the evidence.
pub fn rkadm(node: &Node, args: &[&str]) -> Result<Output> {
    wrapped(node, &[], args)
}

/// Runs rkadm under another program, such as `timeout`.
pub fn wrapped(node: &Node, wrapper: &[&str], args: &[&str]) -> Result<Output> {
    let command: Vec<&str> = wrapper.iter().copied().chain(["rkadm"]).chain(args.iter().copied()).collect();
    let output = node.exec(&command)?;
    keep(node, &command, &output)?;
    Ok(output)
}

/// Adds to the node's record of what rkadm printed. A node that is off keeps what it has.
fn keep(node: &Node, command: &[&str], output: &Output) -> Result<()> {
    if !node.running() {
        return Ok(());
    }
    let text = format!(
        "$ {}\n--- exit code {}\n--- stdout\n{}--- stderr\n{}\n",
        command.join(" "),
        output.status,
        output.stdout,
        output.stderr
    );
    let log = "/var/log/rkadm-under-test.log";
    let before = node.read(log).unwrap_or_default();
    node.write(log, [before, text.into_bytes()].concat(), 0o600)
}

/// Its stdout, if it ended with this code and stderr holds all of these.
pub fn expect(output: &Output, code: i32, stderr: &[&str]) -> Result<String> {
    let missing: Vec<_> = stderr.iter().filter(|text| !output.stderr.contains(**text)).collect();
    ensure!(
        output.status == code && missing.is_empty(),
        "wanted exit code {code} and {missing:?} in stderr, got exit code {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        output.stdout,
        output.stderr
    );
    Ok(output.stdout.clone())
}

/// The result document of a command run with `-o json`.
pub fn json(output: &Output) -> Result<Value> {
    serde_json::from_str(&output.stdout)
        .with_context(|| format!("stdout is not one JSON document:\n{}", output.stdout))
}
