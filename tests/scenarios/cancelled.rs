//! Ctrl-C at any event: what was begun can be finished, or taken back.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use rkadm_core::{
    engine::{
        Cancel, Event, OnFailure, Reporter, RunError,
        operation::Status,
        rollback::{RollbackError, Stubborn},
    },
    host::fake::{Fault, World},
};

use crate::machine::{Machine, Scenario, Shape, shape, workflows};

/// An operator who asks to stop at the event with this number.
struct Operator {
    at: usize,
    seen: AtomicUsize,
    cancel: Cancel,
}

impl Operator {
    fn at(at: usize) -> Self {
        Self { at, seen: AtomicUsize::new(0), cancel: Cancel::default() }
    }

    /// The event has come.
    fn has_asked(&self) -> bool {
        self.cancel.count() > 0
    }
}

impl Reporter for Operator {
    fn report(&self, _event: Event) {
        if self.seen.fetch_add(1, Ordering::Relaxed) == self.at {
            self.cancel.cancel("SIGINT");
        }
    }
}

/// A machine on which this was stopped at an event; or the operator, who came too late.
async fn stopped(scenario: &Scenario, at: usize) -> Result<Machine, Operator> {
    let (machine, operator) = (scenario.machine().await, Operator::at(at));
    match machine.run_until(scenario, OnFailure::Rollback, &operator, &operator.cancel).await {
        Ok(_) => return Err(operator),
        Err(RunError::Interrupted { signal, .. }) => assert_eq!(signal, "SIGINT"),
        Err(error) => panic!("{}, event {at}: {error}", scenario.name),
    }
    assert_eq!(machine.status(), Status::Interrupted, "{}, event {at}", scenario.name);
    Ok(machine)
}

/// How a machine may end.
struct Ends {
    before: World,
    after: Shape,
    /// As it was at a commit point, behind which nothing is taken back.
    committed: OnceLock<Shape>,
}

/// Stops every workflow at every third event, from one of the first: each makes hundreds, which begin and end steps in turns.
async fn at_many_events(first: usize, check: impl AsyncFn(&Scenario, &Ends, Machine, usize)) {
    for scenario in workflows() {
        let (before, after) = (scenario.machine().await.host.world(), scenario.outcome().await);
        let ends = Ends { before, after, committed: OnceLock::new() };
        let mut tried = 0;
        for at in (first..).step_by(3) {
            match stopped(&scenario, at).await {
                Ok(machine) => check(&scenario, &ends, machine, at).await,
                Err(operator) if operator.has_asked() => continue,
                Err(_) => break,
            }
            tried += 1;
        }
        assert!(tried > 8, "{}: stopped at {tried} events only", scenario.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_anywhere_can_be_resumed() {
    at_many_events(0, async |scenario, ends, machine, at| {
        machine.run(scenario).await.unwrap_or_else(|error| panic!("{}, event {at}: {error}", scenario.name));
        assert_eq!(ends.after, shape(&machine.host.world()), "{}, event {at}", scenario.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_anywhere_can_be_rolled_back() {
    at_many_events(1, async |scenario, ends, machine, at| {
        let stopped = shape(&machine.host.world());
        machine.roll_back().await.unwrap_or_else(|error| panic!("{}, event {at}: {error}", scenario.name));
        assert_eq!(machine.status(), Status::RolledBack);
        let world = machine.host.world();
        if machine.has_committed() {
            // What comes after it changes nothing here that would be taken back.
            let committed = ends.committed.get_or_init(|| stopped);
            assert_eq!(*committed, shape(&world), "{}, event {at}", scenario.name);
        } else {
            assert!(ends.before == world, "{}, event {at}: not as it was", scenario.name);
        }
    })
    .await;
}

/// Whoever stops an upgrade may be gone the next moment: while the pods change, the signal waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_upgrade_leaves_a_control_plane_that_runs() {
    for scenario in workflows().into_iter().filter(|scenario| scenario.name.starts_with("upgrade ")) {
        let mut late = 0;
        for at in 0.. {
            match stopped(&scenario, at).await {
                Ok(machine) => {
                    let world = machine.host.world();
                    assert!(world.services["kubelet"].is_up(), "{}, event {at}", scenario.name);
                    assert!(world.ended.is_empty(), "{}, event {at}: {:?}", scenario.name, world.ended);
                }
                Err(operator) if operator.has_asked() => late += 1,
                Err(_) => break,
            }
        }
        assert!(late < 5, "{}: {late} signals were too late", scenario.name);
    }
}

/// A rollback stops where it is when it is asked to, and goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_stopped_at_any_event_can_be_finished() {
    for scenario in workflows() {
        let before = scenario.machine().await.host.world();
        let last = scenario.changes().await - 1;
        for at in 0.. {
            let (machine, operator) = (scenario.machine().await, Operator::at(at));
            machine.host.inject(last, Fault::Refuse);
            machine.run_with(&scenario, OnFailure::Stop).await.expect_err("swallowed");
            match machine.roll_back_until(Stubborn::Stop, &operator, &operator.cancel).await {
                Err(RollbackError::Interrupted { signal, .. }) => assert_eq!(signal, "SIGINT"),
                Err(error) => panic!("{}, event {at}: {error}", scenario.name),
                Ok(_) if operator.has_asked() => continue,
                Ok(_) => {
                    assert!(at > 2, "{}: only {at} events", scenario.name);
                    break;
                }
            }
            assert_eq!(machine.status(), Status::RollingBack);
            machine.roll_back().await.unwrap_or_else(|error| panic!("{}, {at}: {error}", scenario.name));
            assert!(before == machine.host.world(), "{}, event {at}: not as it was", scenario.name);
        }
    }
}
