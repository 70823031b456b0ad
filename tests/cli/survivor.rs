//! `restore etcd --from-survivor` where it must not: what is said, and that nothing is changed. That it works is proved on real
//! nodes.

use std::fs;

use rkadm_core::etcd::snapshot::{NewMember, RestoreOptions, VerifyOptions, restore, verify};

use crate::{
    machine::{Machine, Ran, is_root},
    restore::{control_plane, fixture},
};

/// A control plane whose etcd has ended, with data of these members.
pub fn survivor(names: &[&str]) -> Machine {
    let machine = control_plane();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("a.db");
    fs::write(&file, fixture("3.6")).unwrap();
    let verified = verify(&file, VerifyOptions::default()).unwrap();
    let member = |(name, number): (&&str, u8)| NewMember {
        name: (*name).to_owned(),
        peer_urls: vec![format!("https://192.0.2.{number}:2380")],
    };
    let members: Vec<_> = names.iter().zip(10..).map(member).collect();
    machine.write("/var/lib/x", "");
    restore(&verified, &machine.path("/var/lib/etcd"), &RestoreOptions::new(names[0], members)).unwrap();
    machine
}

fn refused(machine: &Machine, code: i32, words: &[&str]) -> Ran {
    machine.refuses("restore etcd --from-survivor --yes", code, &[words, &["Nothing was changed."]].concat())
}

#[test]
fn it_goes_with_no_file() {
    if !is_root() {
        return;
    }
    let machine = control_plane();
    machine.rkadm("restore etcd --from-survivor a.db --yes").exits(2);
    machine.rkadm("restore etcd --yes").exits(2);
}

#[test]
fn a_machine_with_nothing_left_is_led_to_a_backup() {
    if !is_root() {
        return;
    }
    let words = [
        "no cluster can be made of what is left here",
        "[EtcdData] what is left of etcd in /var/lib/etcd cannot be used",
    ];
    refused(&control_plane(), 3, &[&words[..], &["`rkadm restore etcd FILE`"]].concat());
    let machine = survivor(&["cp1", "cp2"]);
    machine.write("/var/lib/etcd/member/snap/db", vec![7; 9000]);
    refused(&machine, 3, &["[EtcdData]"]);
    let machine = survivor(&["cp1", "cp2"]);
    machine.write("/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal", vec![7; 9000]);
    refused(&machine, 3, &["[EtcdData]", "the log of etcd cannot be read"]);
}

#[test]
fn only_a_voting_member_of_several_has_lost_a_quorum() {
    if !is_root() {
        return;
    }
    refused(
        &survivor(&["cp1"]),
        3,
        &["[EtcdMembers] etcd has one voting member, so it cannot have lost its quorum"],
    );
    refused(
        &survivor(&["cp9", "cp2"]),
        3,
        &["[EtcdMembers] the data in /var/lib/etcd is not of a voting member cp1"],
    );
    // Nothing speaks against the data; what else is missing is not that machine's etcd.
    let ran = refused(&survivor(&["cp1", "cp2"]), 3, &["[ContainerRuntime]", "[Kubelet]"]);
    assert!(!ran.stderr().contains("[Etcd"), "{}", ran.report());
}
