//! kill -9 after every single record of the journal, then resume, and rollback.
//!
//! What a killed process leaves is the machine as it was at that record, the journal up to it, and the files beside the
//! journal. All three are taken from runs that died at each change: the records that came since the change before were
//! written while the machine was like that.

use std::{fs, path::Path};

use rkadm_core::host::fake::{Fault, World};

use crate::{
    machine::{Machine, Scenario, Shape, shape, workflows},
    quiet,
};

/// A machine at one change of a workflow, and the records that its journal got since the change before.
struct Moment {
    machine: Machine,
    records: std::ops::RangeInclusive<usize>,
}

/// One for each change, and one for the records after the last.
async fn moments(scenario: &Scenario) -> Vec<Moment> {
    let mut moments = vec![];
    let mut known = 1;
    for number in 0..=scenario.changes().await {
        let machine = scenario.machine().await;
        machine.host.inject(number, Fault::CrashBefore);
        let died = machine.crashes(scenario).await;
        let records = machine.newest_journal().lines().count();
        // With its last record an operation is finished: nothing is left to go on with.
        let last = if died { records } else { records - 1 };
        moments.push(Moment { machine, records: known..=last });
        known = last + 1;
    }
    moments
}

impl Moment {
    /// The machine, with the journal as it was after so many records.
    fn at(&self, records: usize) -> Machine {
        let machine = Machine::from_world(self.machine.host.world());
        copy(self.machine.root(), machine.root());
        let journal = self.machine.newest_journal();
        let text: String = journal.split_inclusive('\n').take(records).collect();
        machine.plant_journal(&machine.newest(), &text);
        machine
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// How a machine may end.
struct Ends {
    before: World,
    after: Shape,
}

async fn killed_at_every_record(names: &[&str], check: impl AsyncFn(&Scenario, &Ends, Machine, usize)) {
    quiet();
    for scenario in workflows().into_iter().filter(|scenario| names.contains(&scenario.name)) {
        let ends = Ends { before: scenario.machine().await.host.world(), after: scenario.outcome().await };
        let mut tried = 0;
        for moment in moments(&scenario).await {
            for records in moment.records.clone() {
                check(&scenario, &ends, moment.at(records), records).await;
                tried += 1;
            }
        }
        assert!(tried > 20, "{}: only {tried} records", scenario.name);
    }
}

const WORKFLOWS: [&str; 5] = ["init", "join (worker)", "join (control plane)", "reset", "upgrade node"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_record_it_can_be_resumed() {
    killed_at_every_record(&WORKFLOWS, async |scenario, ends, machine, records| {
        let name = scenario.name;
        machine.run(scenario).await.unwrap_or_else(|error| panic!("{name}, record {records}: {error}"));
        assert_eq!(ends.after, shape(&machine.host.world()), "{name}, resumed after record {records}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_record_it_can_be_rolled_back() {
    killed_at_every_record(&WORKFLOWS, async |scenario, ends, machine, records| {
        let name = scenario.name;
        machine.roll_back().await.unwrap_or_else(|error| panic!("{name}, record {records}: {error}"));
        assert!(
            ends.before == machine.host.world(),
            "{name}, rolled back after record {records}: not as it was"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_killed_anywhere_can_be_finished() {
    quiet();
    for scenario in workflows().into_iter().filter(|scenario| WORKFLOWS.contains(&scenario.name)) {
        let (before, last) = (scenario.machine().await.host.world(), scenario.changes().await - 1);
        for undo in 0.. {
            let machine = scenario.machine().await;
            machine.host.inject(last, Fault::CrashBefore);
            assert!(machine.crashes(&scenario).await);
            machine.host.inject(undo, if undo % 2 == 0 { Fault::CrashBefore } else { Fault::CrashAfter });
            if !machine.crashes_in_rollback().await {
                assert!(undo > 10, "{}: only {undo} changes", scenario.name);
                break;
            }
            machine.roll_back().await.unwrap_or_else(|error| panic!("{}, {undo}: {error}", scenario.name));
            assert!(before == machine.host.world(), "{}, undo {undo}: not as it was", scenario.name);
        }
    }
}
