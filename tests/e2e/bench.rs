//! rkadm beside kubeadm, on the same kind of node in one run: `make bench`. Reported; a slow machine fails no test.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Lab, Node};

use crate::support::{CONFIG, Config, NEWEST, binary, expect, fresh, healthy, install_network, rkadm, wait};

pub const ROUNDS: usize = 3;

/// One line of the table.
pub struct Line {
    pub what: &'static str,
    pub unit: &'static str,
    pub kubeadm: Vec<f64>,
    pub rkadm: Vec<f64>,
    pub target: Target,
}

pub enum Target {
    /// Of what kubeadm needs.
    Ratio(f64),
    AtMost(f64),
    /// kubeadm's command leaves the rest to the operator, so there is nothing to be compared with.
    Reported,
}

#[test]
#[ignore = "takes minutes and measures: `make bench`"]
fn bench() {
    let mut lines = lines();
    for round in 0..ROUNDS {
        // The one that goes first differs from round to round: what it warms up helps both.
        let order = if round % 2 == 0 { [true, false] } else { [false, true] };
        for ours in order {
            // A lab each time: nothing of the one is there when the other starts.
            rkadm_nodes::run("bench", |lab| {
                if ours { measure_rkadm(lab, &mut lines) } else { measure_kubeadm(lab, &mut lines) }
            });
        }
    }
    print(&lines);
}

fn lines() -> Vec<Line> {
    let line = |what, unit, target| Line { what, unit, kubeadm: vec![], rkadm: vec![], target };
    vec![
        line("init to healthy, images present", "s", Target::Ratio(0.6)),
        line("certificates and kubeconfigs, RSA-2048", "s", Target::Ratio(0.5)),
        line("rkadm with ECDSA-P256, kubeadm with RSA-2048", "s", Target::Ratio(0.1)),
        line("certificates and kubeconfigs, both ECDSA-P256", "s", Target::Ratio(1.0)),
        line("peak memory of init", "MiB", Target::AtMost(64.0)),
        line("start (version)", "ms", Target::AtMost(10.0)),
        line("size of the program", "MB", Target::AtMost(25.0)),
        line("dry run of init", "s", Target::Ratio(0.2)),
        line("config validate", "ms", Target::Ratio(0.3)),
        line("certs check-expiration", "ms", Target::Ratio(0.3)),
        line("certs renew all, to all components healthy", "s", Target::Reported),
        line("reset of a control plane, rkadm with an archive", "s", Target::Ratio(1.0)),
    ]
}

fn measure_kubeadm(lab: &Lab, lines: &mut [Line]) -> Result<()> {
    let node = fresh(lab, "cp1")?;
    let rsa = pki(&node, "kubeadm", false)?;
    lines[1].kubeadm.push(rsa);
    lines[2].kubeadm.push(rsa);
    lines[3].kubeadm.push(pki(&node, "kubeadm", true)?);
    Config::new(NEWEST).install(&node)?;
    lines[7].kubeadm.push(dry_run(&node, "kubeadm")?);
    let (seconds, memory) = init(&node, "kubeadm")?;
    lines[0].kubeadm.push(seconds);
    lines[4].kubeadm.push(memory);
    lines[5].kubeadm.push(start(&node, "kubeadm version")?);
    lines[6].kubeadm.push(size(&node, "kubeadm")?);
    lines[8].kubeadm.push(start(&node, &format!("kubeadm config validate --config {CONFIG}"))?);
    lines[9].kubeadm.push(start(&node, "kubeadm certs check-expiration")?);
    // Without the restarts, which it leaves to the operator.
    lines[10].kubeadm.push(timed(&node, "kubeadm certs renew all >/dev/null")?);
    lines[11].kubeadm.push(reset(&node, "kubeadm")?);
    Ok(())
}

fn measure_rkadm(lab: &Lab, lines: &mut [Line]) -> Result<()> {
    let node = fresh(lab, "cp1")?;
    lines[1].rkadm.push(pki(&node, "rkadm", false)?);
    let ecdsa = pki(&node, "rkadm", true)?;
    lines[2].rkadm.push(ecdsa);
    lines[3].rkadm.push(ecdsa);
    Config::new(NEWEST).install(&node)?;
    lines[7].rkadm.push(dry_run(&node, "rkadm")?);
    let (seconds, memory) = init(&node, "rkadm")?;
    lines[0].rkadm.push(seconds);
    lines[4].rkadm.push(memory);
    healthy(&node)?;
    lines[5].rkadm.push(start(&node, "rkadm version")?);
    lines[6].rkadm.push(size(&node, "rkadm")?);
    lines[8].rkadm.push(start(&node, &format!("rkadm config validate --config {CONFIG}"))?);
    lines[9].rkadm.push(start(&node, "rkadm certs check-expiration")?);
    lines[10].rkadm.push(timed(&node, "rkadm certs renew all >/dev/null")?);
    lines[11].rkadm.push(reset(&node, "rkadm")?);
    expect(&rkadm(&node, &["op", "list"])?, 0, &[]).map(drop)
}

/// Seconds to remove a control plane whose pods run.
fn reset(node: &Node, program: &str) -> Result<f64> {
    install_network(node, &[node])?;
    timed(node, &format!("{program} reset --force >/dev/null"))
}

/// Seconds for the two phases, from their start to the last file.
fn pki(node: &Node, program: &str, ecdsa: bool) -> Result<f64> {
    let cluster = if ecdsa { "encryptionAlgorithm: ECDSA-P256\n" } else { "" };
    Config { cluster: cluster.to_owned(), ..Config::new(NEWEST) }.install(node)?;
    let phase = |group: &str| format!("{program} init phase {group} all --config {CONFIG} >/dev/null");
    let seconds = timed(node, &format!("{} && {}", phase("certs"), phase("kubeconfig")))?;
    let made = node.sh_ok("find /etc/kubernetes -type f | wc -l; rm -rf /etc/kubernetes/*")?;
    ensure!(made.trim() == "27", "{program} made {made} files");
    Ok(seconds)
}

/// Seconds for the plan of the whole init, on a machine that has nothing yet.
fn dry_run(node: &Node, program: &str) -> Result<f64> {
    timed(node, &format!("{program} init --config {CONFIG} --dry-run >/dev/null"))
}

/// Seconds until the control plane is healthy, and the peak memory of the program in MiB.
fn init(node: &Node, program: &str) -> Result<(f64, f64)> {
    // The peak only grows: what is read last, a moment before the end, is it.
    let script = format!(
        "{program} init --config {CONFIG} >/tmp/out 2>&1 & pid=$!
         while hwm=$(grep VmHWM /proc/$pid/status 2>/dev/null); do peak=$hwm; sleep 0.05; done
         wait $pid || {{ cat /tmp/out >&2; exit 1; }}
         echo $peak"
    );
    let start = Instant::now();
    let peak = node.sh_ok(&script)?;
    wait(
        node,
        "kubectl get --raw /livez && kubectl get node cp1 && curl -skf https://127.0.0.1:10259/livez && curl -skf https://127.0.0.1:10257/healthz",
    )?;
    let seconds = start.elapsed().as_secs_f64();
    let kib: f64 = peak.split_whitespace().nth(1).context("no VmHWM")?.parse()?;
    Ok((seconds, kib / 1024.0))
}

/// Milliseconds, the mean of many.
fn start(node: &Node, command: &str) -> Result<f64> {
    Ok(timed(node, &format!("for i in $(seq 20); do {command} >/dev/null; done"))? * 1000.0 / 20.0)
}

/// Seconds by the node's own clock: the way into the node costs nothing then.
pub fn timed(node: &Node, script: &str) -> Result<f64> {
    let script =
        format!("TIMEFORMAT=%R; {{ time {{ {script}; }} 2>/tmp/err; }} 2>&1 || {{ cat /tmp/err; exit 1; }}");
    Ok(node.sh_ok(&script)?.trim().parse()?)
}

/// In MB. Of rkadm the file itself, as it is shipped.
fn size(node: &Node, program: &str) -> Result<f64> {
    let bytes: u64 = match program {
        "rkadm" => std::fs::metadata(binary())?.len(),
        _ => node.sh_ok(&format!("stat -Lc %s $(command -v {program})"))?.trim().parse()?,
    };
    Ok(f64::from(u32::try_from(bytes / 1000)?) / 1000.0)
}

pub fn print(lines: &[Line]) {
    println!("medians of {ROUNDS} runs with {}", binary().display());
    println!("{:<48} {:>10} {:>10} {:>8}  {:<12}", "what", "kubeadm", "rkadm", "ratio", "target");
    for line in lines {
        let (theirs, ours) = (median(&line.kubeadm), median(&line.rkadm));
        let (target, reached) = match line.target {
            Target::Ratio(most) => (format!("≤ {most}×"), ours <= theirs * most),
            Target::AtMost(most) => (format!("≤ {most} {}", line.unit), ours <= most),
            Target::Reported => (String::new(), true),
        };
        let number = |value: f64| format!("{value:.2} {}", line.unit);
        println!(
            "{:<48} {:>10} {:>10} {:>7.2}×  {target:<12} {}",
            line.what,
            number(theirs),
            number(ours),
            ours / theirs,
            if reached { "reached" } else { "MISSED" }
        );
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
