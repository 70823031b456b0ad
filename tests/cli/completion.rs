//! `rkadm completion`.

use std::process::Command;

use crate::machine::Machine;

/// What a shell would offer after these words.
fn offered(words: &[&str]) -> Vec<String> {
    let machine = Machine::new();
    let script = machine.rkadm("completion bash").succeeds().stdout();
    machine.write_here("rkadm.bash", script);
    let list = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let ask = format!(
        "set -e; source ./rkadm.bash; COMP_WORDS=(rkadm {list}); COMP_CWORD={}; _rkadm rkadm '{}' ''; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.len(),
        words[words.len() - 1]
    );
    let out = Command::new("bash").args(["--norc", "-c", &ask]).current_dir(machine.dir()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_phases_and_flags() {
    assert_eq!(offered(&["ini"]), ["init"]);
    assert_eq!(offered(&["init", "phase", "certs", "apiserver-k"]), ["apiserver-kubelet-client"]);
    assert_eq!(offered(&["init", "--upload"]), ["--upload-certs"]);
    assert_eq!(offered(&["config", "print", "join"]), ["join-defaults"]);
}

#[test]
fn every_shell_has_a_script_and_others_are_refused() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            machine.rkadm(&format!("completion {shell}")).succeeds().stdout().contains("check-expiration")
        );
    }
    machine.rkadm("completion tcsh").exits(2);
    machine.rkadm("completion").exits(2);
}
