//! Upgrades that cannot work, or that are cut off: what is said, and that the cluster is as it was, or goes on from there.
//!
//! All of it happens to one cluster, one after the other: that each finds it well is part of the test.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, run};

use crate::support::{Running, expect, get, kubectl, rkadm, wait};
use crate::upgrade::{FROM, TO, cluster, files, healthy, versions};

#[test]
fn an_upgrade_that_cannot_work_leaves_the_cluster_as_it_was() {
    run("failing upgrade", |lab| {
        let cp1 = cluster(lab)?;
        messages(&cp1)?;
        let plain = config(&cp1)?;
        api_server_does_not_start(&cp1, &plain)?;
        etcd_does_not_start(&cp1, &plain)?;
        set_config(&cp1, &plain)?;
        killed_and_resumed(&cp1)
    });
}

/// The text of the cluster's configuration.
fn config(cp1: &Node) -> Result<String> {
    let config = get(cp1, "-n kube-system configmap/kubeadm-config")?;
    config["data"]["ClusterConfiguration"].as_str().map(str::to_owned).context("no configuration")
}

fn set_config(cp1: &Node, text: &str) -> Result<()> {
    let patch = serde_json::json!({"data": {"ClusterConfiguration": text}}).to_string();
    cp1.write("/root/patch.json", patch, 0o600)?;
    kubectl(cp1, "-n kube-system patch configmap kubeadm-config --type merge --patch-file /root/patch.json")
        .map(drop)
}

fn edit_config(cp1: &Node, plain: &str, from: &str, to: &str) -> Result<()> {
    ensure!(plain.contains(from), "{from:?} is not in\n{plain}");
    set_config(cp1, &plain.replace(from, to))
}

fn as_it_was(cp1: &Node) -> Result<()> {
    ensure!(versions(cp1)? == [FROM; 3], "{:?}", versions(cp1)?);
    healthy(cp1)
}

/// Nobody but the API server of the new version knows that it does not know this flag.
fn api_server_does_not_start(cp1: &Node, plain: &str) -> Result<()> {
    let bad = "apiServer: {extraArgs: [{name: no-such-flag, value: \"1\"}]}";
    edit_config(cp1, plain, "apiServer: {}", bad)?;
    let output = rkadm(cp1, &["upgrade", "apply", TO, "--yes"])?;
    let words =
        ["kube-apiserver crashes again and again", "unknown flag: --no-such-flag", "Rolled back: all"];
    expect(&output, 1, &words)?;
    as_it_was(cp1)
}

/// The old etcd takes the flag, and the new one does not: that is told before, and somebody who knows better goes on.
fn etcd_does_not_start(cp1: &Node, plain: &str) -> Result<()> {
    let data = "    dataDir: /var/lib/etcd\n";
    let flag = "    extraArgs: [{name: experimental-initial-corrupt-check, value: \"true\"}]\n";
    edit_config(cp1, plain, data, &format!("{data}{flag}"))?;
    let told = [
        "[RemovedFlag]",
        "etcd: --experimental-initial-corrupt-check is gone with etcd 3.7: use InitialCorruptCheck",
    ];
    expect(&rkadm(cp1, &["upgrade", "apply", TO, "--yes"])?, 3, &told)?;

    let objects = || {
        let kinds = "configmaps,secrets,serviceaccounts,namespaces,nodes,clusterroles,deployments,daemonsets";
        let fields =
            "{range .items[*]}{.kind} {.metadata.namespace} {.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
        kubectl(cp1, &format!("get {kinds} -A -o jsonpath='{fields}'"))
    };
    let (before, configured) = (objects()?, files(cp1)?);
    let output = rkadm(cp1, &["upgrade", "apply", TO, "--yes", "--ignore-preflight-errors", "RemovedFlag"])?;
    let words = [
        "etcd crashes again and again",
        "flag provided but not defined: -experimental-initial-corrupt-check",
        "Rolled back: all",
    ];
    expect(&output, 1, &words)?;
    as_it_was(cp1)?;
    let (after, left) = (objects()?, files(cp1)?);
    ensure!(before == after, "the cluster does not hold what it did:\n{before}\n\n{after}");
    ensure!(configured == left, "the files are not as they were:\n{configured}\n\n{left}");
    Ok(())
}

/// Each refused before anything is done.
fn messages(cp1: &Node) -> Result<()> {
    let before = files(cp1)?;
    let refused = |args: &[&str], code, words: &[&str]| -> Result<()> {
        let output = rkadm(cp1, &[&["upgrade", "apply", "--yes"], args].concat())?;
        expect(&output, code, words).map(drop)
    };
    refused(&[], 2, &["which version? This control plane has v1.36.4", "rkadm upgrade apply v1.37.2"])?;
    refused(&["v1.99.0"], 2, &["version v1.99.0 is not supported", "v1.37.2"])?;
    refused(&["v1.35.8"], 3, &["[KubernetesVersion] v1.35.8 is older than v1.36.4", "rkadm op rollback"])?;
    refused(&["v1.37.0-rc.1"], 3, &["[KubernetesVersion] v1.37.0-rc.1 is no release"])?;
    refused(&["v1.37.77"], 1, &["kube-apiserver:v1.37.77", "Nothing was changed on this machine"])?;
    // An edit by hand would be lost.
    cp1.sh_ok("sed -i 's/^    - --leader-elect=true/&\\n    - --profiling=false/' /etc/kubernetes/manifests/kube-scheduler.yaml")?;
    refused(
        &[TO],
        3,
        &[
            "[ManifestDrift]",
            "kube-scheduler.yaml was edited by hand",
            "--profiling=false",
            "scheduler.extraArgs",
        ],
    )?;
    cp1.sh_ok("sed -i '/--profiling=false/d' /etc/kubernetes/manifests/kube-scheduler.yaml")?;
    cp1.sh_ok(
        "cp /etc/kubernetes/manifests/kube-scheduler.yaml /etc/kubernetes/manifests/kube-scheduler.yaml.bak",
    )?;
    refused(&[TO], 3, &["[StrayManifest]", "kube-scheduler.yaml.bak is a second manifest"])?;
    cp1.sh_ok("rm /etc/kubernetes/manifests/kube-scheduler.yaml.bak")?;
    helm_release(cp1, |args| refused(&[TO], 3, args))?;
    wait(cp1, "rkadm health -q")?;
    ensure!(files(cp1)? == before, "what was refused has changed something");
    Ok(())
}

/// As Helm stores one, with an object whose API the new version does not serve.
fn helm_release(cp1: &Node, refused: impl FnOnce(&[&str]) -> Result<()>) -> Result<()> {
    let manifest = "---\n# Source: web/templates/cidr.yaml\napiVersion: networking.k8s.io/v1beta1\nkind: ServiceCIDR\n\
                    metadata:\n  name: extra\nspec:\n  cidrs: [10.200.0.0/24]\n";
    let release = serde_json::json!({"name": "web", "namespace": "default", "version": 3, "manifest": manifest,
        "info": {"status": "deployed"}, "chart": {"metadata": {"name": "web"}}, "config": {}});
    cp1.write("/root/release.json", release.to_string(), 0o600)?;
    let name = "sh.helm.release.v1.web.v3";
    cp1.sh_ok(&format!(
        "gzip -9 </root/release.json | base64 -w0 >/root/release
         export KUBECONFIG=/etc/kubernetes/admin.conf
         kubectl create secret generic {name} --type helm.sh/release.v1 --from-file release=/root/release
         kubectl label secret {name} owner=helm name=web status=deployed version=3"
    ))?;
    refused(&[
        "[HelmRelease]",
        "Helm release default/web (revision 3) has ServiceCIDR extra of networking.k8s.io/v1beta1, and v1.37.2 does not serve it",
        "a version of its chart that uses networking.k8s.io/v1, or",
    ])?;
    kubectl(cp1, &format!("delete secret {name}")).map(drop)
}

/// kill -9 while the control plane is down, power loss, and the same command again.
fn killed_and_resumed(cp1: &Node) -> Result<()> {
    let mut running = Running::start(cp1, &["upgrade", "apply", TO, "--yes"])?;
    running.until_waiting("control-plane")?;
    cp1.sh_ok("pkill -9 -x rkadm")?;
    drop(running);
    cp1.power_loss()?;
    cp1.boot()?;
    expect(&rkadm(cp1, &["upgrade", "apply", TO, "--yes"])?, 0, &["resum"])?;
    ensure!(versions(cp1)? == [TO; 3], "{:?}", versions(cp1)?);
    healthy(cp1)
}
