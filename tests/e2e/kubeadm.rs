//! Real kubeadm on a cluster that rkadm made.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};
use serde_json::Value;

use crate::support::{NEWEST, expect, fresh, get, init, install_network, kubectl, patch_version, wait};

const IGNORE: &str = "--ignore-preflight-errors=SystemVerification,Swap,NumCPU";

#[test]
fn kubeadm_goes_on_with_a_cluster_that_rkadm_made() {
    run("kubeadm takes over", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        let worker = lab.node("worker", NodeSpec::new(NEWEST))?;
        let stdout = expect(&init(&cp1)?, 0, &[])?;
        a_worker_joins(&worker, &stdout)?;
        install_network(&cp1, &[&cp1, &worker])?;
        // Through kube-proxy on the worker: the API by its ClusterIP, and CoreDNS wherever its pods are.
        wait(&worker, "curl -skf --max-time 2 https://10.96.0.1/healthz")?;
        wait(&worker, "curl -sf --max-time 2 http://10.96.0.10:9153/metrics | grep -q coredns_build_info")?;
        certificates(&cp1)?;
        tokens(&cp1)?;
        upgrade_plan(&cp1)?;
        configuration(&cp1)
    });
}

/// With the words that rkadm printed, and no others than those that these nodes need.
fn a_worker_joins(worker: &Node, printed: &str) -> Result<()> {
    let command = printed.split("Workers join with, as root:").nth(1).context("no join command")?;
    let command = command.replace("\\\n", " ");
    worker.sh_ok(&format!("{} {IGNORE}", command.trim())).map(drop)
}

/// rkadm tells the same of each certificate, but for the seconds between the two commands.
fn same_expirations(cp1: &Node) -> Result<()> {
    let lists = |command: &str| -> Result<Vec<Value>> {
        let report: Value = serde_json::from_str(&cp1.sh_ok(command)?)?;
        let mut lists = vec![report["certificates"].clone(), report["certificateAuthorities"].clone()];
        for one in lists.iter_mut().filter_map(Value::as_array_mut).flatten() {
            ensure!(one["residualTime"].as_i64() > Some(0), "{command}: {one}");
            one["residualTime"] = Value::Null;
        }
        Ok(lists)
    };
    let theirs = lists("kubeadm certs check-expiration -o json")?;
    let ours = lists("rkadm certs check-expiration -o json")?;
    ensure!(ours == theirs && ours.iter().all(Value::is_array), "kubeadm: {theirs:?}\nrkadm: {ours:?}");
    Ok(())
}

fn certificates(cp1: &Node) -> Result<()> {
    let table = cp1.sh_ok("kubeadm certs check-expiration")?;
    let named =
        ["admin.conf", "apiserver-etcd-client", "etcd-peer", "front-proxy-client", "super-admin.conf"];
    for name in named {
        ensure!(table.contains(name), "{name} is missing:\n{table}");
    }
    ensure!(!table.contains("MISSING") && table.matches(" 364d ").count() == 11, "{table}");
    same_expirations(cp1)?;
    // It finds its way through keys and kubeconfigs too.
    cp1.sh_ok("kubeadm certs renew scheduler.conf && kubeadm certs renew apiserver-kubelet-client").map(drop)
}

fn tokens(cp1: &Node) -> Result<()> {
    let token = cp1.sh_ok("kubeadm token create --ttl 1h")?;
    let list = cp1.sh_ok("kubeadm token list")?;
    ensure!(list.contains(token.trim()) && list.lines().count() == 3, "{list}");
    let join = cp1.sh_ok("kubeadm token create --print-join-command")?;
    ensure!(join.contains("kubeadm join cp1:6443 --token"), "{join}");
    Ok(())
}

fn upgrade_plan(cp1: &Node) -> Result<()> {
    let version = patch_version(NEWEST);
    let plan = cp1.sh_ok(&format!("kubeadm upgrade plan {version} {IGNORE}"))?;
    ensure!(plan.contains("Cluster version: 1.37.2") && plan.contains("Target version: v1.37.2"), "{plan}");
    cp1.sh_ok(&format!("kubeadm upgrade apply {version} --dry-run --yes --force {IGNORE}")).map(drop)
}

/// What kubeadm reads from the cluster is what it would have written there.
fn configuration(cp1: &Node) -> Result<()> {
    let uploaded =
        kubectl(cp1, "-n kube-system get configmap kubeadm-config -o jsonpath={.data.ClusterConfiguration}")?;
    cp1.write("/root/uploaded.yaml", uploaded.as_bytes(), 0o600)?;
    cp1.sh_ok("kubeadm config validate --config /root/uploaded.yaml")?;
    let migrated = cp1.sh_ok("kubeadm config migrate --old-config /root/uploaded.yaml")?;
    ensure!(migrated.contains(uploaded.trim()), "kubeadm writes another:\n{migrated}\n--- than\n{uploaded}");
    cp1.sh_ok("kubeadm config images list --config /root/uploaded.yaml")?;
    // A phase of kubeadm's over what rkadm made: it finds its own addons and changes nothing in them. (The Deployment's
    // generation may rise all the same.)
    let spec = |what: &str| Ok::<_, anyhow::Error>(get(cp1, what)?["spec"].clone());
    let (proxy, dns) = ("-n kube-system daemonset kube-proxy", "-n kube-system deployment coredns");
    let before = (spec(proxy)?, spec(dns)?);
    cp1.sh_ok("kubeadm init phase addon all --config /root/cluster.yaml")?;
    let after = (spec(proxy)?, spec(dns)?);
    ensure!(after == before, "kubeadm's addons differ from rkadm's:\n{before:#?}\n--- then\n{after:#?}");
    Ok(())
}
