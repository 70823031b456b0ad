//! Commands that lead other machines over ssh: what is said when they cannot. That they can is proved on real nodes.

use crate::{
    machine::{Machine, is_root},
    restore::{archive, control_plane, fixture},
};

fn refused(machine: &Machine, flags: &str, code: i32, words: &[&str]) {
    machine.write_here("a.db", fixture("3.6"));
    machine.refuses(&format!("restore etcd a.db --yes {flags}"), code, words);
}

#[test]
fn names_that_make_no_fleet_are_refused() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    refused(&machine, "--control-planes cp1,cp1", 2, &["cp1 is named twice", "Nothing was changed."]);
    refused(&machine, "--control-planes cp1,", 2, &["a machine has no name"]);
    refused(&machine, "--control-planes=-oProxyCommand=x,cp1", 2, &["is no name of a machine"]);
    refused(&machine, "--when-one-fails go-on", 2, &["--control-planes"]);
    refused(&machine, "--control-planes cp1,cp2 --no-bump", 2, &["--no-bump", "cannot be used with"]);
    refused(
        &machine,
        "--control-planes cp1,cp2 --initial-cluster a=https://b:2380 --cluster-token t --raise-to 9",
        2,
        &["--initial-cluster", "cannot be used with"],
    );
}

#[test]
fn a_machine_without_ssh_says_so() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    machine.write_here("a.db", fixture("3.6"));
    let mut command = machine.command("restore etcd a.db --yes --control-planes other1,other2");
    let ran = machine.run(command.env("PATH", "/nonexistent"));
    ran.exits(3);
    let words =
        ["ssh is not installed on this machine", "apt-get install openssh-client", "Nothing was changed."];
    assert!(words.iter().all(|word| ran.stderr().contains(word)), "{}", ran.report());
}

/// Each machine is asked for its own state; one that has none is named.
#[test]
fn a_machine_that_is_no_control_plane_is_named() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let words = [
        "cannot restore on every machine",
        "127.0.0.1: this machine has no /etc/kubernetes/manifests/etcd.yaml",
    ];
    refused(&machine, "--control-planes 127.0.0.1", 3, &words);
}

/// A backup that is damaged is found before any machine is asked.
#[test]
fn a_damaged_backup_is_found_before_anybody_is_asked() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    let mut bytes = archive(&machine, "3.6", |_| {});
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    machine.write_here("a.tar.gz", bytes);
    let ran =
        machine.refuses("restore etcd a.tar.gz --yes --control-planes nobody1,nobody2", 1, &["a.tar.gz"]);
    assert!(!ran.stderr().contains("ssh"), "{}", ran.report());
}

#[test]
fn without_a_terminal_it_wants_to_be_told() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    machine.write_here("a.db", fixture("3.6"));
    machine.refuses(
        "restore etcd a.db --control-planes cp1,cp2",
        2,
        &["no terminal to confirm it on", "--yes"],
    );
}

#[test]
fn an_upgrade_of_several_machines_says_what_does_not_go() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let refuses = |flags: &str, code: i32, words: &[&str]| {
        machine.refuses(&format!("upgrade apply {flags}"), code, words);
    };
    refuses("--nodes cp1,cp2", 2, &["which version?"]);
    refuses("v1.37.2 --kubelet", 2, &["--kubelet goes with --nodes here", "rkadm upgrade node --kubelet"]);
    refuses("v1.37.2 --nodes cp1 --patches here", 2, &["--patches here", "give the whole path"]);
    refuses("v1.37.2 --nodes cp1 --skip-phases nonsense", 2, &["there is no phase nonsense"]);
    refuses("v1.37.2 --nodes cp1 --kubeconfig f", 2, &["cannot be used with"]);
    refuses("v1.37.2 --max-unavailable 2", 2, &["--nodes"]);
    refuses("v1.37.2 --nodes cp1 --max-unavailable 0", 2, &["--max-unavailable"]);
    refuses("phase preflight v1.37.2 --nodes cp1", 2, &["a single phase is run on one machine"]);
}
