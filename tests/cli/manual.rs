//! `rkadm man`.

use std::fs;

use serde_json::Value;

use crate::machine::Machine;

#[test]
fn every_command_that_help_shows_has_a_page() {
    let machine = Machine::new();
    let ran = machine.rkadm("man pages/man1 -o json");
    let result: Value = serde_json::from_str(&ran.succeeds().stdout()).unwrap();
    assert_eq!(result["directory"], "pages/man1");
    let pages: Vec<_> =
        result["pages"].as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect();
    for expected in ["rkadm.1", "rkadm-init.1", "rkadm-init-phase-certs-ca.1", "rkadm-config-images-list.1"] {
        assert!(pages.contains(&expected), "{expected}: {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("help") || *page == "rkadm-man.1"), "{pages:?}");
    let mut there: Vec<_> = fs::read_dir(machine.dir().join("pages/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut told = pages.clone();
    told.sort_unstable();
    assert_eq!(there, told);
    let init = fs::read_to_string(machine.dir().join("pages/man1/rkadm-init.1")).unwrap();
    assert!(init.contains(".SH OPTIONS\n") && init.contains(r"\-\-pod\-network\-cidr"), "{init}");
    // The list of phases keeps its lines.
    assert!(init.contains(".nf\n") && init.ends_with(".fi\n"), "{init}");
}

#[test]
fn pages_are_the_same_each_time_and_replace_those_of_before() {
    let machine = Machine::new();
    let page = machine.dir().join("man/rkadm.1");
    let ran = machine.rkadm("man man").succeeds().stdout();
    assert!(ran.ends_with(" pages written to man\n"), "{ran}");
    let first = fs::read(&page).unwrap();
    fs::write(&page, "old").unwrap();
    machine.rkadm("man man").succeeds();
    assert_eq!(fs::read(&page).unwrap(), first);
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let machine = Machine::new();
    machine.write_here("file", "");
    let report = machine.rkadm("man file/man").report();
    assert!(report.starts_with("exit 1\n--- stderr\nError: cannot write file/man: "), "{report}");
}
