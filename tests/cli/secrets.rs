//! Secrets that were typed are nowhere but where they belong.

use crate::machine::{Machine, is_root};

const TOKEN: &str = "abcdef.0123456789abcdef";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Flags of a run that is given secrets and whose keys are quickly made.
fn flags() -> String {
    format!(
        "--apiserver-advertise-address 192.0.2.10 --node-name cp1 --kubernetes-version v1.37.2 \
         --token {TOKEN} --certificate-key={KEY}"
    )
}

fn is_clean(machine: &Machine, texts: &[String]) {
    let mut places: Vec<_> = texts.iter().map(|text| ("output".to_owned(), text.clone())).collect();
    for (path, (_, content)) in machine.tree("/") {
        assert!(!path.ends_with("/private"), "{path} is still there");
        places.push((path, String::from_utf8_lossy(&content).into_owned()));
    }
    for (path, text) in places {
        for secret in [TOKEN, "0123456789abcdef", KEY] {
            assert!(!text.contains(secret), "{path} holds {secret}:\n{text}");
        }
    }
}

#[test]
fn secrets_on_the_command_line_are_not_kept() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let ran = machine.rkadm(&format!("init phase control-plane all --progress json -v=3 {}", flags()));
    ran.succeeds();
    is_clean(&machine, &[ran.stdout(), ran.stderr()]);
    let journal = std::fs::read_to_string(machine.journal(&machine.operations()[0])).unwrap();
    assert!(journal.contains("<redacted>"), "the command is recorded without them: {journal}");
}

#[test]
fn secrets_are_forgotten_when_an_operation_fails_and_is_rolled_back() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write("/etc/kubernetes/manifests", "in the way");
    let ran = machine.rkadm(&format!("init phase control-plane all -o json {}", flags()));
    ran.exits(1);
    is_clean(&machine, &[ran.stdout(), ran.stderr()]);
}

#[test]
fn plans_hold_no_secret() {
    let machine = Machine::new();
    let skip = "--skip-phases preflight,kubelet-start --dry-run -o json";
    let ran = machine.rkadm(&format!("init {skip} --upload-certs {}", flags()));
    ran.succeeds();
    is_clean(&machine, &[ran.stdout(), ran.stderr()]);
}

#[test]
fn logs_of_developers_hold_no_secret() {
    let machine = Machine::new();
    let ran = machine.rkadm(&format!("init phase bootstrap-token --dry-run -v=5 {}", flags()));
    is_clean(&machine, &[ran.stdout(), ran.stderr()]);
}
