//! Scenarios over every workflow, on a machine in memory: each step fails once, the process dies at each change and
//! at each event, the journal is cut after each record. Afterwards the machine is as before, or finished.

mod cancelled;
mod joining;
mod killed;
mod learners;
mod machine;
mod reset;
mod unfinished;
mod upgraded;
mod upgrading;

use std::collections::BTreeSet;

use machine::{Crashing, Machine, shape, workflows};
use rkadm_core::{
    engine::{
        Cancel, OnFailure, RunError, event::Silent, journal::JournalDir, operation::Status, plan,
        rollback::Stubborn, runner::Aftermath,
    },
    host::fake::{FakeHost, Fault},
};

/// Crashes are panics; a test that makes hundreds should not print hundreds.
fn quiet() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        if !text.contains("the process dies") {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
        }
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_workflow_finishes_and_leaves_no_secret_behind() {
    for workflow in workflows() {
        let machine = workflow.machine().await;
        let report =
            machine.run(&workflow).await.unwrap_or_else(|error| panic!("{}: {error}", workflow.name));
        assert!(!report.phases.is_empty());
        let private = JournalDir::below(machine.root()).path().join(&report.operation).join("private");
        assert!(!private.exists(), "{}: secrets outlive the operation", workflow.name);
        let journal = machine.journal_text(&report.operation);
        for (name, secret) in &report.secrets {
            assert!(!journal.contains(secret.as_str()), "{}: {name} is in the journal", workflow.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_not_done_again() {
    for workflow in workflows().into_iter().filter(machine::Scenario::is_idempotent) {
        let machine = workflow.machine().await;
        machine.run(&workflow).await.unwrap();
        let before = machine.host.world();
        let again = workflow.without("preflight");
        let report = machine.run(&again).await.unwrap();
        let after = machine.host.world();
        assert_eq!(before.paths, after.paths, "{}: a second run changed files", workflow.name);
        assert_eq!(shape(&before), shape(&after), "{}", workflow.name);
        assert!(!report.phases.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_change_leaves_the_host_as_it_was() {
    for workflow in workflows() {
        let total = workflow.changes().await;
        for number in 0..total {
            let machine = workflow.machine().await;
            let before = machine.host.world();
            machine.host.inject(number, Fault::Refuse);
            let error = machine.run(&workflow).await.expect_err("the injected failure was swallowed");
            let RunError::Failed { aftermath, .. } = &error else {
                panic!("{}, change {number}: {error}", workflow.name);
            };
            assert!(
                matches!(**aftermath, Aftermath::RolledBack { .. }),
                "{}, change {number}",
                workflow.name
            );
            assert_eq!(before, machine.host.world(), "{}, change {number}: {error}", workflow.name);
            assert_eq!(machine.status(), Status::RolledBack);
        }
    }
}

/// A kubelet without a configuration ends and is started again, over and over. Seen in the wrong moment it is active.
#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_cannot_run_yet_has_nothing_to_keep() {
    for scenario in workflows() {
        let total = scenario.changes().await;
        let machine = scenario.machine().await;
        machine.host.edit(|world| world.services.get_mut("kubelet").unwrap().active = "active".into());
        let before = shape(&machine.host.world());
        machine.host.inject(total - 1, Fault::Refuse);
        machine.run(&scenario).await.unwrap_err();
        assert_eq!(shape(&machine.host.world()), before, "{}", scenario.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_failure_can_be_resumed() {
    for workflow in workflows() {
        let expected = workflow.outcome().await;
        for number in 0..workflow.changes().await {
            let machine = workflow.machine().await;
            machine.host.inject(number, Fault::Refuse);
            let error = machine.run_with(&workflow, OnFailure::Stop).await.expect_err("swallowed");
            assert!(matches!(error, RunError::Failed { .. }), "{}, change {number}: {error}", workflow.name);
            machine.run(&workflow).await.unwrap_or_else(|error| panic!("resume after {number}: {error}"));
            assert_eq!(expected, shape(&machine.host.world()), "{}, change {number}", workflow.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_change_can_be_resumed_or_rolled_back() {
    quiet();
    for workflow in workflows() {
        let expected = workflow.outcome().await;
        for number in 0..workflow.changes().await {
            for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                let machine = workflow.machine().await;
                machine.host.inject(number, fault);
                assert!(machine.crashes(&workflow).await, "{}, change {number}: no crash", workflow.name);
                machine.run(&workflow).await.unwrap_or_else(|error| panic!("resume after {number}: {error}"));
                assert_eq!(expected, shape(&machine.host.world()), "{}, change {number}", workflow.name);

                let machine = workflow.machine().await;
                let before = machine.host.world();
                machine.host.inject(number, fault);
                assert!(machine.crashes(&workflow).await);
                machine.roll_back().await.unwrap_or_else(|error| panic!("rollback after {number}: {error}"));
                assert_eq!(before, machine.host.world(), "{}, change {number}", workflow.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_event_can_be_resumed() {
    quiet();
    for workflow in workflows() {
        let expected = workflow.outcome().await;
        for number in 0.. {
            let machine = workflow.machine().await;
            if !machine.crashes_at(&workflow, Crashing::at(number)).await {
                assert!(number > 20, "{}: only {number} events", workflow.name);
                break;
            }
            machine
                .run(&workflow)
                .await
                .unwrap_or_else(|error| panic!("resume after event {number}: {error}"));
            assert_eq!(expected, shape(&machine.host.world()), "{}, event {number}", workflow.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_cut_anywhere_can_be_resumed() {
    for workflow in workflows() {
        let finished = workflow.machine().await;
        let report = finished.run(&workflow).await.unwrap();
        let journal = finished.journal_text(&report.operation);
        let records = journal.lines().count();
        // The announcement of the first change reaches the disk before the change does, and all records before it
        // with it: no machine is ever ahead of that.
        let first = journal.lines().position(|line| line.contains("\"record\":\"step-started\"")).unwrap();
        for keep in first + 1..records {
            for torn in [false, true] {
                let machine = Machine::from_world(finished.host.world());
                machine.plant_journal(&report.operation, &cut(&journal, keep, torn));
                machine.run(&workflow).await.unwrap_or_else(|error| panic!("cut after {keep}: {error}"));
                let (before, after) = (shape(&finished.host.world()), shape(&machine.host.world()));
                assert_eq!(before, after, "{}: cut after {keep}", workflow.name);
            }
        }
    }
}

/// The first lines, and half of the next one where the write was torn.
fn cut(journal: &str, keep: usize, torn: bool) -> String {
    let mut lines = journal.split_inclusive('\n');
    let mut text: String = lines.by_ref().take(keep).collect();
    if let Some(next) = lines.next().filter(|_| torn) {
        text += &next[..next.len() / 2];
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_anywhere_can_be_finished() {
    for workflow in workflows() {
        let changes = workflow.changes().await;
        for undo in 0.. {
            let machine = workflow.machine().await;
            let before = machine.host.world();
            machine.host.inject(changes - 1, Fault::Refuse);
            let error = machine.run_with(&workflow, OnFailure::Stop).await.expect_err("swallowed");
            assert!(matches!(error, RunError::Failed { .. }));
            machine.host.inject(undo, Fault::Refuse);
            if machine.roll_back().await.is_ok() {
                assert!(undo > 10, "{}: only {undo} undo steps", workflow.name);
                break;
            }
            assert_eq!(machine.status(), Status::Stuck);
            machine.roll_back().await.unwrap_or_else(|error| panic!("second rollback, {undo}: {error}"));
            assert_eq!(before, machine.host.world(), "{}, undo {undo}", workflow.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_can_be_left_anywhere() {
    for workflow in workflows() {
        let changes = workflow.changes().await;
        for undo in (0..).step_by(2) {
            let machine = workflow.machine().await;
            machine.host.inject(changes - 1, Fault::Refuse);
            machine.run_with(&workflow, OnFailure::Stop).await.expect_err("swallowed");
            machine.host.inject(undo, Fault::Refuse);
            let taken = machine.roll_back_until(Stubborn::Skip, &Silent, &Cancel::default()).await;
            let taken = taken.unwrap_or_else(|error| panic!("{}, undo {undo}: {error}", workflow.name));
            assert_eq!(machine.status(), Status::RolledBack);
            if taken.left == 0 {
                assert!(undo > 10, "{}: only {undo} undo steps", workflow.name);
                break;
            }
            // An upgrade waits for its control plane, too, which does not serve where the kubelet is not started again.
            let kubelet = machine.newest_journal().contains("injected fault: Restart kubelet");
            let alone = taken.left == 1 || (taken.left == 2 && kubelet);
            assert!(alone, "{}, undo {undo}: {} are left", workflow.name, taken.left);
            assert!(machine.roll_back().await.is_err(), "there is nothing more to take back");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_names_every_phase() {
    for workflow in workflows() {
        let machine = workflow.machine().await;
        let before = machine.host.world();
        let built = workflow.build();
        let phases = plan::dry_run(&built, &machine.host, &BTreeSet::new(), &Silent)
            .await
            .unwrap_or_else(|(phase, error)| panic!("{phase}: {error}"));
        assert_eq!(phases.len(), built.phases.len());
        assert!(phases.iter().any(|phase| !phase.steps.is_empty()));
        assert_eq!(machine.host.changes(), Vec::<String>::new());
        assert_eq!(before, machine.host.world());
        assert_eq!(std::fs::read_dir(machine.root()).unwrap().count(), 0, "a dry run wrote to the disk");
        let text = serde_json::to_string(&phases).unwrap();
        assert!(!text.contains("PRIVATE KEY"), "a dry run made a key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_not_resumed_with_another_configuration() {
    let machine = Machine::ready();
    let workflow = &workflows()[0];
    machine.host.inject(5, Fault::Refuse);
    machine.run_with(workflow, OnFailure::Stop).await.expect_err("swallowed");
    let error =
        machine.run(&workflow.with_digest("another")).await.expect_err("resumed with another configuration");
    assert!(matches!(error, RunError::Unfinished { .. }), "{error}");
    assert!(error.to_string().contains("this configuration is another one"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_never_overwritten() {
    let machine = Machine::ready();
    let workflow = &workflows()[0];
    // A file that appears between plan and act: the step that would write it fails and leaves it alone.
    machine.host.edit(|world| {
        world.paths.insert(
            "/etc/kubernetes/pki/apiserver.crt".into(),
            rkadm_core::host::fake::Node::File(b"theirs".into(), 0o644),
        );
    });
    let error = machine.run(workflow).await.expect_err("a foreign file was accepted");
    assert!(error.to_string().contains("/etc/kubernetes/pki/apiserver.crt"), "{error}");
    let world = machine.host.world();
    let kept = world.paths.get(std::path::Path::new("/etc/kubernetes/pki/apiserver.crt"));
    assert_eq!(kept, Some(&rkadm_core::host::fake::Node::File(b"theirs".into(), 0o644)));
}

#[test]
fn the_machine_in_memory_counts_changes() {
    let host = FakeHost::default();
    assert_eq!(host.changes(), Vec::<String>::new());
}
