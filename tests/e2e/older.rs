//! The older minors that rkadm knows: clusters of kubeadm there are taken over, and kubeadm goes on with clusters of rkadm.
//! The programs of the two oldest are not built unless they are asked for: `make older-minors`.

use anyhow::{Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, run};

use crate::support::{
    CONFIG, IGNORE, Ticket, certificates_of_a_year, expect, fresh_of, get, healthy, init, install_network,
    joined, json, kubectl, machine, members, members_agree, patch_version, rkadm, wait,
};

#[test]
#[ignore = "needs Kubernetes 1.34: make older-minors"]
fn clusters_of_1_34_are_taken_over() {
    run("1.34", |lab| taken_over(lab, "1.34", "v1.35.8"));
}

#[test]
#[ignore = "needs Kubernetes 1.35: make older-minors"]
fn clusters_of_1_35_are_taken_over() {
    run("1.35", |lab| taken_over(lab, "1.35", "v1.36.4"));
}

#[test]
#[ignore = "needs Kubernetes 1.34: make older-minors"]
fn kubeadm_1_34_goes_on_with_a_cluster_of_rkadm() {
    run("1.34 of rkadm", |lab| given_back(lab, "1.34"));
}

#[test]
#[ignore = "needs Kubernetes 1.35: make older-minors"]
fn kubeadm_1_35_goes_on_with_a_cluster_of_rkadm() {
    run("1.35 of rkadm", |lab| given_back(lab, "1.35"));
}

#[test]
fn clusters_of_1_36_are_taken_over() {
    run("1.36", |lab| taken_over(lab, "1.36", "v1.37.2"));
}

/// rkadm works on a cluster that kubeadm made.
fn taken_over(lab: &Lab, minor: &str, next: &str) -> Result<()> {
    let cp1 = fresh_of(lab, "cp1", NodeSpec::new(minor))?;
    cp1.sh_ok(&format!("kubeadm init --config {CONFIG} --upload-certs"))?;
    install_network(&cp1, &[&cp1])?;
    wait(&cp1, "rkadm health -q")?;
    let words = ["is part of a cluster already", "Nothing was changed"];
    expect(&rkadm(&cp1, &["init", "--config", CONFIG])?, 3, &words)?;
    comes_back(&cp1)?;
    renewed(&cp1)?;

    let ticket = Ticket::of(&cp1)?;
    let cp2 = machine(lab, "cp2", NodeSpec::new(minor))?;
    let w1 = machine(lab, "w1", NodeSpec::new(minor))?;
    expect(&ticket.join(&cp2, true)?, 0, &[])?;
    expect(&ticket.join(&w1, false)?, 0, &[])?;
    joined(&cp1, "cp2", true)?;
    joined(&cp1, "w1", false)?;
    for node in ["cp1", "cp2", "w1"] {
        let version = get(&cp1, &format!("node {node}"))?["status"]["nodeInfo"]["kubeletVersion"].clone();
        ensure!(version == patch_version(minor), "{node}: {version}");
    }
    ensure!(members(&cp1)? == (2, 0), "{:?}", members(&cp1)?);
    members_agree(&cp1)?;
    install_network(&cp1, &[&cp1, &cp2, &w1])?;
    wait(&cp1, "rkadm health -q")?;
    let plan = rkadm(&cp1, &["upgrade", "plan", next, "-o", "json"])?;
    ensure!(json(&plan)?["kind"] == "UpgradePlan", "{plan:?}");

    expect(&rkadm(&cp2, &["reset", "--force"])?, 0, &[])?;
    ensure!(members(&cp1)? == (1, 0), "{:?}", members(&cp1)?);
    wait(&cp1, "kubectl delete node cp2 --ignore-not-found && rkadm health -q")?;
    expect(&rkadm(&w1, &["reset", "--force"])?, 0, &[]).map(drop)
}

/// What was there when the backup was made is there again, and what came later is not.
fn comes_back(cp1: &Node) -> Result<()> {
    kubectl(cp1, "create configmap before")?;
    expect(&rkadm(cp1, &["backup", "etcd"])?, 0, &[])?;
    kubectl(cp1, "create configmap later")?;
    expect(&rkadm(cp1, &["restore", "etcd", "latest", "--yes"])?, 0, &[])?;
    wait(cp1, "kubectl get configmap before && ! kubectl get configmap later && rkadm health -q").map(drop)
}

fn renewed(cp1: &Node) -> Result<()> {
    let serial = "openssl x509 -noout -serial -in /etc/kubernetes/pki/apiserver.crt";
    let before = cp1.sh_ok(serial)?;
    expect(&rkadm(cp1, &["certs", "renew", "all"])?, 0, &[])?;
    ensure!(cp1.sh_ok(serial)? != before, "the same certificate");
    wait(cp1, "rkadm health -q")?;
    certificates_of_a_year(cp1).map(drop)
}

/// kubeadm works on a cluster that rkadm made.
fn given_back(lab: &Lab, minor: &str) -> Result<()> {
    let cp1 = fresh_of(lab, "cp1", NodeSpec::new(minor))?;
    expect(&init(&cp1)?, 0, &[])?;
    install_network(&cp1, &[&cp1])?;
    healthy(&cp1)?;
    certificates_of_a_year(&cp1)?;
    let ticket = Ticket::of(&cp1)?;
    let cp2 = machine(lab, "cp2", NodeSpec::new(minor))?;
    let w1 = machine(lab, "w1", NodeSpec::new(minor))?;
    ticket.kubeadm(&cp2, true)?;
    ticket.kubeadm(&w1, false)?;
    joined(&cp1, "cp2", true)?;
    joined(&cp1, "w1", false)?;
    install_network(&cp1, &[&cp1, &cp2, &w1])?;
    wait(&cp1, "rkadm health -q")?;
    let version = patch_version(minor);
    let plan = cp1.sh_ok(&format!("kubeadm upgrade plan {version} {IGNORE}"))?;
    ensure!(plan.contains(&format!("Cluster version: {}", version.trim_start_matches('v'))), "{plan}");
    cp2.sh_ok("kubeadm reset --force")?;
    ensure!(members(&cp1)? == (1, 0), "{:?}", members(&cp1)?);
    Ok(())
}
