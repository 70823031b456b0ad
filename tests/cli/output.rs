//! What programs read: documents on stdout, events on stderr.

use insta::assert_snapshot;
use serde_json::Value;

use crate::machine::{Machine, Ran, is_root};

fn json(ran: &Ran) -> Value {
    let value: Value = serde_json::from_slice(&ran.output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", ran.report()));
    assert_eq!(value["apiVersion"], "output.rkadm.io/v1alpha1");
    value
}

#[test]
fn results_are_documents_with_a_kind() {
    let machine = Machine::new();
    assert_eq!(json(&machine.rkadm("version -o json"))["kind"], "Version");
    assert_eq!(json(&machine.rkadm("op list -o json"))["kind"], "OperationList");
    let plan = json(&machine.phase("certs all --dry-run -o json"));
    assert_eq!(plan["kind"], "Plan");
    assert_eq!(plan["phases"][0]["phase"], "certs/ca");
    if !is_root() {
        return;
    }
    let result = json(machine.phase("certs all -o json").succeeds());
    assert_eq!(result["kind"], "PhaseResult");
    assert_eq!(result["phases"][0]["outcome"], "done");
    assert_eq!(json(&machine.rkadm("op show -o json"))["kind"], "Operation");
    assert_eq!(json(&machine.rkadm("op list -o json"))["items"][0]["status"], "finished");
}

#[test]
fn yaml_is_the_same_document_as_json() {
    let machine = Machine::new();
    let yaml = machine.phase("certs all --dry-run -o yaml");
    let yaml: Value = rkadm_core::yaml::from_str(&yaml.succeeds().stdout()).unwrap();
    assert_eq!(yaml, json(&machine.phase("certs all --dry-run -o json")));
}

#[test]
fn errors_are_documents_with_the_name_of_the_exit_code() {
    let machine = Machine::new();
    let ran = machine.rkadm("op show -o json");
    assert_eq!(json(ran.exits(1))["kind"], "Error");
    assert_snapshot!(ran.report(), @r#"
exit 1
--- stdout
{
  "apiVersion": "output.rkadm.io/v1alpha1",
  "kind": "Error",
  "code": "failed",
  "message": "no operation was run on this machine"
}
--- stderr
Error: no operation was run on this machine
"#);
    if is_root() {
        let preflight = json(machine.rkadm("init --config cluster.yaml -o json").exits(3));
        assert_eq!(preflight["code"], "preflight");
        assert!(preflight["findings"].as_array().unwrap().iter().any(|finding| finding["check"] == "CRI"));
    }
}

#[test]
fn progress_is_one_event_on_a_line() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let ran = machine.phase("certs all --progress json");
    assert_eq!(ran.succeeds().stdout(), "");
    let stderr = ran.stderr();
    let events: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["schema"] == 1 && event["at"].is_string()), "{stderr}");
    assert_eq!(events.first().unwrap()["type"], "operation-started");
    assert_eq!(events.last().unwrap()["type"], "operation-finished");
    assert_eq!(events.last().unwrap()["status"], "finished");
    for kind in ["phase-started", "step-started", "step-finished", "phase-finished"] {
        assert!(events.iter().any(|event| event["type"] == kind), "no {kind}");
    }
    assert!(!stderr.contains("PRIVATE KEY"), "{stderr}");
}

#[test]
fn no_progress_leaves_stderr_to_errors() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    assert_eq!(machine.phase("certs all --progress none").succeeds().stderr(), "");
    assert_snapshot!(machine.phase("certs banana --progress none").report(), @r#"
exit 2
--- stderr
error: unrecognized subcommand 'banana'

Usage: rkadm init phase certs [OPTIONS] <COMMAND>

For more information, try '--help'.
"#);
}

#[test]
fn output_without_a_terminal_has_no_colours() {
    let machine = Machine::new();
    for args in ["--help", "inti", "init --help", "op show"] {
        let ran = machine.rkadm(args);
        assert!(!ran.stdout().contains('\x1b') && !ran.stderr().contains('\x1b'), "{}", ran.report());
    }
}

#[test]
fn verbosity_is_kubeadms() {
    let machine = Machine::new();
    machine.rkadm("version -v=5").succeeds();
    machine.rkadm("version --verbose").succeeds();
}
