//! `rkadm op rollback` where something cannot be taken back.

use std::fs;

use insta::assert_snapshot;

use crate::machine::{Machine, is_root};

/// An operation that failed, and since then somebody has made a directory of one of its files.
fn with_what_cannot_be_undone() -> Machine {
    let machine = Machine::new();
    fs::create_dir_all(machine.pki("apiserver.key")).unwrap();
    machine.phase("certs all --on-failure stop").exits(5);
    fs::remove_file(machine.pki("ca.crt")).unwrap();
    fs::create_dir_all(machine.pki("ca.crt").join("theirs")).unwrap();
    machine
}

fn by_hand(machine: &Machine) -> serde_json::Value {
    let shown = machine.rkadm("op show -o json").succeeds().stdout();
    serde_json::from_str::<serde_json::Value>(&shown).unwrap()["byHand"].clone()
}

#[test]
fn rollback_that_is_stuck_says_what_is_left_to_do() {
    if !is_root() {
        return;
    }
    let machine = with_what_cannot_be_undone();
    assert_snapshot!(machine.rkadm("op rollback").report(), @r#"
exit 6
--- stderr
rolling back 2 steps
  cannot undo: write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes: cannot read $DIR/root/etc/kubernetes/pki/ca.crt: Is a directory (os error 21)
Error: the rollback is stuck: cannot take back "write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes": cannot read $DIR/root/etc/kubernetes/pki/ca.crt: Is a directory (os error 21)
  What is not undone yet can be undone by hand, in this order:
    rm -f /etc/kubernetes/pki/ca.crt
    rm -f /etc/kubernetes/pki/ca.key
Hint: when the cause is gone: `rkadm op rollback <ULID>`
Hint: to leave this and go on with the rest: `rkadm op rollback --skip-failed <ULID>`
"#);
    let commands = ["rm -f /etc/kubernetes/pki/ca.crt", "rm -f /etc/kubernetes/pki/ca.key"];
    assert_eq!(by_hand(&machine), serde_json::json!(commands));
    // Half of it is neither to be gone on with nor to be built upon.
    assert_snapshot!(machine.rkadm("op resume").report(), @r#"
exit 5
--- stderr
Error: operation <ULID> is stuck: it can only be taken back whole
Hint: look at it: `rkadm op show <ULID>`
Hint: finish that: `rkadm op rollback <ULID>`; then run its command again
"#);
    assert!(machine.phase("certs all").exits(5).stderr().contains("its rollback failed"));
    machine.rkadm("op rollback").exits(6);

    fs::remove_dir_all(machine.pki("ca.crt")).unwrap();
    machine.rkadm("op rollback").succeeds();
    assert_eq!(by_hand(&machine), serde_json::json!([]), "it is undone");
    assert!(!machine.pki("ca.key").exists());
}

#[test]
fn what_cannot_be_undone_can_be_left() {
    if !is_root() {
        return;
    }
    let machine = with_what_cannot_be_undone();
    machine.rkadm("op rollback").exits(6);
    assert_snapshot!(machine.rkadm("op rollback --skip-failed").report(), @r#"
exit 0
--- stdout
Operation <ULID> is rolled back: 1 change undone, 1 left as it is (`rkadm op show <ULID>` marks them with !).
--- stderr
rolling back 2 steps
  cannot undo: write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes: cannot read $DIR/root/etc/kubernetes/pki/ca.crt: Is a directory (os error 21)
  undone: write /etc/kubernetes/pki/ca.key (mode 0600): new ECDSA-P256 private key
"#);
    let shown = machine.rkadm("op show").succeeds().stdout();
    let line = |name: &str| shown.lines().find(|line| line.contains(name)).unwrap().trim_start().to_owned();
    assert!(line("pki/ca.crt (mode").starts_with("! "), "{shown}");
    assert!(line("pki/ca.key (mode").starts_with("- "), "{shown}");
    assert!(!shown.contains("To be undone by hand"), "the key is undone, and the rest is given up:\n{shown}");
    assert!(machine.pki("ca.crt").join("theirs").is_dir());
    assert!(!machine.pki("ca.key").exists());
    // The machine is free for the next one.
    machine.rkadm("op rollback").exits(1);
    machine.phase("etcd local").succeeds();
    assert_eq!(machine.operations().len(), 2);
}
