//! `restore cluster` with backups and machines that do not fit: what is said, and that nothing is changed. That it restores is
//! proved on real nodes.

use std::fs;

use insta::assert_snapshot;

use crate::{
    machine::{Machine, Ran, is_root},
    restore::{archive, fixture},
};

/// The fixtures are no clusters of Kubernetes: the configuration comes from a file.
const WITH: &str = "--config cluster.yaml --ignore-preflight-errors=all --dry-run";

/// A new machine with a backup of another one's keys.
fn new() -> Machine {
    let machine = Machine::new();
    machine.write_here("b.tar", archive(&Machine::with_certificates(), "3.6", |_| {}));
    machine
}

fn refused(machine: &Machine, args: &str, code: i32, words: &[&str]) -> Ran {
    machine.refuses(&format!("restore cluster {args}"), code, &[words, &["Nothing was changed."]].concat())
}

#[test]
fn without_a_terminal_somebody_has_to_say_yes() {
    if !is_root() {
        return;
    }
    assert_snapshot!(new().rkadm("restore cluster b.tar").report(), @r#"
exit 2
--- stderr
Error: `rkadm restore cluster` makes a control plane of this machine, with all keys of the lost cluster, and there is no terminal to confirm it on
  Nothing was changed.
Hint: without a terminal: --yes
Hint: what would be done: --dry-run
"#);
}

#[test]
fn a_backup_that_is_damaged_is_refused() {
    let machine = new();
    let mut bytes = fs::read(machine.dir().join("b.tar")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    machine.write_here("b.tar", &bytes);
    refused(&machine, &format!("b.tar {WITH}"), 1, &["b.tar is damaged"]);
    machine.write_here("b.tar", &bytes[..middle]);
    refused(&machine, &format!("b.tar {WITH}"), 1, &["b.tar is damaged"]);
    machine.write_here("b.tar", b"");
    refused(&machine, &format!("b.tar {WITH}"), 1, &["b.tar is no backup"]);
    refused(&machine, &format!("none.tar {WITH}"), 1, &["none.tar"]);
}

#[test]
fn what_there_is_no_room_for_is_not_unpacked() {
    let machine = new();
    let backup = archive(&Machine::with_certificates(), "3.6", |manifest| manifest.snapshot.size = 1 << 50);
    machine.write_here("b.tar", backup);
    let words = [
        "bytes free, and 1125899906842624 are needed to unpack the snapshot",
        "Hint: free some space there; `backup verify` and `backup drill` take another directory with --scratch",
    ];
    refused(&machine, &format!("b.tar {WITH}"), 1, &words);
}

#[test]
fn a_backup_without_settings_asks_for_them() {
    let words = [
        "ConfigMap kube-system/kubeadm-config of the backup: it is not there",
        "--config FILE: ClusterConfiguration",
    ];
    refused(&new(), "b.tar --dry-run", 1, &words);
}

#[test]
fn a_configuration_that_is_wrong_is_told_with_its_place() {
    let machine = new();
    machine.write_here("cluster.yaml", b"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\nnetworking: {podSubnet: x}\n");
    refused(&machine, &format!("b.tar {WITH}"), 4, &["cluster.yaml", "networking.podSubnet"]);
}

#[test]
fn a_machine_with_data_of_an_etcd_is_left_alone() {
    let machine = new();
    machine.write("/var/lib/etcd/member/snap/db", "data");
    let words = ["[EtcdData] this machine has data of an etcd in /var/lib/etcd/member", "rkadm reset"];
    refused(&machine, &format!("b.tar {WITH}"), 3, &words);
}

#[test]
fn data_of_a_newer_etcd_is_refused() {
    let machine = new();
    machine.write_here("b.tar", archive(&Machine::with_certificates(), "3.7", |_| {}));
    let text = fs::read_to_string(machine.dir().join("cluster.yaml")).unwrap();
    machine.write_here("cluster.yaml", text.replace("v1.37.2", "v1.36.4").as_bytes());
    refused(
        &machine,
        &format!("b.tar {WITH}"),
        3,
        &["[EtcdVersion] the snapshot has the format of etcd 3.7"],
    );
}

#[test]
fn keys_of_another_cluster_are_never_overwritten() {
    let machine = new();
    machine.write("/etc/kubernetes/pki/sa.key", "another");
    let ran = machine.rkadm(&format!("restore cluster b.tar {WITH}"));
    ran.exits(1);
    let said = ran.stderr();
    assert!(
        said.contains("this machine has other files than the backup: /etc/kubernetes/pki/sa.key"),
        "{said}"
    );
    assert!(said.contains("rkadm reset"), "{said}");
}

#[test]
fn a_plain_snapshot_needs_keys_that_are_there() {
    let machine = Machine::new();
    machine.write_here("a.db", fixture("3.6"));
    let ran = machine.rkadm(&format!("restore cluster a.db {WITH}"));
    ran.exits(1);
    let said = ran.stderr();
    assert!(
        said.contains("the backup has no /etc/kubernetes/pki/ca.crt, and this machine has none either"),
        "{said}"
    );
}

#[test]
fn an_endpoint_is_given_in_one_place_and_not_on_a_lost_machine() {
    let machine = new();
    let words = ["--control-plane-endpoint cannot be used with a ClusterConfiguration"];
    refused(&machine, &format!("b.tar {WITH} --control-plane-endpoint x"), 2, &words);
    // The members of the fixture answered there.
    let text = fs::read_to_string(machine.dir().join("cluster.yaml")).unwrap();
    machine.write_here("cluster.yaml", format!("{text}controlPlaneEndpoint: 127.0.0.1:6443\n"));
    let words = ["endpoint https://127.0.0.1:6443 is the address of a machine that is lost"];
    refused(&machine, &format!("b.tar {WITH}"), 1, &words);
}

#[test]
fn an_address_is_given_in_one_place() {
    let words = ["--apiserver-advertise-address", "cannot be used with", "--config"];
    new().refuses(
        "restore cluster b.tar --config cluster.yaml --apiserver-advertise-address 192.0.2.1",
        2,
        &words,
    );
}
