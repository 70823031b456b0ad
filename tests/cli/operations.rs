//! `rkadm op`: no operation, unknown ones, damaged journals, and going on.

use std::{fs, io::Write};

use insta::assert_snapshot;

use crate::{
    machine::{Machine, PKI, is_root},
    server::{Mood, Server},
};

/// A machine with an operation that failed and was left as it was: a directory is in the place of a key.
fn with_failed_operation() -> Machine {
    let machine = Machine::new();
    fs::create_dir_all(machine.pki("apiserver.key")).unwrap();
    machine.phase("certs all --on-failure stop").exits(5);
    machine
}

#[test]
fn no_operation_yet() {
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("op list").report(), @r#"
exit 0
--- stdout
No operation was run on this machine.
"#);
    assert_snapshot!(machine.rkadm("op list -o yaml").report(), @r#"
exit 0
--- stdout
apiVersion: output.rkadm.io/v1alpha1
kind: OperationList
items: []
"#);
    assert_snapshot!(machine.rkadm("op show").report(), @r#"
exit 1
--- stderr
Error: no operation was run on this machine
"#);
    if is_root() {
        assert_snapshot!(machine.rkadm("op resume").report(), @r#"
exit 1
--- stderr
Error: no operation of this machine is unfinished
Hint: `rkadm op list` shows the finished ones
"#);
        assert_snapshot!(machine.rkadm("op rollback").report(), @r#"
exit 1
--- stderr
Error: no operation of this machine is unfinished
Hint: `rkadm op list` shows the finished ones
"#);
    }
    assert!(machine.is_untouched());
}

#[test]
fn unknown_and_ambiguous_ids() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    machine.phase("certs sa").succeeds();
    for command in ["show", "resume", "rollback"] {
        machine.rkadm(&format!("op {command} 7ZZ")).exits(1);
    }
    assert_snapshot!(machine.rkadm("op rollback 7ZZ").report(), @r#"
exit 1
--- stderr
Error: there is no operation 7ZZ
Hint: `rkadm op list` shows the operations of this machine
"#);
    assert_snapshot!(machine.rkadm("op show 0").report(), @r#"
exit 1
--- stderr
Error: 2 operations begin with 0: which one is meant?
Hint: `rkadm op list` shows the operations of this machine
"#);
    let id = &machine.operations()[0];
    machine.rkadm(&format!("op show {}", id.to_lowercase())).succeeds();
}

#[test]
fn finished_operations_are_neither_resumed_nor_rolled_back() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let before = machine.tree("/");
    let id = &machine.operations()[0];
    assert_snapshot!(machine.rkadm(&format!("op resume {id}")).report(), @r#"
exit 1
--- stderr
Error: operation <ULID> is finished
Hint: look at it: `rkadm op show <ULID>`
"#);
    assert_snapshot!(machine.rkadm(&format!("op rollback {id}")).report(), @r#"
exit 1
--- stderr
Error: operation <ULID> is finished: there is nothing to roll back
"#);
    assert!(machine.tree("/etc").iter().all(|(path, _)| before.contains_key(path)));
    assert_eq!(machine.rkadm("op rollback").exits(1).stdout(), "");
}

#[test]
fn timeline_of_an_operation() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.phase("certs ca").succeeds();
    assert_snapshot!(machine.rkadm("op list").report(), @r#"
exit 0
--- stdout
ID                          COMMAND              STATUS    STARTED
<ULID>  init phase certs/ca  finished  <TIME>
"#);
    assert_snapshot!(machine.rkadm("op show").report(), @r#"
exit 0
--- stdout
Operation <ULID>: rkadm init phase certs/ca, finished, started <TIME>
certs/ca                                 done <DURATION>
  + <DURATION>  create directory /etc/kubernetes (mode 0755)
  + <DURATION>  create directory /etc/kubernetes/pki (mode 0755)
  + <DURATION>  write /etc/kubernetes/pki/ca.key (mode 0600): new ECDSA-P256 private key
  + <DURATION>  write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes
(+ done, ? begun, - undone)
"#);
}

#[test]
fn operation_that_failed_can_be_looked_at_and_rolled_back() {
    if !is_root() {
        return;
    }
    let machine = with_failed_operation();
    assert_snapshot!(machine.rkadm("op list").report(), @r#"
exit 0
--- stdout
ID                          COMMAND           STATUS  STARTED
<ULID>  init phase certs  failed  <TIME>
"#);
    assert_snapshot!(machine.rkadm("op show").report(), @r#"
exit 0
--- stdout
Operation <ULID>: rkadm init phase certs, failed, started <TIME>
certs/ca                                 done <DURATION>
  + <DURATION>  write /etc/kubernetes/pki/ca.key (mode 0600): new ECDSA-P256 private key
  + <DURATION>  write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes
certs/apiserver                          failed
certs/apiserver-kubelet-client           not reached
certs/front-proxy-ca                     not reached
certs/front-proxy-client                 not reached
certs/etcd-ca                            not reached
certs/etcd-server                        not reached
certs/etcd-peer                          not reached
certs/etcd-healthcheck-client            not reached
certs/apiserver-etcd-client              not reached
certs/sa                                 not reached
Error: certs/apiserver: cannot read $DIR/root/etc/kubernetes/pki/apiserver.key: Is a directory (os error 21)
(+ done, ? begun, - undone)
"#);
    // Another command has to wait until this one is settled.
    assert_snapshot!(machine.phase("etcd local").report(), @r#"
exit 5
--- stderr
Error: operation <ULID> (rkadm init phase certs) is not finished (failed), and this is another command
  A machine has one unfinished operation at a time.
Hint: look at it: `rkadm op show <ULID>`
Hint: finish it as it was begun: `rkadm op resume <ULID>`
Hint: take it back: `rkadm op rollback <ULID>`
"#);
    assert_snapshot!(machine.rkadm("op rollback").report(), @r#"
exit 0
--- stdout
Operation <ULID> is rolled back: 2 changes undone.
--- stderr
rolling back 2 steps
  undone: write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes
  undone: write /etc/kubernetes/pki/ca.key (mode 0600): new ECDSA-P256 private key
"#);
    assert_snapshot!(machine.listing("/etc"), @r#"
0755 /etc
0755 /etc/kubernetes
0755 /etc/kubernetes/pki
0755 /etc/kubernetes/pki/apiserver.key
"#);
}

#[test]
fn rollback_that_was_cut_off_is_finished_and_not_resumed() {
    if !is_root() {
        return;
    }
    let machine = with_failed_operation();
    let journal = machine.journal(&machine.operations()[0]);
    let failed = fs::read_to_string(&journal).unwrap().lines().count();
    machine.rkadm("op rollback").succeeds();
    let text = fs::read_to_string(&journal).unwrap();
    let begun: Vec<_> = text.lines().take(failed + 1).collect();
    assert!(begun.last().unwrap().contains("rollback-started"), "{begun:?}");
    fs::write(&journal, begun.join("\n") + "\n").unwrap();

    assert_snapshot!(machine.rkadm("op resume").report(), @r#"
exit 5
--- stderr
Error: operation <ULID> is rolling-back: it can only be taken back whole
Hint: look at it: `rkadm op show <ULID>`
Hint: finish that: `rkadm op rollback <ULID>`; then run its command again
"#);
    machine.rkadm("op rollback").succeeds();
    machine.rkadm("op resume").exits(1);
}

#[test]
fn rollback_keeps_what_another_hand_made_of_a_file() {
    if !is_root() {
        return;
    }
    let machine = with_failed_operation();
    fs::write(machine.pki("ca.crt"), "edited").unwrap();
    assert_snapshot!(machine.rkadm("op rollback").report(), @r#"
exit 0
--- stdout
Operation <ULID> is rolled back: 2 changes undone.
--- stderr
rolling back 2 steps
Warning: /etc/kubernetes/pki/ca.crt was changed after rkadm wrote it: that content is kept as $DIR/root/var/lib/rkadm/operations/<ULID>/saved/0
  undone: write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes
  undone: write /etc/kubernetes/pki/ca.key (mode 0600): new ECDSA-P256 private key
"#);
    assert!(!machine.pki("ca.crt").exists());
    let kept = machine.tree("/var/lib/rkadm").into_values().filter(|(_, bytes)| bytes == b"edited");
    assert_eq!(kept.count(), 1);
}

#[test]
fn operation_that_failed_goes_on_when_the_cause_is_gone() {
    if !is_root() {
        return;
    }
    for resume in ["op resume", "init phase certs all --config cluster.yaml"] {
        let machine = with_failed_operation();
        // What an earlier process began is never taken back without a word.
        machine.rkadm(resume).exits(5);
        let machine = with_failed_operation();
        fs::remove_dir(machine.pki("apiserver.key")).unwrap();
        machine.rkadm(resume).succeeds();
        assert_eq!(machine.operations().len(), 1, "it is the same operation");
        assert!(machine.pki("sa.pub").exists());
    }
}

#[test]
fn another_configuration_does_not_go_on_with_an_operation() {
    if !is_root() {
        return;
    }
    let machine = with_failed_operation();
    let other = crate::machine::CONFIG.replace("cp1", "cp2");
    assert_snapshot!(machine.with_config("init phase certs all", other).report(), @r#"
exit 5
--- stderr
Error: operation <ULID> (rkadm init phase certs) is not finished (failed), and this configuration is another one
  A machine has one unfinished operation at a time.
  nodeRegistration.name: was "cp1", is now "cp2"
Hint: look at it: `rkadm op show <ULID>`
Hint: finish it as it was begun: `rkadm op resume <ULID>`
Hint: take it back: `rkadm op rollback <ULID>`
"#);
}

#[test]
fn damaged_journal() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    machine.phase("certs sa").succeeds();
    let journal = machine.journal(&machine.operations()[0]);
    let text = fs::read_to_string(&journal).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines[3] = "{\"seq\":3,rubbish";
    fs::write(&journal, lines.join("\n") + "\n").unwrap();
    assert_snapshot!(machine.rkadm("op list").report(), @r#"
exit 0
--- stdout
ID                          COMMAND              STATUS      STARTED
<ULID>                       unreadable
<ULID>  init phase certs/sa  finished    <TIME>
--- stderr
Warning: line 4 of journal $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl is damaged: key must be a string
"#);
    machine.rkadm("op show").succeeds();
    let id = &machine.operations()[0];
    assert_snapshot!(machine.rkadm(&format!("op show {id}")).report(), @r#"
exit 1
--- stderr
Error: line 4 of journal $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl is damaged: key must be a string
Hint: a newer rkadm wrote it, or the file is damaged. Moving $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl away makes rkadm forget that operation: it can then be neither resumed nor rolled back
"#);
    assert_snapshot!(machine.phase("certs sa").report(), @r#"
exit 1
--- stderr
Error: line 4 of journal $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl is damaged: key must be a string
  Nothing was changed on this machine.
Hint: a newer rkadm wrote it, or the file is damaged. Moving $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl away makes rkadm forget that operation: it can then be neither resumed nor rolled back
"#);
}

#[test]
fn journal_with_a_line_missing() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let journal = machine.journal(&machine.operations()[0]);
    let text = fs::read_to_string(&journal).unwrap();
    let kept: Vec<_> =
        text.lines().enumerate().filter(|(index, _)| *index != 2).map(|(_, line)| line).collect();
    fs::write(&journal, kept.join("\n") + "\n").unwrap();
    assert_snapshot!(machine.rkadm("op show").report(), @r#"
exit 1
--- stderr
Error: journal $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl is damaged: record 3 (step-done) stands where record 2 should be
Hint: a newer rkadm wrote it, or the file is damaged. Moving $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl away makes rkadm forget that operation: it can then be neither resumed nor rolled back
"#);
}

#[test]
fn journal_cut_in_its_last_line_is_accepted() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    fs::create_dir_all(machine.pki("apiserver.key")).unwrap();
    machine.phase("certs all --on-failure stop").exits(5);
    let journal = machine.journal(&machine.operations()[0]);
    let length = fs::metadata(&journal).unwrap().len();
    fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(length - 7).unwrap();
    assert!(machine.rkadm("op list").succeeds().stdout().contains(" running "));
    fs::remove_dir(machine.pki("apiserver.key")).unwrap();
    machine.rkadm("op resume").succeeds();
    machine.rkadm("op show").succeeds();
    assert!(machine.path(PKI).join("apiserver.key").is_file());
}

#[test]
fn journal_whose_first_line_never_reached_the_disk_is_no_operation() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let empty = machine.journal("7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    fs::File::create(empty).unwrap().write_all(b"{\"seq\":0,").unwrap();
    assert_eq!(machine.rkadm("op list").succeeds().stdout().lines().count(), 2);
    machine.rkadm("op show").succeeds();
    machine.phase("certs sa").succeeds();
}

#[test]
fn joins_that_the_cluster_shows_as_unfinished() {
    let machine = Machine::new();
    let server = Server::start(Mood::Willing);
    server.admin_of(&machine);
    assert_snapshot!(machine.rkadm("op list --cluster").report(), @r#"
exit 0
--- stdout
The cluster shows no unfinished join.
--- stderr
Warning: members of etcd are not listed: this machine has no static pod of etcd or of an API server in /etc/kubernetes/manifests
"#);
    let condition = serde_json::json!({
        "type": "rkadm.io/JoinUnfinished", "status": "True", "reason": "RolledBack",
        "message": "delete what is left of it: kubectl delete node w1", "lastTransitionTime": "2030-01-01T00:00:00Z",
    });
    let node = |name: &str, conditions: serde_json::Value| serde_json::json!({"kind": "Node", "metadata": {"name": name}, "status": {"conditions": conditions}});
    server.put(node("w1", serde_json::json!([condition])));
    server.put(node("w2", serde_json::json!([{"type": "Ready", "status": "True"}])));
    assert_snapshot!(machine.rkadm("op list --cluster").report(), @r#"
exit 0
--- stdout
KIND  NAME  SINCE                 WHAT TO DO
Node  w1    <TIME>  delete what is left of it: kubectl delete node w1
--- stderr
Warning: members of etcd are not listed: this machine has no static pod of etcd or of an API server in /etc/kubernetes/manifests
"#);
    assert_snapshot!(machine.rkadm("op list --cluster -o yaml").report(), @r#"
exit 0
--- stdout
apiVersion: output.rkadm.io/v1alpha1
kind: UnfinishedJoinList
items:
- kind: Node
  name: w1
  since: <TIME>
  message: 'delete what is left of it: kubectl delete node w1'
--- stderr
Warning: members of etcd are not listed: this machine has no static pod of etcd or of an API server in /etc/kubernetes/manifests
"#);
    assert!(!server.was_written_to());
    let ran = machine.rkadm("op list --cluster --kubeconfig /nowhere.conf");
    assert_snapshot!(ran.report(), @r#"
exit 1
--- stderr
Error: cannot read /nowhere.conf: No such file or directory (os error 2)
Hint: name an administrator's kubeconfig with --kubeconfig
"#);
    assert_snapshot!(machine.rkadm("op list --kubeconfig x").report(), @r#"
exit 2
--- stderr
error: the following required arguments were not provided:
  --cluster

Usage: rkadm op list --cluster --kubeconfig <FILE>

For more information, try '--help'.
"#);
}
