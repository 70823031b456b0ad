//! `rkadm init` where nothing goes wrong, and again afterwards.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};
use serde_json::Value;

use crate::support::{
    CONFIG, Config, Snapshot, expect, fresh, fresh_of, healthy, init, install_network, json, kubectl,
    patch_version, rkadm, wait,
};

#[test]
fn init_makes_a_cluster_whose_addons_run_and_says_so_once() {
    run("init", |lab| {
        let node = fresh(lab, "cp1")?;
        let before = Snapshot::of(&node)?;
        dry_run_changes_nothing(&node)?;
        before.unchanged(&node)?;
        let stdout = expect(&init(&node)?, 0, &["wait-control-plane"])?;
        for said in
            ["Your Kubernetes v1.37.2 control plane on cp1 is ready.", "kubeadm join cp1:6443 --token"]
        {
            ensure!(stdout.contains(said), "stdout lacks {said:?}:\n{stdout}");
        }
        healthy(&node)?;
        install_network(&node, &[&node])?;
        let after = files(&node)?;
        again_with_the_same_configuration(&node)?;
        again_with_another_configuration(&node)?;
        ensure!(files(&node)? == after, "running init again changed files");
        operations(&node)?;
        health(&node)
    });
}

#[test]
fn init_makes_a_cluster_of_the_minor_before() {
    run("init older", |lab| {
        let node = fresh_of(lab, "cp1", NodeSpec::new("1.36"))?;
        // Texts that Kubernetes' reader of YAML would take for something else.
        let odd = [("SWITCH", "on"), ("ANSWER", "No"), ("GROUPED", "1_000"), ("y", "0b11")];
        let envs =
            odd.map(|(name, value)| format!("  - {{name: \"{name}\", value: \"{value}\"}}\n")).concat();
        let cluster = format!("scheduler:\n  extraEnvs:\n{envs}");
        Config { cluster, ..Config::new("1.36") }.install(&node)?;
        let output = rkadm(&node, &["init", "--config", CONFIG, "-o", "json", "--upload-certs"])?;
        expect(&output, 0, &[])?;
        let result = json(&output)?;
        ensure!(
            result["kubernetesVersion"] == patch_version("1.36") && result["changed"] == true,
            "{result}"
        );
        let join = &result["join"];
        let key = join["certificateKey"].as_str().context("no certificate key")?;
        ensure!(key.len() == 64 && join["endpoint"] == "cp1:6443" && join["token"].is_string(), "{join}");
        // The key is for the operator only.
        ensure!(
            !node.sh(&format!("grep -r {key} /var/lib/rkadm /var/log/journal"))?.success(),
            "the key leaked"
        );
        install_network(&node, &[&node])?;
        let served: Value = serde_json::from_str(&kubectl(&node, "version -o json")?)?;
        ensure!(served["serverVersion"]["gitVersion"] == patch_version("1.36"), "{served}");
        let pod: Value =
            serde_json::from_str(&kubectl(&node, "-n kube-system get pod kube-scheduler-cp1 -o json")?)?;
        let env = &pod["spec"]["containers"][0]["env"];
        for (name, value) in odd {
            let there = env
                .as_array()
                .is_some_and(|env| env.contains(&serde_json::json!({"name": name, "value": value})));
            ensure!(there, "{name}={value} is not in {env}");
        }
        // Nor would kubeadm, which reads what was uploaded.
        node.sh_ok("kubeadm certs check-expiration >/dev/null")?;
        Ok(())
    });
}

fn dry_run_changes_nothing(node: &Node) -> Result<()> {
    let plan = expect(&rkadm(node, &["init", "--config", CONFIG, "--dry-run"])?, 0, &[])?;
    for planned in
        ["/etc/kubernetes/pki/ca.crt", "kube-apiserver.yaml", "start service kubelet", "addon/kube-proxy"]
    {
        ensure!(plan.contains(planned), "the plan lacks {planned:?}:\n{plan}");
    }
    ensure!(!node.sh("test -e /var/lib/rkadm")?.success(), "a dry run leaves a journal");
    Ok(())
}

fn again_with_the_same_configuration(node: &Node) -> Result<()> {
    let stdout = expect(&init(node)?, 0, &[])?;
    ensure!(stdout.starts_with("Nothing to do: ") && stdout.lines().count() == 1, "{stdout}");
    let output = rkadm(node, &["init", "--config", CONFIG, "-o", "json"])?;
    ensure!(output.success() && json(&output)?["changed"] == false, "{output:?}");
    Ok(())
}

fn again_with_another_configuration(node: &Node) -> Result<()> {
    let other = Config { pod_subnet: "10.245.0.0/16".to_owned(), ..Config::new("1.37") };
    node.write("/root/other.yaml", other.text(), 0o600)?;
    let output = rkadm(node, &["init", "--config", "/root/other.yaml"])?;
    let difference = "networking.podSubnet: was \"10.244.0.0/16\", is now \"10.245.0.0/16\"";
    expect(&output, 1, &["made with another configuration", difference, "reset"])?;
    let output = rkadm(node, &["init", "--config", "/root/other.yaml", "-o", "json"])?;
    ensure!(output.status == 1 && json(&output)?["code"] == "failed", "{output:?}");
    Ok(())
}

/// Only what the kubelet at work does not change by itself.
fn files(node: &Node) -> Result<String> {
    node.sh_ok("find /etc/kubernetes /var/lib/kubelet/*.* -type f | sort | xargs sha256sum")
}

/// Everything is well; then nothing of it stays unsaid that is not.
fn health(node: &Node) -> Result<()> {
    // Components are healthy when `init` ends; that their pods are ready, the kubelet tells a moment later.
    wait(node, "kubectl -n kube-system wait --for=condition=Ready pod --all --timeout=60s")?;
    let said = expect(&rkadm(node, &["health"])?, 0, &[])?;
    for line in [
        "etcd ",
        "kube-apiserver ",
        "kube-scheduler ",
        "kube-proxy ",
        "certificates ",
        "nodes ",
        "cp1 leads",
        "v1.37.2: all go together",
    ] {
        ensure!(said.contains(line), "health lacks {line:?}:\n{said}");
    }
    ensure!(!said.contains("FAILED") && !said.contains("WARNING"), "{said}");
    kubectl(node, "cordon cp1")?;
    let said = expect(&rkadm(node, &["health", "--quiet"])?, 0, &[])?;
    ensure!(
        said.contains("WARNING") && said.contains("kubectl uncordon cp1") && said.lines().count() == 2,
        "{said}"
    );
    node.sh_ok("mv /etc/kubernetes/manifests/kube-scheduler.yaml /root/")?;
    let output = rkadm(node, &["health", "-o", "json"])?;
    let report = &json(&output)?;
    let checks = report["checks"].as_array().context("no checks")?;
    let failed: Vec<_> = checks.iter().filter(|check| check["state"] == "failed").collect();
    ensure!(
        output.status == 1
            && failed.iter().any(|check| check["component"] == "kube-scheduler"
                && check["message"]
                    .as_str()
                    .is_some_and(|text| text.ends_with("kube-scheduler.yaml is missing"))),
        "{report}"
    );
    node.sh_ok("systemctl stop kubelet; pkill -x etcd")?;
    let began = std::time::Instant::now();
    let said = rkadm(node, &["health", "-q"])?;
    ensure!(began.elapsed().as_secs() < 30, "it took {:?}", began.elapsed());
    let text = &said.stdout;
    ensure!(
        said.status == 1 && text.contains("its unit is inactive") && text.contains("etcd does not answer"),
        "{text}"
    );
    Ok(())
}

/// One operation is on record: what asked for nothing left none.
fn operations(node: &Node) -> Result<()> {
    let table = expect(&rkadm(node, &["op", "list"])?, 0, &[])?;
    ensure!(table.lines().count() == 2 && table.contains("finished"), "{table}");
    let list = json(&rkadm(node, &["op", "list", "-o", "json"])?)?;
    let items = list["items"].as_array().context("no items")?;
    ensure!(
        list["kind"] == "OperationList" && items.len() == 1 && items[0]["status"] == "finished",
        "{list}"
    );

    let shown = json(&rkadm(node, &["op", "show", "-o", "json"])?)?;
    let phases = shown["phases"].as_array().context("no phases")?;
    ensure!(
        shown["id"] == items[0]["id"] && phases.iter().all(|phase| phase["outcome"].is_string()),
        "{shown}"
    );
    ensure!(phases.first().is_some_and(|first| first["phase"] == "preflight"), "{shown}");
    let timeline = expect(&rkadm(node, &["op", "show"])?, 0, &[])?;
    ensure!(timeline.contains("certs/etcd-peer") && timeline.contains("wait up to"), "{timeline}");

    expect(&rkadm(node, &["op", "resume"])?, 1, &["no operation of this machine is unfinished"])?;
    expect(&rkadm(node, &["op", "rollback"])?, 1, &["no operation of this machine is unfinished"])?;
    node.sh_ok("! grep -rl 'PRIVATE KEY' /var/lib/rkadm").map(drop)
}
