//! Ctrl-C, power loss, and a second rkadm.

use anyhow::{Result, ensure};
use rkadm_nodes::{Node, run};

use crate::support::{
    Running, Snapshot, expect, fresh, healthy, init, kubectl, nothing_half_written, rkadm, wait,
};

#[test]
fn ctrl_c_stops_at_once_and_resume_finishes() {
    run("ctrl-c resume", |lab| {
        let node = fresh(lab, "cp1")?;
        for phase in ["certs/etcd-server", "control-plane/scheduler", "wait-control-plane", "addon/coredns"] {
            let mut running = Running::init(&node)?;
            running.until(phase)?;
            running.signal("INT")?;
            expect(
                &running.end()?,
                130,
                &[
                    "SIGINT: stopping",
                    "stopped by SIGINT",
                    "nothing is half-written",
                    "rkadm op resume",
                    "rkadm op rollback",
                ],
            )?;
            nothing_half_written(&node)?;
        }
        let list = expect(&rkadm(&node, &["op", "list"])?, 0, &[])?;
        ensure!(list.lines().count() == 2 && list.contains("interrupted"), "{list}");
        expect(&rkadm(&node, &["op", "resume"])?, 0, &["resuming operation"])?;
        healthy(&node)
    });
}

#[test]
fn ctrl_c_and_rollback_leave_the_machine_as_it_was() {
    run("ctrl-c rollback", |lab| {
        let node = fresh(lab, "cp1")?;
        node.sh_ok("mkdir -m 711 /var/lib/etcd && echo mine > /etc/kubernetes/mine && echo own > /var/lib/kubelet/own")?;
        let before = Snapshot::of(&node)?;
        for (phase, signal) in
            [("kubeconfig/admin", "INT"), ("wait-control-plane", "TERM"), ("addon/kube-proxy", "INT")]
        {
            let mut running = Running::init(&node)?;
            running.until(phase)?;
            running.signal(signal)?;
            expect(&running.end()?, 130, &[&format!("stopped by SIG{signal}")])?;
            if phase == "addon/kube-proxy" {
                in_use_is_not_taken_back(&node)?;
            }
            let stdout = expect(&rkadm(&node, &["op", "rollback"])?, 0, &[])?;
            ensure!(stdout.contains("is rolled back"), "{stdout}");
            before.unchanged(&node)?;
        }
        for tries in 1.. {
            power_loss_before_the_kubelet_is_started(&node)?;
            // On a machine with much to do, rkadm may have been quicker.
            let begun = r#""record":"step-started".*"description":"start service kubelet""#;
            if !node
                .sh(&format!("grep -q '{begun}' $(ls /var/lib/rkadm/operations/*.jsonl | tail -1)"))?
                .success()
            {
                break;
            }
            ensure!(tries < 5, "rkadm is always quicker");
            expect(&rkadm(&node, &["op", "rollback"])?, 0, &[])?;
        }
        let stdout = expect(&rkadm(&node, &["op", "rollback"])?, 0, &[])?;
        ensure!(stdout.contains("is rolled back"), "{stdout}");
        before.unchanged(&node)?;
        expect(&init(&node)?, 0, &[])?;
        healthy(&node)
    });
}

#[test]
fn a_second_rkadm_is_told_who_is_at_work() {
    run("second rkadm", |lab| {
        let node = fresh(lab, "cp1")?;
        let mut first = Running::init(&node)?;
        first.until("wait-control-plane")?;
        let who = format!("another rkadm is at work on this machine: pid {}: rkadm init", first.pid()?);
        expect(&init(&node)?, 7, &[&who, "wait until it has ended"])?;
        expect(&rkadm(&node, &["op", "rollback"])?, 7, &[&who])?;
        // Looking is free.
        expect(&rkadm(&node, &["op", "show"])?, 0, &[])?;
        expect(&first.end()?, 0, &[])?;
        healthy(&node)
    });
}

#[test]
fn init_goes_on_after_the_power_was_lost() {
    for phase in ["certs/front-proxy-client", "wait-control-plane", "addon/coredns"] {
        run("power loss", |lab| {
            let node = fresh(lab, "cp1")?;
            let mut running = Running::init(&node)?;
            running.until(phase)?;
            node.power_loss()?;
            drop(running);
            node.boot()?;
            nothing_half_written(&node)?;
            expect(&init(&node)?, 0, &["resuming operation"])?;
            wait(&node, "kubectl get --raw /readyz")?;
            healthy(&node)
        });
    }
}

/// The kubelet has its files, and no rkadm has started it: the machine does when it boots, as the unit is enabled. What is looked for
/// without a pause is seen within a millisecond, and the next step takes longer.
fn power_loss_before_the_kubelet_is_started(node: &Node) -> Result<()> {
    let running = Running::init(node)?;
    let pid = running.pid()?;
    node.sh_ok(&format!(
        "until [ -e /var/lib/kubelet/config.yaml ]; do [ -e /proc/{pid} ] || exit 1; done; kill -STOP {pid}"
    ))?;
    node.power_loss()?;
    drop(running);
    node.boot()?;
    wait(node, "test -e /var/lib/kubelet/pki && pgrep -x etcd").map(drop)
}

/// Somebody has begun to use the cluster that `init` has not finished.
fn in_use_is_not_taken_back(node: &Node) -> Result<()> {
    // The API server makes the administrator's role when it comes to it.
    wait(node, "kubectl create deployment mine --image=registry.k8s.io/pause:3.10.2")?;
    let words = ["made a cluster that is in use", "in namespace default: Deployment mine", "--force"];
    // Nor where the address of all control planes leads nowhere yet: this machine's own API server knows.
    node.sh_ok(
        "sed -i.kept 's#server: .*#server: https://10.99.0.250:6443#' /etc/kubernetes/super-admin.conf",
    )?;
    expect(&rkadm(node, &["op", "rollback"])?, 1, &words)?;
    node.sh_ok("mv /etc/kubernetes/super-admin.conf.kept /etc/kubernetes/super-admin.conf")?;
    kubectl(node, "delete deployment mine")?;
    kubectl(node, "create secret generic mine")?;
    let words = ["made a cluster that is in use", "in namespace default: Secret mine"];
    expect(&rkadm(node, &["op", "rollback"])?, 1, &words)?;
    kubectl(node, "delete secret mine")?;
    wait(node, "test -z \"$(kubectl get pods,deployments -o name)\"").map(drop)
}
