//! `rkadm restore etcd` on a real control plane: what was lost is back, nobody is fooled by old data, and every way to the
//! end, or back, is one that the cluster survives.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node, run};

use crate::support::{
    Running, etcdctl, expect, fresh, get, init, install_network, json, kubectl, members, rkadm, wait,
};

/// A backup on the node, made before `lost` was deleted and `late` was made.
const BACKUP: &str = "/root/before.db";

/// A cluster with a snapshot, and changes since.
fn prepared(lab: &Lab) -> Result<Node> {
    let node = fresh(lab, "cp1")?;
    expect(&init(&node)?, 0, &[])?;
    install_network(&node, &[&node])?;
    kubectl(&node, "create configmap lost --from-literal=a=1")?;
    kubectl(&node, "create configmap changed --from-literal=a=1")?;
    snapshot(&node)?;
    kubectl(&node, "delete configmap lost")?;
    kubectl(&node, "create configmap late --from-literal=a=1")?;
    kubectl(&node, "patch configmap changed --type merge -p '{\"data\":{\"a\":\"2\"}}'")?;
    Ok(node)
}

/// With etcdctl, as for those who come from somewhere else.
fn snapshot(node: &Node) -> Result<()> {
    etcdctl(node, "snapshot save /var/lib/etcd/saved.db")?;
    node.sh_ok(&format!("mv /var/lib/etcd/saved.db {BACKUP}")).map(drop)
}

/// The objects as they were in the backup.
fn is_back(node: &Node) -> Result<()> {
    wait(node, "kubectl get --raw /readyz")?;
    kubectl(node, "get configmap lost")?;
    let names = kubectl(node, "get configmap -o name")?;
    ensure!(!names.contains("late"), "what came later is still there: {names}");
    ensure!(get(node, "configmap changed")?["data"]["a"] == "1");
    ensure!(members(node)? == (1, 0));
    Ok(())
}

/// The objects as they were before the restore.
fn is_as_before(node: &Node) -> Result<()> {
    wait(node, "kubectl get configmap late")?;
    let names = kubectl(node, "get configmap -o name")?;
    ensure!(!names.contains("lost"), "the backup is still there: {names}");
    ensure!(get(node, "configmap changed")?["data"]["a"] == "2");
    works(node)
}

/// Controllers, scheduler and kubelet do their work on what they see now.
fn works(node: &Node) -> Result<()> {
    wait(node, "kubectl wait --for=condition=Ready node --all --timeout=60s")?;
    wait(node, "kubectl -n kube-system rollout restart deployment/coredns")?;
    wait(node, "kubectl -n kube-system rollout status deployment/coredns --timeout=90s")?;
    let endpoint = kubectl(node, "get endpointslice kubernetes -o jsonpath={.endpoints[*].addresses[*]}")?;
    ensure!(endpoint.trim() == node.ip(), "the Service kubernetes leads to {endpoint}");
    node.sh_ok("curl -skf --max-time 5 https://10.96.0.1/healthz").map(drop)
}

fn nothing_is_left(node: &Node) -> Result<()> {
    let left = node.sh_ok("ls -d /var/lib/etcd.* /etc/kubernetes/*.rkadm-* 2>/dev/null || true")?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

#[test]
fn what_was_deleted_is_back_and_nobody_is_fooled_by_old_data() {
    run("restore", |lab| {
        let node = prepared(lab)?;
        expect(&rkadm(&node, &["restore", "etcd", BACKUP])?, 2, &["no terminal", "--yes"])?;
        let plan = expect(&rkadm(&node, &["restore", "etcd", BACKUP, "--dry-run"])?, 0, &[])?;
        ensure!(plan.contains("rename /var/lib/etcd to /var/lib/etcd.before-"), "{plan}");
        nothing_is_left(&node)?;

        let before = get(&node, "configmap changed")?["metadata"]["resourceVersion"].clone();
        let start = Instant::now();
        let output = rkadm(&node, &["restore", "etcd", BACKUP, "--yes", "-o", "json"])?;
        let took = start.elapsed();
        expect(&output, 0, &["trial", "swap", "report"])?;
        println!("restore etcd to a healthy API server: {:.1} s", took.as_secs_f64());
        ensure!(took < Duration::from_secs(30), "it took {took:?}");
        is_back(&node)?;
        let result = json(&output)?;
        ensure!(
            result["kind"] == "EtcdRestore" && result["revision"].as_i64() > Some(1_000_000_000),
            "{result}"
        );
        ensure!(result["objects"]["Node"] == 1, "{result}");

        // A client that knows only the old data has to start anew instead of missing what happened.
        let version = before.as_str().context("no resourceVersion")?;
        let path = format!(
            "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=5&resourceVersion={version}"
        );
        let watched =
            node.sh(&format!("kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw '{path}' 2>&1"))?;
        ensure!(
            watched.stdout.contains("too old resource version") || watched.stdout.contains("Expired"),
            "a watch from before: {watched:?}"
        );
        works(&node)?;
        node.sh_ok("kubeadm certs check-expiration && kubeadm token list")?;
        node.sh_ok("kubeadm upgrade node --dry-run --ignore-preflight-errors=all >/dev/null")?;

        // And back again, although it has finished.
        let id = result["operation"].as_str().context("no operation")?.to_owned();
        expect(&rkadm(&node, &["op", "rollback", &id])?, 0, &[])?;
        is_as_before(&node)?;
        nothing_is_left(&node)
    });
}

#[test]
fn a_restore_killed_anywhere_goes_on_or_goes_back() {
    run("restore killed", |lab| {
        let node = prepared(lab)?;
        for phase in ["trial", "stop", "swap", "start", "report"] {
            let mut running = Running::start(&node, &["restore", "etcd", BACKUP, "--yes"])?;
            running.until(phase)?;
            running.signal("KILL")?;
            ensure!(running.end()?.status == 137, "not killed in {phase}");
            expect(&rkadm(&node, &["op", "rollback"])?, 0, &[])?;
            is_as_before(&node)?;
            nothing_is_left(&node)?;
        }
        for (round, phase) in ["trial", "stop", "swap", "start"].into_iter().enumerate() {
            let mut running = Running::start(&node, &["restore", "etcd", BACKUP, "--yes"])?;
            running.until(phase)?;
            running.signal("KILL")?;
            ensure!(running.end()?.status == 137, "not killed in {phase}");
            let again: &[&str] =
                if round % 2 == 0 { &["restore", "etcd", BACKUP, "--yes"] } else { &["op", "resume"] };
            expect(&rkadm(&node, again)?, 0, &["resuming operation"])?;
            is_back(&node)?;
            expect(&rkadm(&node, &["op", "rollback", &newest(&node)?])?, 0, &[])?;
            is_as_before(&node)?;
        }
        Ok(())
    });
}

fn newest(node: &Node) -> Result<String> {
    let list = json(&rkadm(node, &["op", "list", "-o", "json"])?)?;
    let last = list["items"].as_array().and_then(|items| items.last()).context("no operation")?;
    Ok(last["id"].as_str().context("no id")?.to_owned())
}

#[test]
fn a_restore_that_does_not_come_up_is_taken_back() {
    run("restore fails", |lab| {
        let node = prepared(lab)?;
        let mut running = Running::start(&node, &["restore", "etcd", BACKUP, "--yes"])?;
        running.until("stop")?;
        // What no verification can see: it happens after it.
        node.sh_ok(
            "for f in /var/lib/etcd.rkadm-*/member/wal/*.wal; do head -c 4096 /dev/urandom > $f; done",
        )?;
        let output = running.end()?;
        expect(&output, 1, &["etcd", "this machine is as it was before"])?;
        is_as_before(&node)?;
        nothing_is_left(&node)
    });
}
