//! All control planes are gone for good: what a backup is for.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node, NodeSpec, run};

use crate::support::{
    CONFIG, Config, IGNORE, NEWEST, Running, Snapshot, Ticket, expect, fresh_of, get, init, install_network,
    json, kubectl, machine, members, rkadm, wait,
};

/// Without this file the Secrets of the cluster are worth nothing.
const ENCRYPTION: &str = "/etc/kubernetes/enc/config.yaml";
/// Where the backup lies on the new machine.
const FILE: &str = "/root/kept.tar.gz";

#[test]
fn a_cluster_whose_control_planes_are_gone_comes_back_on_another_machine() {
    run("disaster", |lab| {
        let cp1 = control_plane(lab)?;
        let worker = machine(lab, "w1", NodeSpec::new(NEWEST))?;
        let ticket = Ticket::of(&cp1)?;
        expect(&ticket.join(&worker, false)?, 0, &[])?;
        let cp2 = machine(lab, "cp2", NodeSpec::new(NEWEST))?;
        operators_files(&cp1, &cp2)?;
        expect(&ticket.join(&cp2, true)?, 0, &[])?;
        install_network(&cp1, &[&cp1, &cp2, &worker])?;
        kubectl(&cp1, "create secret generic kept --from-literal=a=secret-of-the-cluster")?;
        let output = rkadm(&cp1, &["backup", "etcd", "--dir", "/srv/backups", "-o", "json"])?;
        let file = json(&output)?["file"].as_str().context("no file")?.to_owned();

        let new = machine(lab, "cp9", NodeSpec::new(NEWEST))?;
        new.write(FILE, cp1.read(&file)?, 0o600)?;
        // Before names lead elsewhere: a new machine tells all others its own.
        let next = machine(lab, "cp3", NodeSpec::new(NEWEST))?;
        let restore = ["restore", "cluster", FILE, "--yes", "--upload-certs", IGNORE];
        let words =
            ["the cluster is not lost: etcd answers at https://", "--from-survivor", "Nothing was changed"];
        expect(&rkadm(&new, &restore)?, 3, &words)?;

        cp1.power_loss()?;
        cp2.power_loss()?;
        // Whoever owns the name of the endpoint leads it to the new machine.
        // The network of the nodes is static: routes to machines that are gone would win over those of who gets their ranges.
        let routes = format!(
            "ip route | grep -E 'via ({}|{}) ' | while read -r route; do ip route del $route; done",
            cp1.ip(),
            cp2.ip()
        );
        for node in [&new, &next, &worker] {
            node.sh_ok(&routes)?;
            node.sh_ok(&format!(
                "sed -i '/\\bcp1\\b/d' /etc/hosts && echo '{} cp1' >> /etc/hosts",
                new.ip()
            ))?;
        }
        cut_off(&new, &restore)?;
        let output = rkadm(&new, &[&restore[..], &["-o", "json"]].concat())?;
        expect(&output, 0, &["resuming operation"])?;
        let result = json(&output)?;
        ensure!(result["removedNodes"] == serde_json::json!(["cp1", "cp2"]), "{result}");
        is_back(&new, &worker)?;
        let again = expect(&rkadm(&new, &restore)?, 0, &[])?;
        ensure!(again.starts_with("Nothing to do"), "{again}");
        grows(&next, &new, &result)
    });
}

/// With encryption at rest, and a port that no ConfigMap tells.
fn control_plane(lab: &Lab) -> Result<Node> {
    let mut config = Config::new(NEWEST);
    config.endpoint = "cp1:7443".into();
    config.init = "localAPIEndpoint: {bindPort: 7443}\n".into();
    config.cluster = format!(
        "apiServer:\n  extraArgs:\n  - {{name: encryption-provider-config, value: {ENCRYPTION}}}\n  extraVolumes:\n  \
         - {{name: enc, hostPath: /etc/kubernetes/enc, mountPath: /etc/kubernetes/enc, readOnly: true}}\n"
    );
    let cp1 = fresh_of(lab, "cp1", NodeSpec::new(NEWEST))?;
    config.install(&cp1)?;
    cp1.sh_ok("mkdir -m 700 /etc/kubernetes/enc")?;
    let keys = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  \
                providers:\n  - aescbc: {keys: [{name: one, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}\n";
    cp1.write(ENCRYPTION, keys, 0o600)?;
    expect(&init(&cp1)?, 0, &[])?;
    ensure!(cp1.sh(&format!("grep -c encryption {CONFIG}"))?.success());
    Ok(cp1)
}

/// Killed and taken back, then killed and left.
fn cut_off(new: &Node, restore: &[&str]) -> Result<()> {
    let plan = expect(&rkadm(new, &[restore, &["--dry-run"]].concat())?, 0, &[])?;
    ensure!(plan.contains("/etc/kubernetes/pki/ca.key") && !plan.contains("PRIVATE KEY"), "{plan}");
    let before = Snapshot::of(new)?;
    for phase in ["swap", "nodes"] {
        let mut running = Running::start(new, restore)?;
        running.until(phase)?;
        running.signal("KILL")?;
        ensure!(running.end()?.status == 137, "not killed in {phase}");
        if phase == "nodes" {
            let words = ["made a cluster that is in use", "it has served", "--force"];
            expect(&rkadm(new, &["op", "rollback"])?, 1, &words)?;
        }
        expect(&rkadm(new, &["op", "rollback", "--force"])?, 0, &[])?;
        before.unchanged(new).with_context(|| format!("killed in {phase} and taken back"))?;
    }
    let mut running = Running::start(new, restore)?;
    running.until("wait-control-plane")?;
    running.signal("KILL")?;
    ensure!(running.end()?.status == 137, "not killed");
    Ok(())
}

fn is_back(new: &Node, worker: &Node) -> Result<()> {
    ensure!(members(new)? == (1, 0));
    let kept = kubectl(new, "get secret kept -o jsonpath={.data.a}")?;
    ensure!(kept == "c2VjcmV0LW9mLXRoZS1jbHVzdGVy", "{kept}");
    let endpoint = kubectl(new, "get endpointslice kubernetes -o jsonpath={.endpoints[*].addresses[*]}")?;
    ensure!(endpoint.trim() == new.ip(), "the Service kubernetes leads to {endpoint}");
    // The worker was never touched.
    let cidr = wait(new, "kubectl get node cp9 -o jsonpath={.spec.podCIDR} | grep .")?;
    new.install_cni(cidr.trim())?;
    wait(new, "kubectl wait --for=condition=Ready node cp9 w1 --timeout=60s")?;
    let nodes = get(new, "nodes")?;
    ensure!(nodes["items"].as_array().is_some_and(|nodes| nodes.len() == 2), "{nodes}");
    // Its kube-proxy has a copy of /etc/hosts of the time when it was made; names of DNS would do without.
    kubectl(new, "-n kube-system rollout restart daemonset/kube-proxy")?;
    wait(new, "kubectl -n kube-system rollout status daemonset/kube-proxy --timeout=60s")?;
    wait(new, "kubectl -n kube-system rollout status deployment/coredns --timeout=90s")?;
    wait(worker, "curl -skf --max-time 5 https://10.96.0.1/healthz")?;
    new.sh_ok("kubeadm certs check-expiration && kubeadm upgrade node --dry-run --ignore-preflight-errors=all >/dev/null")
        .map(drop)
}

/// With the command that was printed.
fn grows(next: &Node, new: &Node, result: &serde_json::Value) -> Result<()> {
    let join = &result["join"];
    let text =
        |field: &str| join[field].as_str().map(str::to_owned).with_context(|| format!("{field}: {join}"));
    let ticket = Ticket {
        endpoint: text("endpoint")?,
        token: text("token")?,
        hash: text("caCertHash")?,
        key: text("certificateKey")?,
    };
    operators_files(new, next)?;
    expect(&ticket.join(next, true)?, 0, &[])?;
    ensure!(members(new)? == (2, 0));
    kubectl(next, "get secret kept").map(drop)
}

/// They are no part of what a join brings.
fn operators_files(from: &Node, to: &Node) -> Result<()> {
    to.sh_ok("mkdir -m 700 /etc/kubernetes/enc")?;
    to.write(ENCRYPTION, from.read(ENCRYPTION)?, 0o600).map(drop)
}
