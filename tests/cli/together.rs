//! `restore etcd --initial-cluster` with members that do not fit: what is said, and that nothing is changed. That it works is
//! proved on real nodes.

use crate::{
    machine::{Machine, Ran, is_root},
    restore::fixture,
    survivor::survivor,
};

const TWO: &str = "cp1=https://192.0.2.10:2380,cp2=https://192.0.2.11:2380";

fn refused(machine: &Machine, flags: &str, code: i32, words: &[&str]) -> Ran {
    machine.write_here("a.db", fixture("3.6"));
    machine.refuses(&format!("restore etcd a.db --yes {flags}"), code, words)
}

#[test]
fn what_is_the_same_on_every_machine_is_needed() {
    if !is_root() {
        return;
    }
    let machine = survivor(&["cp1", "cp2"]);
    refused(&machine, &format!("--initial-cluster {TWO}"), 2, &["--cluster-token", "--raise-to"]);
    let flags = "--cluster-token t --raise-to 9000000000 --initial-cluster";
    refused(&machine, &format!("{flags} cp1=https://192.0.2.10:2380"), 2, &["names this machine alone"]);
    refused(&machine, &format!("{flags} cp3=https://192.0.2.12:2380"), 2, &["cp1 is none of the members"]);
    let other = TWO.replace("2.10", "2.99");
    refused(
        &machine,
        &format!("{flags} {other}"),
        2,
        &["which is this machine, has the peer URL https://192.0.2.10:2380"],
    );
    let low = "--cluster-token t --raise-to 1 --initial-cluster";
    refused(&machine, &format!("{low} {TWO}"), 2, &["--raise-to 1: the backup has revision"]);
}

#[test]
fn members_that_would_be_left_out_are_named() {
    if !is_root() {
        return;
    }
    let machine = survivor(&["cp1", "cp2", "cp3"]);
    let flags = "--cluster-token t --raise-to 9000000000 --initial-cluster";
    let words = [
        "[EtcdMembers] etcd has members that are not in --initial-cluster: cp3",
        "--force",
        "Nothing was changed.",
    ];
    refused(&machine, &format!("{flags} {TWO}"), 3, &words);
    let ran = refused(&survivor(&["cp1", "cp2"]), &format!("{flags} {TWO}"), 3, &["[ContainerRuntime]"]);
    assert!(!ran.stderr().contains("[EtcdMembers]"), "{}", ran.report());
}

#[test]
fn a_restore_of_one_of_several_says_how_all_are_restored() {
    if !is_root() {
        return;
    }
    let words = [
        "[EtcdMembers] etcd does not answer",
        "--initial-cluster cp1=https://192.0.2.10:2380,cp2=https://192.0.2.11:2380 --cluster-token ",
        " --raise-to ",
        "--from-survivor",
    ];
    let ran = refused(&survivor(&["cp1", "cp2"]), "", 3, &words);
    // The command that is shown is one that is taken.
    let text = ran.stderr();
    let command = text.split('`').find(|part| part.contains("--initial-cluster")).unwrap();
    let flags = &command[command.find("--initial-cluster").unwrap()..];
    let ran = refused(&survivor(&["cp1", "cp2"]), flags, 3, &["[ContainerRuntime]"]);
    assert!(!ran.stderr().contains("[EtcdMembers]"), "{}", ran.report());
}
