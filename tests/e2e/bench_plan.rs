//! How long `upgrade plan` takes where there are thousands of nodes, beside kubeadm on the same cluster, and in how much memory.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};

use crate::support::{Config, expect, fresh_of, get, init, install_network, kubectl, wait};
use crate::upgrade::{NEW, OLD, TO};

const NODES: usize = 5000;
/// On each node, beside kube-proxy.
const PODS: usize = 5;
const ROUNDS: usize = 5;
/// Of what kubeadm needs.
const TARGET: f64 = 0.3;

/// What is made of a node and of a pod on it, as files for curl: `@N@` is the number of the node.
const FILES: &str = r#"#!/bin/bash
set -e
dir=$1 nodes=$2 pods=$3
mkdir -p $dir/bodies
key="cert=/run/many/tls.crt\nkey=/run/many/tls.key\ncacert=/etc/kubernetes/pki/ca.crt\n"
key+="header=\"Content-Type: application/json\"\noutput=/dev/null\nfail\n"
awk -v nodes=$nodes -v pods=$pods -v dir=$dir -v key="$key" '
    function read(file,   line, text) {
        while ((getline line < file) > 0) text = text line "\n"
        return text
    }
    function post(config, url, template, number, name,   body, file) {
        body = template
        gsub(/@N@/, number, body)
        gsub(/@NAME@/, name, body)
        file = dir "/bodies/" name
        printf "%s", body > file
        close(file)
        if (made[config]++) print "next" > config
        printf "url=https://cp1:6443%s\n%sdata=@%s\n", url, key, file > config
    }
    BEGIN {
        node = read(dir "/node.json"); proxy = read(dir "/proxy.json"); pod = read(dir "/pod.json")
        for (n = 1; n <= nodes; n++) {
            post(dir "/1", "/api/v1/nodes", node, n, "w" n)
            post(dir "/2", "/api/v1/namespaces/kube-system/pods", proxy, n, "kube-proxy-w" n)
            for (p = 1; p <= pods; p++) post(dir "/2", "/api/v1/namespaces/default/pods", pod, n, "pod-" n "-" p)
        }
    }'
"#;

/// A node as its kubelet registers it: with its conditions, and the fifty images that a kubelet tells of at most. It is cordoned: a pod
/// that kubeadm starts to see whether pods start would wait there for ever.
const NODE: &str = r#"
    del(.metadata.managedFields, .metadata.resourceVersion, .metadata.uid, .metadata.creationTimestamp, .spec.taints, .spec.podCIDR, .spec.podCIDRs)
    | .metadata.name = "w@N@" | .spec.unschedulable = true
    | .metadata.labels |= with_entries(select(.key | startswith("node-role") or startswith("node.kubernetes.io/exclude") | not))
    | .metadata.labels["kubernetes.io/hostname"] = "w@N@"
    | .metadata.labels["topology.kubernetes.io/zone"] = "zone-a"
    | .status.addresses[0].address = "172.30.0.1" | .status.addresses[1].address = "w@N@"
    | .status.images = [range(50) | {
        names: ["registry.example.org/team/service-\(.)@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "registry.example.org/team/service-\(.):v1.\(.).0"],
        sizeBytes: 123456789}]
"#;

/// One of kube-proxy, which its DaemonSet takes for its own.
const PROXY: &str = r#"
    .items[0] | del(.metadata.managedFields, .metadata.resourceVersion, .metadata.uid, .metadata.creationTimestamp, .status)
    | .metadata.name = "@NAME@" | .metadata.generateName = null | .spec.nodeName = "w@N@"
    | .spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values = ["w@N@"]
"#;

const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "@NAME@", "labels": {"app": "service"}},
"spec": {"nodeName": "w@N@", "automountServiceAccountToken": false, "containers": [{"name": "service",
"image": "registry.example.org/team/service:v1", "env": [{"name": "HOME", "value": "/tmp"}],
"resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}]}}
"#;

#[test]
#[ignore = "a measurement: make bench"]
fn bench_plan() {
    run("bench plan", |lab| {
        let cp1 = fresh_of(lab, "cp1", NodeSpec::new(OLD).images_of(&[OLD, NEW]))?;
        let mut config = Config::new(OLD);
        config.pod_subnet = "10.128.0.0/9".into();
        // Nobody is there to say that these nodes are well.
        config.cluster =
            "controllerManager:\n  extraArgs:\n  - {name: node-monitor-grace-period, value: 3h}\n".into();
        config.install(&cp1)?;
        expect(&init(&cp1)?, 0, &[])?;
        install_network(&cp1, &[&cp1])?;
        cp1.install_programs(NEW, &["kubeadm"])?;
        print(&cp1, 1)?;
        make(&cp1)?;
        print(&cp1, 1 + NODES)
    });
}

/// All of them, by one client that sends many requests at a time.
fn make(cp1: &Node) -> Result<()> {
    let started = Instant::now();
    cp1.sh_ok("mkdir -p /run/many")?;
    for (name, filter) in [("node", NODE), ("proxy", PROXY)] {
        cp1.write(&format!("/run/many/{name}.jq"), filter, 0o600)?;
    }
    cp1.write("/run/many/pod.json", POD, 0o600)?;
    cp1.write("/run/many/files", FILES, 0o755)?;
    // Who is no system:masters has to queue.
    let user = "kubectl --kubeconfig /etc/kubernetes/super-admin.conf config view --raw -o jsonpath";
    for (field, file) in [("certificate", "crt"), ("key", "key")] {
        let path = format!("{{.users[0].user.client-{field}-data}}");
        cp1.sh_ok(&format!("{user}='{path}' | base64 -d >/run/many/tls.{file}"))?;
    }
    cp1.sh_ok(&format!(
        "cd /run/many && export KUBECONFIG=/etc/kubernetes/admin.conf
         kubectl get node cp1 -o json | jq -c -f node.jq >node.json
         kubectl -n kube-system get pods -l k8s-app=kube-proxy -o json | jq -c -f proxy.jq >proxy.json
         ./files /run/many {NODES} {PODS}"
    ))?;
    for step in ["1", "2"] {
        let command = format!(
            "curl -sS --no-progress-meter -Z --parallel-max 60 -K /run/many/{step} 2>&1 | sort | uniq -c | head -5"
        );
        let said = cp1.sh_ok(&command)?;
        println!("made {step} after {:.0} s {said}", started.elapsed().as_secs_f64());
    }
    cp1.sh_ok("rm -rf /run/many")?;
    let nodes = kubectl(cp1, "get nodes --no-headers | wc -l")?;
    ensure!(nodes.trim() == (NODES + 1).to_string(), "{nodes} nodes");
    println!(
        "{} nodes and {} pods after {:.0} s",
        NODES,
        NODES * (PODS + 1),
        started.elapsed().as_secs_f64()
    );
    wait(cp1, "rkadm health -q").map(drop)
}

/// The medians of both, which take turns, and the peak of rkadm's memory.
fn print(cp1: &Node, nodes: usize) -> Result<()> {
    let plan = cp1.sh(&format!("rkadm upgrade plan {TO} -o json"))?;
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).context("no plan")?;
    let kubelets = plan["kubelets"].as_array().map_or(0, Vec::len);
    ensure!(kubelets == nodes, "{kubelets} of {nodes} nodes are in the plan");
    ensure!(get(cp1, "node cp1").is_ok());
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        ours.push(seconds(cp1, &format!("rkadm upgrade plan {TO}"))?);
        theirs.push(seconds(cp1, &format!("kubeadm upgrade plan {TO} --ignore-preflight-errors=all"))?);
    }
    let peak = peak(cp1)?;
    println!("rkadm {ours:.2?} kubeadm {theirs:.2?}");
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "| upgrade plan, {nodes} nodes | kubeadm {theirs:.2} s | rkadm {ours:.2} s | {:.2} of it (target {TARGET}) | {peak:.0} MiB |",
        ours / theirs
    );
    Ok(())
}

fn seconds(cp1: &Node, command: &str) -> Result<f64> {
    let started = Instant::now();
    let output = cp1.sh(&format!("{command} >/run/plan.out 2>&1; wc -l </run/plan.out"))?;
    let seconds = started.elapsed().as_secs_f64();
    let lines: usize = output.stdout.trim().parse()?;
    ensure!(lines > 10, "{command} said {}", cp1.sh_ok("cat /run/plan.out")?);
    Ok(seconds)
}

/// In MiB. It only grows: what is read last, a moment before the end, is it.
fn peak(cp1: &Node) -> Result<f64> {
    let script = format!(
        "rkadm upgrade plan {TO} >/dev/null 2>&1 & pid=$!
         while test -d /proc/$pid; do
            while read -r name value unit; do
                if test \"$name\" = VmHWM:; then peak=$value; fi
            done 2>/dev/null </proc/$pid/status
            read -t 0.005 <> <(:)
         done
         echo $peak"
    );
    let kib: f64 = cp1.sh_ok(&script)?.trim().parse().context("no VmHWM")?;
    Ok(kib / 1024.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
