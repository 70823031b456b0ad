//! How long upgrades take and the API is away, beside kubeadm on the same kind of node: each upgrades what the other made.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rkadm_nodes::{Node, run};

use crate::{
    bench::timed,
    support::{CONFIG, Load, Ticket, expect, fresh_of, init, install_network, machine, rkadm, wait},
    upgrade::{NEW, TO, cluster, spec},
};

/// Notes every change of what the API server answers, twenty times a second.
const PROBE: &str = r#"#!/bin/bash
last=
while :; do
    code=$(curl -sk -m 0.5 -o /dev/null -w '%{http_code}' https://127.0.0.1:6443/readyz)
    if test "$code" != "$last"; then echo "$(date +%s%3N) $code" >>/run/probe.log; last=$code; fi
    sleep 0.04
done
"#;

/// Time without an answer, and without `200`.
fn downtime(node: &Node) -> Result<(Duration, Duration)> {
    let log =
        node.sh_ok("systemctl stop probe; echo $(date +%s%3N) end >>/run/probe.log; cat /run/probe.log")?;
    let lines: Vec<(u64, &str)> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(at, code)| Some((at.parse().ok()?, code)))
        .collect();
    let sum = |counts: fn(&str) -> bool| {
        let gaps = lines.windows(2).filter(|pair| counts(pair[0].1)).map(|pair| pair[1].0 - pair[0].0);
        Duration::from_millis(gaps.sum())
    };
    Ok((sum(|code| code == "000"), sum(|code| code != "200")))
}

fn measured(node: &Node, name: &str, plan: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    wait(node, "rkadm health -q")?;
    let started = Instant::now();
    node.sh(plan)?;
    let planned = started.elapsed();
    node.write("/usr/local/bin/probe", PROBE, 0o755)?;
    node.sh_ok("rm -f /run/probe.log; systemd-run -q --collect --unit probe /usr/local/bin/probe; sleep 1")?;
    let started = Instant::now();
    work()?;
    let took = started.elapsed();
    let (silent, unready) = downtime(node)?;
    println!(
        "| {name} | plan {:.2} s | apply {:.1} s | no answer {:.1} s | not ready {:.1} s |",
        planned.as_secs_f64(),
        took.as_secs_f64(),
        silent.as_secs_f64(),
        unready.as_secs_f64()
    );
    Ok(())
}

#[test]
#[ignore = "a measurement: make bench"]
fn bench_upgrade() {
    run("bench upgrade rkadm", |lab| {
        let cp1 = fresh_of(lab, "cp1", spec())?;
        cp1.sh_ok(&format!("kubeadm init --config {CONFIG}"))?;
        install_network(&cp1, &[&cp1])?;
        measured(&cp1, "rkadm, on a cluster of kubeadm", "rkadm upgrade plan v1.37.2", || {
            expect(&rkadm(&cp1, &["upgrade", "apply", TO, "--yes"])?, 0, &[]).map(drop)
        })
    });
    run("bench upgrade kubeadm", |lab| {
        let cp1 = fresh_of(lab, "cp1", spec())?;
        expect(&init(&cp1)?, 0, &[])?;
        install_network(&cp1, &[&cp1])?;
        cp1.install_programs(NEW, &["kubeadm"])?;
        let plan = "kubeadm upgrade plan v1.37.2 --ignore-preflight-errors=all";
        measured(&cp1, "kubeadm, on a cluster of rkadm", plan, || {
            let command = format!("kubeadm upgrade apply {TO} -y --ignore-preflight-errors=all");
            cp1.sh_ok(&command).map(drop).context("kubeadm's upgrade failed")
        })?;
        wait(&cp1, "rkadm health -q").map(drop)
    });
}

/// The second of three control planes, while a client that tries again asks all of them.
#[test]
#[ignore = "a measurement: make bench"]
fn bench_upgrade_node() {
    for program in ["rkadm", "kubeadm"] {
        run(&format!("bench upgrade node {program}"), |lab| {
            let cp1 = cluster(lab)?;
            let ticket = Ticket::of(&cp1)?;
            let [cp2, cp3] = ["cp2", "cp3"].map(|name| machine(lab, name, spec()));
            let (cp2, cp3) = (cp2?, cp3?);
            for node in [&cp2, &cp3] {
                expect(&ticket.join(node, true)?, 0, &[])?;
            }
            install_network(&cp1, &[&cp1, &cp2, &cp3])?;
            wait(&cp1, "rkadm health -q")?;
            expect(&rkadm(&cp1, &["upgrade", "apply", TO, "--yes"])?, 0, &[])?;
            wait(&cp2, "rkadm health -q")?;
            cp2.install_programs(NEW, &["kubeadm"])?;
            let load = Load::start(&cp3, &[&cp1, &cp2, &cp3])?;
            let flags = if program == "kubeadm" { "--ignore-preflight-errors=all" } else { "" };
            let took = timed(&cp2, &format!("{program} upgrade node {flags} >/dev/null"))?;
            load.nothing_is_lost()?;
            println!("| {program} | upgrade node, second of three {took:.1} s |");
            wait(&cp2, "rkadm health -q").map(drop)
        });
    }
}
