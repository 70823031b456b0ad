//! Real kubeadm on a cluster that rkadm made.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};
use serde_json::Value;

use crate::support::{
    NEWEST, certificates_of_a_year, expect, fresh, get, init, install_network, kubectl, patch_version,
    token_is_signed, wait,
};

const IGNORE: &str = "--ignore-preflight-errors=SystemVerification,Swap,NumCPU";

#[test]
fn kubeadm_goes_on_with_a_cluster_that_rkadm_made() {
    run("kubeadm takes over", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        let worker = lab.node("worker", NodeSpec::new(NEWEST))?;
        let stdout = expect(&init(&cp1)?, 0, &[])?;
        a_worker_joins(&cp1, &worker, &stdout)?;
        install_network(&cp1, &[&cp1, &worker])?;
        // Through kube-proxy on the worker: the API by its ClusterIP, and CoreDNS wherever its pods are.
        wait(&worker, "curl -skf --max-time 2 https://10.96.0.1/healthz")?;
        wait(&worker, "curl -sf --max-time 2 http://10.96.0.10:9153/metrics | grep -q coredns_build_info")?;
        certificates(&cp1)?;
        tokens(&cp1)?;
        user(&cp1)?;
        upgrade_plan(&cp1)?;
        configuration(&cp1)
    });
}

/// With the words that rkadm printed, and no others than those that these nodes need: as far as the token of init is asked
/// for with those of `init`, and wholly with those of `token create`.
fn a_worker_joins(cp1: &Node, worker: &Node, printed: &str) -> Result<()> {
    let command = printed.split("Workers join with, as root:").nth(1).context("no join command")?;
    let command = command.split("`rkadm join`").next().unwrap_or_default();
    let of_init = command.replace("\\\n", " ");
    let of_init: Vec<_> = of_init.split_whitespace().collect();
    let join = cp1.sh_ok("rkadm token create --print-join-command")?;
    let created: Vec<_> = join.split_whitespace().collect();
    let token = of_init.iter().position(|word| *word == "--token").context("no --token")? + 1;
    ensure!(of_init.len() == created.len() && of_init[token] != created[token], "{of_init:?}\n{created:?}");
    for (index, (theirs, ours)) in of_init.iter().zip(&created).enumerate() {
        ensure!(index == token || theirs == ours, "{of_init:?}\n{created:?}");
    }
    let check = of_init.join(" ").replacen("kubeadm join", "kubeadm join phase preflight", 1);
    worker.sh_ok(&format!("{check} {IGNORE}"))?;
    worker.sh_ok(&format!("{} {IGNORE}", join.trim())).map(drop)
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
    let table = certificates_of_a_year(cp1)?;
    let named =
        ["admin.conf", "apiserver-etcd-client", "etcd-peer", "front-proxy-client", "super-admin.conf"];
    for name in named {
        ensure!(table.contains(name), "{name} is missing:\n{table}");
    }
    same_expirations(cp1)?;
    // It finds its way through keys and kubeconfigs too.
    cp1.sh_ok("kubeadm certs renew scheduler.conf && kubeadm certs renew apiserver-kubelet-client").map(drop)
}

/// The API server knows the user of the kubeconfig, by name and groups.
fn user(cp1: &Node) -> Result<()> {
    cp1.sh_ok("rkadm kubeconfig user --client-name alice --org dev,ops >/tmp/alice.conf")?;
    let who = cp1.sh_ok("kubectl --kubeconfig /tmp/alice.conf auth whoami -o json")?;
    let who: Value = serde_json::from_str(&who)?;
    let info = &who["status"]["userInfo"];
    ensure!(info["username"] == "alice", "{info}");
    ensure!(info["groups"] == serde_json::json!(["dev", "ops", "system:authenticated"]), "{info}");
    // As kubeadm's, without a right of its own.
    let refused = cp1.sh("kubectl --kubeconfig /tmp/alice.conf get nodes")?;
    ensure!(refused.stderr.contains("User \"alice\" cannot list resource"), "{refused:?}");
    Ok(())
}

fn tokens(cp1: &Node) -> Result<()> {
    let token = cp1.sh_ok("kubeadm token create --ttl 1h")?;
    let ours =
        cp1.sh_ok("rkadm token create --ttl 2h --description 'by hand' --usages signing,authentication")?;
    let list = cp1.sh_ok("kubeadm token list")?;
    // Those of init and of the worker's join, too.
    ensure!(list.contains(token.trim()) && list.contains(ours.trim()) && list.lines().count() == 5, "{list}");
    let theirs = same_tokens(cp1)?;
    ensure!(theirs.len() == 4, "{theirs:?}");
    // The controller manager signs for it.
    let id = ours.split('.').next().unwrap_or_default();
    token_is_signed(cp1, &ours)?;
    cp1.sh_ok(&format!("rkadm token delete {id} {}", token.trim()))?;
    ensure!(same_tokens(cp1)?.len() == 2, "two were deleted");
    let join = |program: &str| {
        cp1.sh_ok(&format!(
            "{program} token create aaaaaa.0123456789abcdef --print-join-command --certificate-key {}",
            "0f".repeat(32)
        ))
    };
    let theirs = join("kubeadm")?;
    cp1.sh_ok("rkadm token delete aaaaaa")?;
    ensure!(theirs.contains("kubeadm join cp1:6443 --token"), "{theirs}");
    let ours = join("rkadm")?;
    ensure!(ours.trim() == theirs.trim(), "{ours}{theirs}");
    uploads(cp1)
}

/// The tokens as kubeadm lists them, which is as rkadm does.
fn same_tokens(cp1: &Node) -> Result<Vec<Value>> {
    let list = cp1.sh_ok("kubeadm token list -o json")?;
    let mut theirs: Vec<Value> =
        serde_json::Deserializer::from_str(&list).into_iter().collect::<Result<_, _>>()?;
    for fields in theirs.iter_mut().filter_map(Value::as_object_mut) {
        fields.retain(|name, _| name != "kind" && name != "apiVersion");
    }
    let list: Value = serde_json::from_str(&cp1.sh_ok("rkadm token list -o json")?)?;
    ensure!(list["items"].as_array() == Some(&theirs), "kubeadm: {theirs:?}\nrkadm: {list}");
    Ok(theirs)
}

/// Each uploads certificates over what the other uploaded, and kubeadm decrypts rkadm's.
fn uploads(cp1: &Node) -> Result<()> {
    let by = |program: &str| {
        cp1.sh_ok(&format!("{program} init phase upload-certs --upload-certs --config /root/cluster.yaml"))
    };
    by("kubeadm")?;
    let printed = by("rkadm")?;
    let key = printed.split("Certificate key: ").nth(1).context("no key")?.trim();
    let owners = &get(cp1, "-n kube-system secret kubeadm-certs")?["metadata"]["ownerReferences"];
    ensure!(owners.as_array().is_some_and(|owners| owners.len() == 1), "{owners}");
    let join = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n\
         discovery: {{file: {{kubeConfigPath: /etc/kubernetes/admin.conf}}}}\n\
         controlPlane: {{certificateKey: {key}}}\n"
    );
    cp1.write("/root/join.yaml", join.as_bytes(), 0o600)?;
    // The same files as before: in their place, where kubeadm wants none to be.
    cp1.sh_ok(
        "cd /etc/kubernetes && cp -a pki /root/pki && rm pki/ca.* pki/sa.* pki/front-proxy-ca.* pki/etcd/ca.* && \
         kubeadm join phase control-plane-prepare download-certs --config /root/join.yaml && diff -r pki /root/pki",
    )?;
    by("kubeadm").map(drop)
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
