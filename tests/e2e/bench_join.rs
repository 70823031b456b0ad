//! Joins beside kubeadm's, in one run: part of `make bench`.

use std::{thread, time::Instant};

use anyhow::{Result, anyhow};
use rkadm_nodes::{Lab, NodeSpec};

use crate::{
    bench::{Line, ROUNDS, Target, median, print, timed},
    support::{CONFIG, NEWEST, Ticket, expect, fresh, init, joined, machine, token_is_signed},
};

#[test]
#[ignore = "takes minutes and measures: `make bench`"]
fn bench_join() {
    let line = |what, target| Line { what, unit: "s", kubeadm: vec![], rkadm: vec![], target };
    let mut lines = vec![
        line("join of a second control plane", Target::Ratio(0.6)),
        line("join of a third control plane", Target::Ratio(0.6)),
        line("join of a worker", Target::Ratio(0.9)),
    ];
    for round in 0..ROUNDS {
        let order = if round % 2 == 0 { ["rkadm", "kubeadm"] } else { ["kubeadm", "rkadm"] };
        for program in order {
            rkadm_nodes::run("bench join", |lab| measure(lab, program, &mut lines));
        }
    }
    // kubeadm cannot do it: the other column is a join alone.
    let mut at_once = line("three control planes at once, beside one alone", Target::Ratio(2.0));
    at_once.kubeadm.push(median(&lines[0].rkadm));
    for _ in 0..ROUNDS {
        rkadm_nodes::run("bench at once", |lab| {
            at_once.rkadm.push(three_at_once(lab)?);
            Ok(())
        });
    }
    lines.push(at_once);
    print(&lines);
}

/// Each joins a cluster that the same program made.
fn measure(lab: &Lab, program: &str, lines: &mut [Line]) -> Result<()> {
    let cp1 = fresh(lab, "cp1")?;
    cp1.sh_ok(&format!("{program} init --config {CONFIG}"))?;
    let ticket = Ticket::of(&cp1)?;
    token_is_signed(&cp1, &ticket.token)?;
    for (index, (name, control_plane)) in
        [("cp2", true), ("cp3", true), ("w1", false)].into_iter().enumerate()
    {
        let node = machine(lab, name, NodeSpec::new(NEWEST))?;
        let join = format!("{program} join {} >/dev/null", ticket.args(control_plane).join(" "));
        let seconds = timed(&node, &join)?;
        joined(&cp1, name, control_plane)?;
        let line = &mut lines[index];
        if program == "rkadm" { line.rkadm.push(seconds) } else { line.kubeadm.push(seconds) }
    }
    Ok(())
}

fn three_at_once(lab: &Lab) -> Result<f64> {
    let cp1 = fresh(lab, "cp1")?;
    expect(&init(&cp1)?, 0, &[])?;
    let ticket = Ticket::of(&cp1)?;
    token_is_signed(&cp1, &ticket.token)?;
    let nodes = ["cp2", "cp3", "cp4"].map(|name| machine(lab, name, NodeSpec::new(NEWEST)));
    let nodes = nodes.into_iter().collect::<Result<Vec<_>>>()?;
    let started = Instant::now();
    let outputs: Vec<_> = thread::scope(|scope| {
        let joins: Vec<_> = nodes.iter().map(|node| scope.spawn(|| ticket.join(node, true))).collect();
        joins.into_iter().map(|join| join.join().map_err(|_| anyhow!("a join panicked"))).collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    for output in outputs {
        expect(&output??, 0, &[])?;
    }
    Ok(seconds)
}
