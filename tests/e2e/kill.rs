//! kill -9 at any moment, then the same command again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, run};

use crate::support::{
    CONFIG, Random, Running, Snapshot, expect, fresh, healthy, init, nothing_half_written, rkadm, wrapped,
};

/// In each, two moments: the second one in what goes on after the first.
const ROUNDS: u32 = 10;

/// When rkadm is killed.
#[derive(Debug)]
enum Moment {
    /// So long after its start: most of these fall into the long wait for the control plane.
    After(Duration),
    /// So long after its nth event: these fall into every phase.
    Event(u32, Duration),
}

#[test]
fn init_killed_at_twenty_random_moments_makes_a_healthy_cluster_when_run_again() {
    let mut random = Random::seeded();
    let (duration, events) = undisturbed();
    for round in 0..ROUNDS {
        // One moment in each of as many equal parts, by the clock; and of what is left of it then, one by the events.
        let part = (f64::from(round) + random.fraction()) / f64::from(ROUNDS);
        let first = Moment::After(duration.mul_f64(part));
        let left = events * (ROUNDS - round) / ROUNDS;
        let pause = Duration::from_micros(u64::from(random.below(20_000)));
        let second = Moment::Event(random.below(left), pause);
        run(&format!("kill {round}"), |lab| {
            println!("round {round}: {first:?}, {second:?}");
            let node = fresh(lab, "cp1")?;
            let before = Snapshot::of(&node)?;
            killed(&node, &first)
                .and_then(|()| killed(&node, &second))
                .and_then(|()| again(&node, &before, round))
                .with_context(|| format!("{first:?}, {second:?}"))
        });
    }
}

/// How long `init` takes when it is left alone, and how many events it reports.
fn undisturbed() -> (Duration, u32) {
    let mut measured = (Duration::ZERO, 0);
    run("undisturbed", |lab| {
        let node = fresh(lab, "cp1")?;
        let start = Instant::now();
        let mut running = Running::init(&node)?;
        while running.next()?.is_some() {
            measured.1 += 1;
        }
        expect(&running.end()?, 0, &[])?;
        measured.0 = start.elapsed();
        Ok(())
    });
    measured
}

fn killed(node: &Node, moment: &Moment) -> Result<()> {
    match moment {
        Moment::After(delay) => {
            let seconds = format!("{:.3}", delay.as_secs_f64());
            let output = wrapped(node, &["timeout", "-s", "KILL", &seconds], &["init", "--config", CONFIG])?;
            ensure!([0, 137].contains(&output.status), "neither killed nor done: {output:?}");
        }
        Moment::Event(count, pause) => {
            let mut running = Running::init(node)?;
            for _ in 0..*count {
                running.next()?;
            }
            std::thread::sleep(*pause);
            running.signal("KILL")?;
            let output = running.end()?;
            ensure!([0, 137].contains(&output.status), "neither killed nor done: {output:?}");
        }
    }
    nothing_half_written(node)
}

/// Most rounds go on; every fifth is taken back first, and then begun anew.
fn again(node: &Node, before: &Snapshot, round: u32) -> Result<()> {
    let list = expect(&rkadm(node, &["op", "list"])?, 0, &[])?;
    if round % 5 == 2 && list.contains("running") {
        expect(&rkadm(node, &["op", "rollback"])?, 0, &[])?;
        before.unchanged(node)?;
    }
    expect(&init(node)?, 0, &[])?;
    healthy(node)?;
    nothing_half_written(node)?;
    let list = expect(&rkadm(node, &["op", "list"])?, 0, &[])?;
    ensure!(!list.contains("running"), "an operation is left unfinished:\n{list}");
    Ok(())
}
