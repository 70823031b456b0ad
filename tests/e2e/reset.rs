//! `reset` on real nodes: what it removes and what it leaves, the way back, and kill -9 in the middle.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, run};

use crate::support::{
    CONFIG, Random, Running, expect, fresh, get, healthy, init, install_network, json, kubectl, rkadm, wait,
};

/// What is there, without times and contents.
const LISTING: &str = "find /etc/kubernetes /var/lib/kubelet /var/lib/etcd -printf '%p %M %u:%g\\n' | sort";
/// Rules of somebody else, in the very tables that kube-proxy uses.
const FOREIGN: &str = "iptables -A INPUT -s 192.0.2.1 -j DROP && iptables -N MINE && iptables -A FORWARD -j MINE && \
                       iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -m comment --comment 'not KUBE-SERVICES' -j MASQUERADE && \
                       nft add table inet mine && nft add chain inet mine input";
/// Tables that iptables makes for a question, and leaves empty, are no rules.
const RULES: &str = "iptables-save | grep -E '^-A|^:.* - ' | sed 's/\\[.*\\]//'; nft list table inet mine";

fn reset(node: &Node) -> Result<String> {
    expect(&rkadm(node, &["reset", "--force"])?, 0, &[])
}

fn nothing_runs(node: &Node) -> Result<()> {
    let containers = node.sh_ok("ctr -n k8s.io containers list -q")?;
    ensure!(containers.is_empty(), "containers are left: {containers}");
    let mounts = node.sh_ok("findmnt -rno TARGET | grep ^/var/lib/kubelet/ || true")?;
    ensure!(mounts.is_empty(), "mounts are left: {mounts}");
    let kubelet = node.sh("systemctl is-active kubelet")?;
    ensure!(kubelet.stdout.trim() == "inactive", "the kubelet is {}", kubelet.stdout);
    Ok(())
}

#[test]
fn reset_leaves_what_kubeadm_leaves_and_each_resets_what_the_other_made() {
    run("reset", |lab| {
        let node = fresh(lab, "cp1")?;
        node.sh_ok(&format!("{FOREIGN} && echo mine > /etc/kubernetes/mine"))?;
        let foreign = node.sh_ok(RULES)?;

        expect(&init(&node)?, 0, &[])?;
        install_network(&node, &[&node])?;
        node.sh_ok("kubeadm reset --force")?;
        let theirs = node.sh_ok(LISTING)?;
        ensure!(node.sh_ok(RULES)?.contains("KUBE-"), "kubeadm leaves the rules");

        node.sh_ok(&format!("kubeadm init --config {CONFIG}"))?;
        install_network(&node, &[&node])?;
        let plan = expect(&rkadm(&node, &["reset", "--dry-run"])?, 0, &[])?;
        ensure!(plan.contains("stop service kubelet") && plan.contains("chains of Kubernetes"), "{plan}");
        serves(&node)?;
        reset(&node)?;
        nothing_runs(&node)?;
        let ours = node.sh_ok(LISTING)?;
        ensure!(ours == theirs, "kubeadm leaves:\n{theirs}\nrkadm leaves:\n{ours}");
        let left = node.sh_ok(RULES)?;
        ensure!(left == foreign, "before:\n{foreign}\nafter:\n{left}");
        ensure!(node.sh_ok("cat /etc/kubernetes/mine")?.trim() == "mine");

        let again = reset(&node)?;
        ensure!(again.starts_with("Nothing to do: ") && again.lines().count() == 1, "{again}");
        let output = rkadm(&node, &["reset", "--force", "-o", "json"])?;
        ensure!(output.success() && json(&output)?["changed"] == false, "{output:?}");

        expect(&init(&node)?, 0, &[])?;
        healthy(&node)?;
        everything_that_can_be_asked_for(&node)
    });
}

fn serves(node: &Node) -> Result<()> {
    ensure!(kubectl(node, "get --raw /livez")? == "ok");
    Ok(())
}

fn everything_that_can_be_asked_for(node: &Node) -> Result<()> {
    install_network(node, &[node])?;
    node.sh_ok("mkdir -p /root/.kube && cp /etc/kubernetes/admin.conf /root/.kube/config")?;
    let all = [
        "reset",
        "--force",
        "--remove-cni",
        "--remove-interfaces",
        "--remove-kubeconfig",
        "--archive-dir",
        "/root/kept",
    ];
    let output = rkadm(node, &[&all[..], &["-o", "json"]].concat())?;
    let result = json(&output)?;
    ensure!(
        result["changed"] == true && result["left"].as_array().is_some_and(|left| left.len() == 1),
        "{result}"
    );
    let gone = "test -z \"$(ls -A /etc/cni/net.d /var/lib/cni | grep -v :)\"; test ! -e /root/.kube/config; ! ip link show cni0";
    node.sh_ok(&format!("set -e; {gone}"))?;
    // Not any 10-: the uid of a pod, of which directories are called, may have one.
    let archive = result["archives"][0].as_str().context("no archive")?;
    let mode = node.sh_ok(&format!(
        "stat -c %a {archive} && tar -tzf {archive} | grep -c 'admin.conf\\|kube/config\\|net.d/10-'"
    ))?;
    ensure!(
        archive.starts_with("/root/kept/") && mode.split_whitespace().eq(["600", "4"]),
        "{archive}: {mode}"
    );
    let id = result["operation"].as_str().context("no operation")?;
    expect(&rkadm(node, &["op", "rollback", id])?, 0, &[])?;
    node.sh_ok(
        "test -e /root/.kube/config && test -n \"$(ls /etc/cni/net.d)\" && test ! -e /root/kept/*.gz",
    )?;
    wait(node, "kubectl get --raw /readyz")?;
    wait(node, "kubectl wait --for=condition=Ready node --all --timeout=60s").map(drop)
}

#[test]
fn a_finished_reset_is_taken_back_to_a_healthy_control_plane() {
    run("reset rollback", |lab| {
        let node = fresh(lab, "cp1")?;
        expect(&init(&node)?, 0, &[])?;
        install_network(&node, &[&node])?;
        kubectl(&node, "create configmap mine --from-literal=a=b")?;
        let before = node.sh_ok(&files())?;
        let id = reset_id(&node)?;
        // What was made since would be mixed with what was before.
        node.sh_ok("touch /etc/kubernetes/admin.conf")?;
        expect(
            &rkadm(&node, &["op", "rollback", &id])?,
            1,
            &[
                "something was made since",
                "/etc/kubernetes/admin.conf is there again",
                "what it removed is in /var/lib/rkadm/archives/",
            ],
        )?;
        node.sh_ok("rm /etc/kubernetes/admin.conf")?;
        back(&node, &id)?;
        let after = node.sh_ok(&files())?;
        ensure!(before == after, "before:\n{before}\nafter:\n{after}");
        expect(&rkadm(&node, &["op", "rollback", &id])?, 1, &["rolled-back: there is nothing to roll back"])?;

        // Another cluster came since.
        let id = reset_id(&node)?;
        expect(&init(&node)?, 0, &[])?;
        expect(
            &rkadm(&node, &["op", "rollback", &id])?,
            1,
            &["something was made since", "(rkadm init) came after it"],
        )?;
        healthy(&node)
    });
}

/// Files that are not the kubelet's own work.
fn files() -> String {
    "find /etc/kubernetes /var/lib/kubelet/*.* -type f -exec sha256sum {} + | sort; \
     find /etc/kubernetes /var/lib/kubelet/pki /var/lib/kubelet/*.* -printf '%p %M %u:%g %l\\n' | sort"
        .into()
}

fn reset_id(node: &Node) -> Result<String> {
    let output = rkadm(node, &["reset", "--force", "-o", "json"])?;
    ensure!(output.success(), "{output:?}");
    Ok(json(&output)?["operation"].as_str().context("no operation")?.to_owned())
}

/// Takes the reset back, and waits until what was in the cluster is there again.
fn back(node: &Node, id: &str) -> Result<()> {
    expect(&rkadm(node, &["op", "rollback", id])?, 0, &[])?;
    alive(node)
}

fn alive(node: &Node) -> Result<()> {
    wait(node, "kubectl get --raw /readyz")?;
    wait(node, "kubectl get configmap mine")?;
    wait(node, "kubectl wait --for=condition=Ready node --all --timeout=60s")?;
    wait(node, "kubectl -n kube-system rollout status daemonset/kube-proxy --timeout=60s").map(drop)
}

#[test]
fn reset_killed_at_random_moments_is_finished_or_taken_back() {
    const ROUNDS: u32 = 12;
    let mut random = Random::seeded();
    run("reset killed", |lab| {
        let node = fresh(lab, "cp1")?;
        expect(&init(&node)?, 0, &[])?;
        install_network(&node, &[&node])?;
        kubectl(&node, "create configmap mine --from-literal=a=b")?;
        let (duration, id) = {
            let start = Instant::now();
            let id = reset_id(&node)?;
            (start.elapsed(), id)
        };
        let listing = node.sh_ok(LISTING)?;
        back(&node, &id)?;
        for round in 0..ROUNDS {
            let part = (f64::from(round) + random.fraction()) / f64::from(ROUNDS);
            let moment = duration.mul_f64(part);
            println!("round {round}: killed after {moment:?}");
            killed(&node, moment)?;
            if round == ROUNDS / 2 {
                // The kubelet starts at boot, whatever is left for it.
                node.power_loss()?;
                node.boot()?;
            }
            settle(&node, round, &listing).with_context(|| format!("killed after {moment:?}"))?;
        }
        Ok(())
    });
}

fn killed(node: &Node, moment: Duration) -> Result<()> {
    let mut running = Running::start(node, &["reset", "--force"])?;
    std::thread::sleep(moment);
    running.signal("KILL")?;
    while running.next()?.is_some() {}
    running.end().map(drop)
}

/// Finished, by the same command or `op resume`, and then taken back; or taken back at once.
fn settle(node: &Node, round: u32, listing: &str) -> Result<()> {
    let list = json(&rkadm(node, &["op", "list", "-o", "json"])?)?;
    let last = list["items"].as_array().and_then(|items| items.last()).cloned().unwrap_or_default();
    let running = last["command"] == "reset" && last["status"] == "running";
    match round % 3 {
        0 if running => drop(expect(&rkadm(node, &["op", "rollback"])?, 0, &[])?),
        1 if running => drop(expect(&rkadm(node, &["op", "resume"])?, 0, &[])?),
        _ => drop(reset(node)?),
    }
    if !round.is_multiple_of(3) || !running {
        nothing_runs(node)?;
        let now = node.sh_ok(LISTING)?;
        ensure!(now == *listing, "undisturbed:\n{listing}\nnow:\n{now}");
        // One that was killed when it had finished is followed by one that finds nothing to remove.
        let finished = last["command"] == "reset" && last["status"] == "finished";
        let id = match last["id"].as_str().filter(|_| finished) {
            Some(id) => id.to_owned(),
            None => newest_reset(node)?,
        };
        return back(node, &id);
    }
    alive(node)
}

fn newest_reset(node: &Node) -> Result<String> {
    let list = json(&rkadm(node, &["op", "list", "-o", "json"])?)?;
    let mut newest_first = list["items"].as_array().into_iter().flatten().rev();
    let newest = newest_first.find(|item| item["command"] == "reset");
    Ok(newest.and_then(|item| item["id"].as_str()).context("no reset")?.to_owned())
}

#[test]
fn control_planes_and_workers_leave_a_cluster_that_goes_on() {
    run("reset members", |lab| {
        let names = ["cp1", "cp2", "cp3", "worker"];
        let nodes = names.map(|name| fresh(lab, name));
        let [cp1, cp2, cp3, worker] = nodes;
        let (cp1, cp2, cp3, worker) = (cp1?, cp2?, cp3?, worker?);
        let key = cp1.sh_ok("kubeadm certs certificate-key")?.trim().to_owned();
        let args = ["init", "--config", CONFIG, "--upload-certs"];
        cp1.sh_ok(&format!("sed -i 's/^kind: InitConfiguration/&\\ncertificateKey: {key}/' {CONFIG}"))?;
        expect(&rkadm(&cp1, &args)?, 0, &[])?;
        let join =
            cp1.sh_ok("rkadm token create --print-join-command")?.trim().replacen("rkadm", "kubeadm", 1);
        let ignore = "--ignore-preflight-errors=SystemVerification,Swap,NumCPU";
        for node in [&cp2, &cp3] {
            node.sh_ok(&format!("{join} --control-plane --certificate-key {key} {ignore}"))?;
        }
        worker.sh_ok(&format!("{join} {ignore}"))?;
        install_network(&cp1, &[&cp1, &cp2, &cp3, &worker])?;

        // Two are left of which one is off: said, and not done.
        cp3.power_loss()?;
        let refused = [
            "without this one, etcd has 2 voting members, of which 2 must be up for it to take writes, and 1 is",
            "cp3",
            "does not answer",
        ];
        expect(&yes(&cp2)?, 1, &refused)?;
        ensure!(cp2.sh_ok("systemctl is-active kubelet")?.trim() == "active");
        cp3.boot()?;
        wait(&cp3, "curl -skf https://127.0.0.1:6443/readyz")?;

        cp2.sh_ok("mkdir -p /root/.kube && cp /etc/kubernetes/admin.conf /root/.kube/config")?;
        let stdout = reset(&cp2)?;
        ensure!(stdout.contains("etcd member cp2 (") && !stdout.contains("To take it back"), "{stdout}");
        nothing_runs(&cp2)?;
        let id = newest_reset(&cp2)?;
        expect(
            &rkadm(&cp2, &["op", "rollback", &id])?,
            1,
            &["cannot be taken back: etcd member cp2", "cannot come back with its data"],
        )?;
        cp1.write("/root/admin.conf", cp1.read("/etc/kubernetes/admin.conf")?, 0o600)?;
        worker.write("/root/admin.conf", cp1.read("/etc/kubernetes/admin.conf")?, 0o600)?;
        expect(
            &rkadm(&worker, &["reset", "--force", "--delete-node", "--kubeconfig", "/root/admin.conf"])?,
            0,
            &[],
        )?;
        nothing_runs(&worker)?;
        let nodes = get(&cp1, "nodes")?;
        let names: Vec<_> = nodes["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|node| node["metadata"]["name"].as_str())
            .collect();
        ensure!(names == ["cp1", "cp2", "cp3"], "{names:?}");
        serves(&cp1)?;

        // The place is free: the machine joins again, and its worker is taken back with its Node.
        kubectl(&cp1, "delete node cp2")?;
        cp2.sh_ok(&format!("{join} --control-plane --certificate-key {key} {ignore}"))?;
        wait(&cp1, "kubectl wait --for=condition=Ready node cp2 --timeout=60s")?;
        let id = newest_reset(&worker)?;
        expect(&rkadm(&worker, &["op", "rollback", &id])?, 0, &[])?;
        wait(&cp1, "kubectl wait --for=condition=Ready node worker --timeout=60s").map(drop)
    });
}

/// Confirmed by a pipe, as scripts for kubeadm do.
fn yes(node: &Node) -> Result<rkadm_nodes::Output> {
    node.sh("echo y | rkadm reset")
}
