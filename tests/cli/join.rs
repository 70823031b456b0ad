//! What is wrong with the flags and files of `join`. What is wrong with clusters is proved on nodes.

use insta::assert_snapshot;

use crate::machine::{Machine, is_root};

const TOKEN: &str = "abcdef.0123456789abcdef";

#[test]
fn flags_that_do_not_make_a_join_are_told_by_name() {
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("join --node-name w1").report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  discovery: neither bootstrapToken nor file is given (`rkadm token create --print-join-command` prints a token, the endpoint and the hash of the CA)
"#);
    let bad =
        format!("join 192.0.2.1 --token {TOKEN} --discovery-token-ca-cert-hash sha256:12 --node-name W_1");
    assert_snapshot!(machine.rkadm(&bad).report(), @r#"
exit 4
--- stderr
Error: the configuration has 3 errors
  --node-name: "w_1" is not a node name (use lower-case letters, digits, '-' and '.', at most 253)
  API-SERVER-ENDPOINT: "192.0.2.1" is not an address with a port (write HOST:PORT, 10.0.0.1:6443 for example)
  --discovery-token-ca-cert-hash: "sha256:12" is not a hash of a CA (write sha256: and 64 hexadecimal digits)
"#);
    assert!(machine.is_untouched());
}

#[test]
fn a_file_and_flags_that_exclude_each_other() {
    let machine = Machine::new();
    let file = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nnodeRegistration: {{name: w1}}\ndiscovery:\n  \
         bootstrapToken: {{token: {TOKEN}, apiServerEndpoint: 192.0.2.1:6443, unsafeSkipCAVerification: true}}\n"
    );
    assert_snapshot!(machine.with_config("join 192.0.2.1:6443 --control-plane", file).report(), @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  API-SERVER-ENDPOINT: cannot be used together with --config (set it in the configuration file)
  --control-plane: cannot be used together with --config (set it in the configuration file)
"#);
    let other = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ResetConfiguration\n";
    assert_snapshot!(machine.with_config("join --node-name w1", other).report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --config: no JoinConfiguration was found
"#);
}

#[test]
fn a_discovery_file_that_is_not_there_or_no_kubeconfig() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let join = format!("join --node-name w1 --tls-bootstrap-token {TOKEN} --discovery-file");
    assert_snapshot!(machine.rkadm(&format!("{join} /etc/discovery.conf")).report(), @r#"
exit 1
--- stderr
Error: the discovery file /etc/discovery.conf cannot be used: No such file or directory (os error 2)
  Nothing was changed on this machine.
Hint: /etc/kubernetes/admin.conf of a control plane, without its user, makes such a file
"#);
    machine.write("/etc/discovery.conf", "token: [geheim");
    assert_snapshot!(machine.rkadm(&format!("{join} /etc/discovery.conf")).report(), @r#"
exit 1
--- stderr
Error: the discovery file /etc/discovery.conf cannot be used: not a valid kubeconfig (line 2)
  Nothing was changed on this machine.
Hint: /etc/kubernetes/admin.conf of a control plane, without its user, makes such a file
"#);
    assert_snapshot!(machine.rkadm(&format!("{join} http://192.0.2.1/discovery.conf")).report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --discovery-file: a URL must begin with https://, not http://
"#);
}

#[test]
fn a_cluster_that_cannot_be_reached_leaves_no_operation_and_no_token_behind() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let file = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nnodeRegistration: {{name: w1}}\ndiscovery:\n  \
         bootstrapToken: {{token: {TOKEN}, apiServerEndpoint: '127.0.0.1:1', unsafeSkipCAVerification: true}}\n\
         timeouts: {{discovery: 3s}}\n"
    );
    let ran = machine.with_config("join", file);
    ran.exits(1);
    assert_snapshot!(ran.report(), @r#"
exit 1
--- stderr
  discovery                              waiting for the API server (Connection refused (os error 111))
Error: the API server at 127.0.0.1:1 cannot be reached: Connection refused (os error 111)
  Nothing was changed on this machine.
Hint: check address and port, that the API server runs (on a control plane: `kubectl get --raw /readyz`), that a load balancer in between has it as a backend, and that no firewall drops the connection
Hint: timeouts.discovery in the JoinConfiguration says how long to wait
"#);
    assert!(machine.operations().is_empty() && !ran.report().contains("0123456789abcdef"));
}
