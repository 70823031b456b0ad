//! `rkadm restore etcd` on a real control plane: what was lost is back, nobody is fooled by old data, and every way to the
//! end, or back, is one that the cluster survives.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, run};

use crate::support::{
    NEWEST, Running, Ticket, deploy_probe, etcdctl, expect, fresh, get, init, install_network, json, kubectl,
    machine, members, rkadm, wait, works,
};

/// A backup on the node, made before `lost` was deleted and `late` was made.
const BACKUP: &str = "/root/before.db";
/// The directory of one that is encrypted.
const SEALED: &str = "/srv/sealed";
/// The file with the private key for it.
const IDENTITY: &str = "/root/backup-key";

/// A cluster with a snapshot, and changes since.
fn prepared(lab: &Lab) -> Result<Node> {
    let node = fresh(lab, "cp1")?;
    expect(&init(&node)?, 0, &[])?;
    install_network(&node, &[&node])?;
    deploy_probe(&node)?;
    kubectl(&node, "create configmap lost --from-literal=a=1")?;
    kubectl(&node, "create configmap changed --from-literal=a=1")?;
    snapshot(&node)?;
    sealed(&node)?;
    kubectl(&node, "delete configmap lost")?;
    kubectl(&node, "create configmap late --from-literal=a=1")?;
    kubectl(&node, "patch configmap changed --type merge -p '{\"data\":{\"a\":\"2\"}}'")?;
    Ok(node)
}

/// The same in an archive for the owner of a key, with the public half alone.
fn sealed(node: &Node) -> Result<()> {
    node.sh_ok(&format!("ssh-keygen -q -t ed25519 -N '' -f {IDENTITY} && mv {IDENTITY} {IDENTITY}.away"))?;
    let keys = format!("{IDENTITY}.pub");
    let args = ["backup", "etcd", "--dir", SEALED, "--compression", "zstd", "--recipients-file", &keys];
    let said = expect(&rkadm(node, &args)?, 0, &[])?;
    ensure!(said.contains("has the live member's hash, encrypted to 1 key"), "{said}");
    node.sh_ok(&format!("mv {IDENTITY}.away {IDENTITY}")).map(drop)
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

/// The objects as they were before the restore, and all that works on them.
fn is_as_before(node: &Node) -> Result<()> {
    holds_what_was_before(node)?;
    works(node)
}

/// The objects as they were before the restore.
fn holds_what_was_before(node: &Node) -> Result<()> {
    wait(node, "kubectl get configmap late")?;
    let names = kubectl(node, "get configmap -o name")?;
    ensure!(!names.contains("lost"), "the backup is still there: {names}");
    ensure!(get(node, "configmap changed")?["data"]["a"] == "2");
    Ok(())
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

        let anywhere = r#"--overrides '{"spec":{"tolerations":[{"operator":"Exists"}]}}'"#;
        kubectl(&node, &format!("run newcomer --image registry.k8s.io/pause:3.10.2 {anywhere}"))?;
        kubectl(&node, "wait --for=condition=Ready pod/newcomer --timeout=60s")?;
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
        ensure!(result["objects"]["nodes"] == 1 && result["objects"]["deployments.apps"] == 2, "{result}");
        ensure!(result["differences"] == serde_json::json!([]), "{result}");
        ensure!(result["unknownPods"] == serde_json::json!(["default/newcomer"]), "{result}");

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
        let seen = revision(&node)?;
        let id = result["operation"].as_str().context("no operation")?.to_owned();
        expect(&rkadm(&node, &["op", "rollback", &id])?, 0, &[])?;
        is_as_before(&node)?;
        ensure!(revision(&node)? > seen, "who has seen {seen} waits for what is later");
        nothing_is_left(&node)?;

        // The same data from an archive that only a key opens: newer than all that was seen.
        let seen = revision(&node)?;
        let latest = ["restore", "etcd", "latest", "--dir", SEALED, "--yes"];
        expect(&rkadm(&node, &latest)?, 1, &["is encrypted, and no identity was given"])?;
        expect(&rkadm(&node, &[&latest[..], &["--identity", IDENTITY]].concat())?, 0, &[])?;
        is_back(&node)?;
        ensure!(revision(&node)? > seen, "who has seen {seen} waits for what is later");
        works(&node)
    });
}

/// The newest revision of the cluster.
fn revision(node: &Node) -> Result<u64> {
    let raw = kubectl(node, "get --raw /api/v1/namespaces/default/configmaps?limit=1")?;
    let raw: serde_json::Value = serde_json::from_str(&raw)?;
    Ok(raw["metadata"]["resourceVersion"].as_str().context("no resourceVersion")?.parse()?)
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
            holds_what_was_before(&node)?;
            nothing_is_left(&node)?;
        }
        // Controllers need a while for what they do, so they are watched once only: after the one that they have seen most of.
        works(&node)?;
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
            holds_what_was_before(&node)?;
        }
        works(&node)
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

/// A worker's kubelet and kube-proxy are not restarted by anybody: what they learn, they learn because they were told that
/// what they know is old.
#[test]
fn a_worker_learns_of_a_restore_from_an_archive() {
    run("restore archive", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        expect(&init(&cp1)?, 0, &[])?;
        let w1 = machine(lab, "w1", NodeSpec::new(NEWEST))?;
        expect(&Ticket::of(&cp1)?.join(&w1, false)?, 0, &[])?;
        install_network(&cp1, &[&cp1, &w1])?;
        deploy_probe(&cp1)?;
        kubectl(&cp1, "create configmap lost --from-literal=a=1")?;
        expect(&rkadm(&cp1, &["backup", "etcd"])?, 0, &[])?;
        kubectl(&cp1, "delete configmap lost")?;
        kubectl(&cp1, "create configmap late --from-literal=a=1")?;

        cp1.sh_ok(
            "cp -a /etc/kubernetes/pki /root/pki && openssl genrsa -out /etc/kubernetes/pki/sa.key 2048",
        )?;
        let words = ["[Keys]", "/etc/kubernetes/pki/sa.key has another key", "--force"];
        expect(&rkadm(&cp1, &["restore", "etcd", "latest", "--yes"])?, 3, &words)?;
        cp1.sh_ok("cp -a /root/pki/sa.key /etc/kubernetes/pki/sa.key")?;

        let said = expect(&rkadm(&cp1, &["restore", "etcd", "latest", "--yes"])?, 0, &[])?;
        ensure!(said.contains("rkadm op rollback") && said.contains("2 nodes"), "{said}");
        wait(&cp1, "kubectl get configmap lost && ! kubectl get configmap late")?;
        works(&cp1)?;
        kubectl(&cp1, "-n kube-system expose deployment coredns --name probe --port 8181")?;
        let address = kubectl(&cp1, "-n kube-system get service probe -o jsonpath={.spec.clusterIP}")?;
        wait(&w1, &format!("curl -sf --max-time 2 http://{}:8181/ready", address.trim()))?;
        // Members of etcd that other control planes have would go on with the old data.
        let cp2 = machine(lab, "cp2", NodeSpec::new(NEWEST))?;
        expect(&Ticket::of(&cp1)?.join(&cp2, true)?, 0, &[])?;
        let words = ["[EtcdMembers] etcd has 2 voting members", "rkadm reset"];
        expect(&rkadm(&cp1, &["restore", "etcd", "latest", "--yes", "--force"])?, 3, &words).map(drop)
    });
}

#[test]
fn a_restore_goes_on_after_the_power_was_lost() {
    run("restore power loss", |lab| {
        let node = prepared(lab)?;
        for phase in ["stop", "swap", "start"] {
            let mut running = Running::start(&node, &["restore", "etcd", BACKUP, "--yes"])?;
            running.until(phase)?;
            // A machine that dies takes some milliseconds, in which rkadm could still see its services go.
            running.signal("KILL")?;
            node.power_loss()?;
            drop(running);
            node.boot()?;
            expect(&rkadm(&node, &["restore", "etcd", BACKUP, "--yes"])?, 0, &["resuming operation"])?;
            is_back(&node)?;
            expect(&rkadm(&node, &["op", "rollback", &newest(&node)?])?, 0, &[])?;
            wait(&node, "kubectl get configmap late")?;
        }
        is_as_before(&node)
    });
}

#[test]
fn data_on_a_disk_of_its_own_is_swapped_within_it() {
    run("restore mounted", |lab| {
        let node = fresh(lab, "cp1")?;
        node.small_fs("/var/lib/etcd", 800 << 20)?;
        expect(&init(&node)?, 0, &[])?;
        kubectl(&node, "create configmap lost --from-literal=a=1")?;
        expect(&rkadm(&node, &["backup", "etcd"])?, 0, &[])?;
        kubectl(&node, "delete configmap lost")?;
        let output = rkadm(&node, &["restore", "etcd", "latest", "--yes", "-o", "json"])?;
        expect(&output, 0, &[])?;
        wait(&node, "kubectl get configmap lost")?;
        let old = json(&output)?["oldData"].as_str().context("no oldData")?.to_owned();
        ensure!(old.starts_with("/var/lib/etcd/before-"), "{old}");
        let names = node.sh_ok("ls /var/lib/etcd")?;
        ensure!(names.lines().count() == 2 && names.contains("member"), "{names}");
        expect(&rkadm(&node, &["op", "rollback", &newest(&node)?])?, 0, &[])?;
        wait(&node, "kubectl get --raw /readyz && ! kubectl get configmap lost")?;
        let names = node.sh_ok("ls /var/lib/etcd")?;
        ensure!(names.trim() == "member", "{names}");
        // Without the old data there is no way back.
        let output = rkadm(&node, &["restore", "etcd", "latest", "--yes", "-o", "json"])?;
        expect(&output, 0, &[])?;
        node.sh_ok("rm -r /var/lib/etcd/before-*")?;
        let words = ["the old data is no longer in /var/lib/etcd/before-"];
        expect(&rkadm(&node, &["op", "rollback", &newest(&node)?])?, 1, &words).map(drop)
    });
}

/// What backups are for.
#[test]
fn an_etcd_whose_data_is_destroyed_comes_back() {
    run("restore destroyed", |lab| {
        let node = prepared(lab)?;
        node.sh_ok(
            "rm -rf /var/lib/etcd/member; pkill -9 -x etcd
             until test -e /var/lib/etcd/member/snap/db; do sleep 0.2; done
             head -c 50000 /dev/urandom > /var/lib/etcd/member/snap/db; pkill -9 -x etcd; sleep 1",
        )?;
        let words = ["[EtcdMembers] the members of etcd cannot be known", "--force"];
        expect(&rkadm(&node, &["restore", "etcd", BACKUP, "--yes"])?, 3, &words)?;
        let words = ["Warning", "the members of etcd cannot be known"];
        expect(&rkadm(&node, &["restore", "etcd", BACKUP, "--yes", "--force"])?, 0, &words)?;
        is_back(&node)?;
        works(&node)
    });
}
