//! Which backup `latest` is, where a directory holds some of several clusters, and some that do not work.

use std::fs;

use crate::{
    machine::{Machine, is_root},
    restore::{archive, control_plane},
};

/// A backup of the cluster with these keys, of this day.
fn keep(machine: &Machine, keys: &Machine, day: &str) -> String {
    let bytes = archive(keys, "3.6", |manifest| {
        manifest.created_at = format!("2025-03-{day}T03:00:00Z").parse().unwrap();
    });
    let name = format!("backups/rkadm-backup-cp1-202503{day}T030000Z-r1.tar");
    fs::create_dir_all(machine.dir().join("backups")).unwrap();
    machine.write_here(&name, bytes);
    name
}

/// What came of its drill.
fn condemn(machine: &Machine, backup: &str) {
    let record =
        r#"{"schema": 1, "at": "2025-04-01T00:00:00Z", "elapsedMs": 7, "error": "etcd has 3 keys, not 4"}"#;
    machine.write_here(&format!("{backup}.drill.json"), record);
}

#[test]
fn a_machine_without_an_authority_does_not_choose_between_clusters() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let (one, two) = (Machine::with_certificates(), Machine::with_certificates());
    let restore = "restore data latest --dir backups --data-dir new --name m1 --initial-cluster m1=https://10.0.0.1:2380";
    keep(&machine, &one, "01");
    keep(&machine, &two, "02");
    let words = ["/backups holds backups of 2 clusters", "name the file to restore", "Nothing was changed."];
    machine.refuses(restore, 1, &words);
    assert!(!machine.dir().join("new").exists());
    // Two of the same are no question.
    let newer = keep(&machine, &one, "02");
    let ran = machine.rkadm(&format!("{restore} -o json"));
    assert!(ran.succeeds().stdout().contains(&newer), "{}", ran.report());
}

#[test]
fn newer_backups_of_another_authority_are_passed_over() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let foreign = Machine::with_certificates();
    keep(&machine, &foreign, "05");
    keep(&machine, &foreign, "06");
    let passed =
        "passed over: 2 newer backups of a cluster whose authority has another key than that of this machine";
    let words = ["/backups holds no backup", passed, "name the file", "Nothing was changed."];
    machine.refuses("restore etcd latest --yes --dir backups", 1, &words);
    keep(&machine, &machine, "04");
    // etcd does not run here, so that there are other doubts.
    let ran = machine.refuses("restore etcd latest --yes --dir backups", 3, &[passed, "[EtcdMembers]"]);
    assert!(!ran.stderr().contains("[Keys]"), "{}", ran.report());
}

#[test]
fn a_backup_that_failed_its_drill_is_passed_over() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let newest = keep(&machine, &machine, "05");
    condemn(&machine, &newest);
    let passed = format!("{newest} is passed over: its last drill failed: etcd has 3 keys, not 4");
    machine.refuses("restore etcd latest --yes --dir backups", 1, &["/backups holds no backup", &passed]);
    keep(&machine, &machine, "04");
    machine.refuses("restore etcd latest --yes --dir backups", 3, &[&passed, "[EtcdMembers]"]);
    // Whoever names it may have it.
    let ran = machine.refuses(&format!("restore etcd {newest} --yes"), 3, &["[EtcdMembers]"]);
    assert!(!ran.stderr().contains("passed over"), "{}", ran.report());
}

#[test]
fn what_may_be_newer_and_cannot_be_read_leaves_the_choice_to_the_operator() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let good = keep(&machine, &machine, "05");
    machine.write_here("backups/rkadm-backup-cp1-20250304T030000Z-r1.tar", "older, and nobody's business");
    machine.refuses("restore etcd latest --yes --dir backups", 3, &["[EtcdMembers]"]);
    let newer = "backups/rkadm-backup-cp1-20250306T030000Z-r1.tar";
    machine.write_here(newer, "half of one");
    let words = [
        "which backup is the latest cannot be told: one that may be newer cannot be read",
        &format!("{newer} is no backup"),
        &format!("{good}; name it to take it"),
    ];
    machine.refuses("restore etcd latest --yes --dir backups", 1, &words);
}
