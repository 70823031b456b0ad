//! Nodes that join.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, Output};

use super::{binary, cluster::get, kubectl, rkadm};

/// What no node here can pass.
pub const IGNORE: &str = "--ignore-preflight-errors=SystemVerification,Swap,NumCPU";

/// What a node joins with; made on a control plane.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub endpoint: String,
    pub token: String,
    pub hash: String,
    pub key: String,
}

impl Ticket {
    /// A new token, and the certificates uploaded anew.
    pub fn of(cp: &Node) -> Result<Self> {
        let command = cp.sh_ok("rkadm token create --print-join-command")?;
        let words: Vec<_> = command.split_whitespace().collect();
        let after = |flag: &str| -> Result<String> {
            let at = words.iter().position(|word| *word == flag).context("no join command")?;
            words.get(at + 1).map(|word| (*word).to_owned()).context("no join command")
        };
        let printed = cp.sh_ok("rkadm init phase upload-certs --upload-certs")?;
        let key = printed.split_whitespace().last().context("no certificate key")?.to_owned();
        ensure!(key.len() == 64, "no certificate key: {printed}");
        Ok(Self {
            endpoint: words.get(2).context("no endpoint")?.to_string(),
            token: after("--token")?,
            hash: after("--discovery-token-ca-cert-hash")?,
            key,
        })
    }

    /// A new token alone.
    pub fn of_token(cp: &Node) -> Result<String> {
        Ok(cp.sh_ok("rkadm token create")?.trim().to_owned())
    }

    /// Arguments after `join`, for rkadm and kubeadm alike.
    pub fn args(&self, control_plane: bool) -> Vec<String> {
        let mut args: Vec<String> =
            [&self.endpoint, "--token", &self.token, "--discovery-token-ca-cert-hash", &self.hash, IGNORE]
                .into_iter()
                .map(ToString::to_string)
                .collect();
        if control_plane {
            args.extend(["--control-plane", "--certificate-key", &self.key].map(str::to_owned));
        }
        args
    }

    /// Runs `rkadm join` to its end.
    pub fn join(&self, node: &Node, control_plane: bool) -> Result<Output> {
        self.join_with(node, control_plane, &[])
    }

    /// The same with more flags.
    pub fn join_with(&self, node: &Node, control_plane: bool, more: &[&str]) -> Result<Output> {
        let args = self.args(control_plane);
        let args: Vec<&str> =
            ["join"].into_iter().chain(args.iter().map(String::as_str)).chain(more.iter().copied()).collect();
        rkadm(node, &args)
    }

    /// Runs `kubeadm join` to its end.
    pub fn kubeadm(&self, node: &Node, control_plane: bool) -> Result<String> {
        node.sh_ok(&format!("kubeadm join {}", self.args(control_plane).join(" ")))
    }
}

/// A machine with rkadm on it that is no node yet.
pub fn machine(lab: &Lab, name: &str, spec: NodeSpec) -> Result<Node> {
    let node = lab.node(name, spec)?;
    node.copy_in(&binary(), "/usr/local/bin/rkadm")?;
    Ok(node)
}

/// The members of etcd with a vote and those without, as a control plane's own member tells.
pub fn members(cp: &Node) -> Result<(usize, usize)> {
    let list = etcdctl(cp, "member list")?;
    let learners = list.lines().filter(|line| line.trim_end().ends_with("true")).count();
    Ok((list.lines().count() - learners, learners))
}

/// Runs etcdctl in the container of the control plane's etcd.
pub fn etcdctl(cp: &Node, args: &str) -> Result<String> {
    kubectl(cp, &in_etcd(cp, args))
}

fn in_etcd(cp: &Node, args: &str) -> String {
    let pki = "/etc/kubernetes/pki/etcd";
    format!(
        "-n kube-system exec etcd-{} -- etcdctl --endpoints https://127.0.0.1:2379 --cacert {pki}/ca.crt --cert {pki}/healthcheck-client.crt --key {pki}/healthcheck-client.key {args}",
        cp.name()
    )
}

/// Every member has the same data: its hash at the oldest of the members' newest revisions. Members that have just lost power
/// are waited for.
pub fn members_agree(cp: &Node) -> Result<()> {
    super::wait(cp, &format!("kubectl {}", in_etcd(cp, "endpoint health --cluster")))?;
    let hashes = etcdctl(cp, "endpoint hashkv --cluster --rev 0 -w json")?;
    let hashes: serde_json::Value = serde_json::from_str(&hashes)?;
    let revision = hashes
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["HashKV"]["header"]["revision"].as_i64())
        .min()
        .context("no revision")?;
    let at = etcdctl(cp, &format!("endpoint hashkv --cluster --rev {revision} -w json"))?;
    let at: serde_json::Value = serde_json::from_str(&at)?;
    let all: Vec<_> = at.as_array().into_iter().flatten().map(|one| one["HashKV"]["hash"].as_u64()).collect();
    ensure!(all.iter().all(|hash| *hash == all[0] && hash.is_some()), "members differ: {at}");
    Ok(())
}

/// A node as `join` leaves it: registered, and marked where it is a control plane.
pub fn joined(cp: &Node, name: &str, control_plane: bool) -> Result<()> {
    let object = super::wait(cp, &format!("kubectl get node {name} -o name"))
        .and_then(|_| get(cp, &format!("node {name}")))?;
    let label = "node-role.kubernetes.io/control-plane";
    ensure!((object["metadata"]["labels"][label] == "") == control_plane, "labels: {object}");
    ensure!(rkadm_core::kube::objects::unfinished_join_of(&object).is_none(), "not finished: {object}");
    let taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
    ensure!(taints.iter().any(|taint| taint["key"] == label) == control_plane, "taints: {taints:?}");
    Ok(())
}
