//! Certificates of a cluster that lives: renewed, taken up by the components, signed elsewhere.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, run};
use serde_json::Value;

use crate::support::{CONFIG, certificates_of_a_year, expect, fresh, healthy, init, json, rkadm, wait};

/// Serial numbers that are served, by the component's name.
fn served(node: &Node) -> Result<Vec<String>> {
    let ask = |port: u16, more: &str| -> Result<String> {
        let address = node.ip();
        let serial = node.sh_ok(&format!(
            "openssl s_client -connect {address}:{port} {more} </dev/null 2>/dev/null | openssl x509 -noout -serial"
        ))?;
        Ok(serial.trim().to_owned())
    };
    let etcd = "-cert /etc/kubernetes/pki/etcd/healthcheck-client.crt -key /etc/kubernetes/pki/etcd/healthcheck-client.key";
    Ok(vec![ask(6443, "")?, ask(2379, etcd)?])
}

fn on_disk(node: &Node) -> Result<Vec<String>> {
    let files = ["apiserver", "etcd/server"];
    let serial = |name: &str| {
        Ok(node
            .sh_ok(&format!("openssl x509 -noout -serial -in /etc/kubernetes/pki/{name}.crt"))?
            .trim()
            .to_owned())
    };
    files.into_iter().map(serial).collect()
}

/// How often each container of the control plane was started.
fn starts(node: &Node) -> Result<Vec<(String, i64)>> {
    let pods: Value = serde_json::from_str(&node.sh_ok(
        "KUBECONFIG=/etc/kubernetes/admin.conf kubectl -n kube-system get pods -l tier=control-plane -o json",
    )?)?;
    let mut starts: Vec<_> = pods["items"]
        .as_array()
        .context("no pods")?
        .iter()
        .map(|pod| {
            let status = &pod["status"]["containerStatuses"][0];
            (
                status["name"].as_str().unwrap_or_default().to_owned(),
                status["restartCount"].as_i64().unwrap_or(-1),
            )
        })
        .collect();
    starts.sort();
    Ok(starts)
}

#[test]
fn renewed_certificates_are_in_use_when_the_command_ends() {
    run("certs renew", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        expect(&init(&cp1)?, 0, &[])?;
        let before = (served(&cp1)?, on_disk(&cp1)?);
        ensure!(before.0 == before.1, "{before:?}");

        killed_in_the_middle(&cp1)?;
        let result = json(&rkadm(&cp1, &["op", "resume", "-o", "json"])?)?;
        ensure!(result["renewed"].as_array().is_some_and(|renewed| renewed.len() == 11), "{result}");
        let all = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
        ensure!(result["restarted"] == serde_json::json!(all), "{result}");
        // No waiting: that is what the command has done.
        let after = (served(&cp1)?, on_disk(&cp1)?);
        ensure!(after.0 == after.1 && after.0 != before.0, "{before:?}\n{after:?}");
        healthy(&cp1)?;
        wait(&cp1, "kubectl get nodes && kubectl -n kube-system get pods")?;
        certificates_of_a_year(&cp1)?;

        only_what_uses_it_is_restarted(&cp1)
    });
}

fn only_what_uses_it_is_restarted(cp1: &Node) -> Result<()> {
    // What the kubelet tells of its pods comes a moment later.
    let counts = "kubectl -n kube-system get pods -l tier=control-plane -o jsonpath={.items[*].status.containerStatuses[0].restartCount}";
    wait(cp1, &format!("! {counts} | grep -qw 0"))?;
    let before = starts(cp1)?;
    let result = json(&rkadm(cp1, &["certs", "renew", "scheduler.conf", "admin.conf", "-o", "json"])?)?;
    ensure!(result["restarted"] == serde_json::json!(["kube-scheduler"]), "{result}");
    // A scheduler that lost its Lease while the API server was restarted was started once more by itself.
    let known = before.iter().find(|(name, _)| name == "kube-scheduler").context("no scheduler")?.1;
    let count = "kubectl -n kube-system get pod kube-scheduler-cp1 -o jsonpath={.status.containerStatuses[0].restartCount}";
    wait(cp1, &format!("[ $({count}) -gt {known} ]"))?;
    let after = starts(cp1)?;
    for ((name, old), (_, new)) in before.iter().zip(&after) {
        ensure!((old == new) == (name != "kube-scheduler"), "{name}: {old} {new}");
    }
    // Without etcd an API server keeps all waiting, so it goes with it.
    let result = json(&rkadm(cp1, &["certs", "renew", "etcd-server", "-o", "json"])?)?;
    ensure!(result["restarted"] == serde_json::json!(["etcd", "kube-apiserver"]), "{result}");
    ensure!(result["restartNeeded"] == serde_json::json!([]), "{result}");
    let result = json(&rkadm(cp1, &["certs", "renew", "apiserver", "--no-restart", "-o", "json"])?)?;
    ensure!(result["restartNeeded"] == serde_json::json!(["kube-apiserver"]), "{result}");
    Ok(())
}

/// Between the new files and the first restart.
fn killed_in_the_middle(cp1: &Node) -> Result<()> {
    let script = "rkadm certs renew all --progress json 2>&1 >/dev/null | while read -r line; do
        case $line in *step-started*'restart static pod etcd'*) pkill -9 -x rkadm;; esac; done";
    cp1.sh(script)?;
    let unfinished = cp1.sh_ok("rkadm op list -o json")?;
    ensure!(unfinished.contains("\"running\""), "it was not killed:\n{unfinished}");
    let other = rkadm(cp1, &["certs", "renew", "apiserver"])?;
    expect(&other, 5, &["is not finished"]).map(drop)
}

/// The keys of the authorities are never on the node; Go's servers and clients take what was signed elsewhere.
#[test]
fn a_cluster_whose_authorities_are_kept_elsewhere() {
    run("external CA", |lab| {
        let authority = fresh(lab, "authority")?;
        let cp1 = fresh(lab, "cp1")?;
        for phase in ["ca", "front-proxy-ca", "etcd-ca"] {
            expect(&rkadm(&authority, &["init", "phase", "certs", phase, "--config", CONFIG])?, 0, &[])?;
        }
        let csr = [
            "certs",
            "generate-csr",
            "--cert-dir",
            "/csr/pki",
            "--kubeconfig-dir",
            "/csr",
            "--config",
            CONFIG,
        ];
        expect(&rkadm(&cp1, &csr)?, 0, &[])?;
        let requests = cp1.sh_ok("cd /csr && find . -name '*.csr'")?;
        let requests: Vec<_> = requests.lines().map(|line| line.trim_start_matches("./")).collect();
        ensure!(requests.len() == 12, "{requests:?}");
        for name in &requests {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            authority.sh_ok(&format!("mkdir -p /csr/{folder}"))?;
            authority.write(&format!("/csr/{name}"), &cp1.read(&format!("/csr/{name}"))?, 0o600)?;
        }
        authority
            .sh_ok("cd /csr && rkadm certs sign $(find . -name '*.csr') --ca-dir /etc/kubernetes/pki")?;
        for name in &requests {
            let certificate = name.replace(".csr", ".crt");
            cp1.write(
                &format!("/csr/{certificate}"),
                &authority.read(&format!("/csr/{certificate}"))?,
                0o644,
            )?;
        }
        for name in ["ca.crt", "front-proxy-ca.crt", "etcd/ca.crt"] {
            cp1.write(
                &format!("/csr/pki/{name}"),
                &authority.read(&format!("/etc/kubernetes/pki/{name}"))?,
                0o644,
            )?;
        }
        cp1.sh_ok(
            "mkdir -p /etc/kubernetes && cp -r /csr/pki /etc/kubernetes/ && cp /csr/*.conf /csr/*.conf.crt /etc/kubernetes/",
        )?;
        expect(&init(&cp1)?, 0, &[])?;
        healthy(&cp1)?;
        wait(&cp1, "kubectl get node cp1")?;
        ensure!(
            cp1.sh_ok("find /etc/kubernetes -name '*ca.key' | wc -l")?.trim() == "0",
            "a key of an authority"
        );
        let refused = rkadm(&cp1, &["certs", "renew", "apiserver"])?;
        expect(&refused, 1, &["/etc/kubernetes/pki/ca.key is not here", "rkadm certs sign"]).map(drop)
    });
}
