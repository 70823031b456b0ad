//! `rkadm config print` and `config validate`.

use std::fs;

use insta::assert_snapshot;

use crate::machine::Machine;

fn validate(text: &str) -> String {
    let machine = Machine::new();
    machine.write_here("given.yaml", text);
    let report = machine.rkadm("config validate --config given.yaml").report();
    assert!(machine.is_untouched());
    report
}

/// A JoinConfiguration with this discovery.
fn join(discovery: &str) -> String {
    validate(&format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery: {discovery}\n"
    ))
}

#[test]
fn every_error_of_every_kind_at_once() {
    assert_snapshot!(validate(
        r#"apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
caCertPath: pki/ca.crt
nodeRegistration: {name: Node_1}
discovery:
  bootstrapToken:
    token: abc
    apiServerEndpoint: https://cp:6443
    caCertHashes: ["sha256:00"]
  tlsBootstrapToken: def
controlPlane:
  localAPIEndpoint: {advertiseAddress: 127.0.0.1}
  certificateKey: zz
patches: {directory: patches}
timeouts: {discovery: -1s}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ResetConfiguration
certificatesDir: pki
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: UpgradeConfiguration
apply: {patches: {directory: patches}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
networking: {podSubnet: 10.0.0}
"#
    ), @r#"
exit 4
--- stderr
Error: the configuration has 13 errors
  given.yaml:3:1: caCertPath: "pki/ca.crt" is not an absolute path
  given.yaml:4:20: nodeRegistration.name: "node_1" is not a node name (use lower-case letters, digits, '-' and '.', at most 253)
  given.yaml:7:5: discovery.bootstrapToken.token: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
  given.yaml:8:5: discovery.bootstrapToken.apiServerEndpoint: "https://cp:6443" is not an address with a port (write HOST:PORT, 10.0.0.1:6443 for example)
  given.yaml:9:20: discovery.bootstrapToken.caCertHashes[0]: "sha256:00" is not a hash of a CA (write sha256: and 64 hexadecimal digits)
  given.yaml:10:3: discovery.tlsBootstrapToken: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
  given.yaml:12:22: controlPlane.localAPIEndpoint.advertiseAddress: 127.0.0.1 is a loopback address (other nodes must reach the API server at it)
  given.yaml:13:3: controlPlane.certificateKey: not a key of 32 bytes as hex (make one with `rkadm certs certificate-key`)
  given.yaml:14:11: patches.directory: "patches" is not an absolute path
  given.yaml:15:12: timeouts.discovery: -1s is not a positive time
  given.yaml:19:1: certificatesDir: "pki" is not an absolute path
  given.yaml:23:19: apply.patches.directory: "patches" is not an absolute path
  given.yaml:27:14: networking.podSubnet: "10.0.0" is not a CIDR such as "10.96.0.0/12"
"#);
}

#[test]
fn ways_to_find_the_cluster() {
    let token = "token: abcdef.0123456789abcdef, apiServerEndpoint: 'cp:6443'";
    assert_snapshot!(join("{}"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:3:1: discovery: neither bootstrapToken nor file is given (`rkadm token create --print-join-command` prints a token, the endpoint and the hash of the CA)
"#);
    assert_snapshot!(join(&format!("{{bootstrapToken: {{{token}}}}}")), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:3:13: discovery.bootstrapToken.caCertHashes: without a hash of the CA anybody in between could pose as the cluster (give the hash, or set unsafeSkipCAVerification)
"#);
    assert_snapshot!(
        join(&format!("{{bootstrapToken: {{{token}, unsafeSkipCAVerification: true}}, file: {{kubeConfigPath: /a}}}}")),
        @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:3:1: discovery: bootstrapToken and file exclude each other
"#
    );
    assert_snapshot!(join("{bootstrapToken: {token: '', apiServerEndpoint: cp, unsafeSkipCAVerification: true}}"), @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  given.yaml:3:30: discovery.bootstrapToken.token: no token is given (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
  given.yaml:3:41: discovery.bootstrapToken.apiServerEndpoint: "cp" is not an address with a port (write HOST:PORT, 10.0.0.1:6443 for example)
"#);
    assert_snapshot!(join("{file: {kubeConfigPath: ''}}"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:3:20: discovery.file.kubeConfigPath: no file is named
"#);
    assert_snapshot!(join("{file: {kubeConfigPath: 'http://cp/x'}}"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:3:20: discovery.file.kubeConfigPath: a URL must begin with https://, not http://
"#);
    let ok = "exit 0\n--- stdout\nok\n";
    assert_eq!(join(&format!("{{bootstrapToken: {{{token}, unsafeSkipCAVerification: true}}}}")), ok);
    assert_eq!(join("{file: {kubeConfigPath: 'https://cp/x'}}"), ok);
    assert_eq!(join("{file: {kubeConfigPath: /etc/kubernetes/discovery.conf}}"), ok);
}

/// Errors of a ClusterConfiguration, and of the KubeProxyConfiguration beside it.
#[test]
fn external_etcd_gates_and_addresses_that_cannot_be() {
    let etcd = |fields: &str| {
        validate(&format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\netcd:\n  external: {{{fields}}}\n"
        ))
    };
    assert_snapshot!(etcd("endpoints: ['https://a:2379'], certFile: /a.crt, keyFile: /a.key"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:5:3: etcd.external: certFile and keyFile need caFile too
"#);
    assert_snapshot!(etcd("endpoints: ['https://a:2379'], caFile: /ca.crt, certFile: /a.crt"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:5:3: etcd.external: certFile and keyFile must be given together
"#);
    assert_snapshot!(etcd("endpoints: ['https://fd00::1', 'http://a:2379', 'a:2379'], caFile: /ca.crt"), @r#"
exit 4
--- stderr
Error: the configuration has 3 errors
  given.yaml:5:26: etcd.external.endpoints[0]: "https://fd00::1": in a URL, an IPv6 address needs brackets (write https://[fd00::1])
  given.yaml:5:45: etcd.external.endpoints[1]: "http://a:2379" must use https, because TLS files are given
  given.yaml:5:62: etcd.external.endpoints[2]: "a:2379" is not an http or https URL
"#);
    assert_snapshot!(etcd("endpoints: []"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:5:14: etcd.external.endpoints: at least one endpoint is needed
"#);
    assert_eq!(etcd("endpoints: ['https://[fd00::1]:2379'], caFile: /ca.crt"), "exit 0\n--- stdout\nok\n");
    assert_snapshot!(validate(
        r#"apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
featureGates: {RootlessControlPlane: true}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: anything
"#
    ), @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  given.yaml:4:16: featureGates.RootlessControlPlane: rkadm cannot run the control plane without root (leave it out, or use kubeadm for this cluster)
  given.yaml:8:1: bindAddress: "anything" is not an IP address
"#);
}

#[test]
fn documents_of_nothing_and_of_components_alone() {
    assert_snapshot!(validate("apiVersion: v1\nkind: Pod\n"), @r#"
exit 4
--- stderr
Error: there is no configuration in what was given
Hint: a document needs apiVersion: kubeadm.k8s.io/v1beta4 and a kind such as ClusterConfiguration
"#);
    assert_snapshot!(
        validate("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailSwapOn: false\n"),
        @r#"
exit 0
--- stdout
ok
"#
    );
    assert_snapshot!(
        validate("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailSwapOnn: false\n"),
        @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  given.yaml:3:1: failSwapOnn: unknown field (did you mean `failSwapOn`?)
"#
    );
}

#[test]
fn what_is_printed_is_valid() {
    let machine = Machine::new();
    for kind in [
        "init-defaults --component-configs KubeletConfiguration,KubeProxyConfiguration",
        "join-defaults",
        "reset-defaults",
        "upgrade-defaults",
    ] {
        let printed = machine.rkadm(&format!("config print {kind}")).succeeds().stdout();
        fs::write(machine.dir().join("printed.yaml"), printed).unwrap();
        let report = machine.rkadm("config validate --config printed.yaml").report();
        assert_eq!(report, "exit 0\n--- stdout\nok\n", "{kind}");
    }
    assert_snapshot!(machine.rkadm("config print init-defaults --component-configs Kubelet").report(), @r#"
exit 2
--- stderr
error: invalid value 'Kubelet' for '--component-configs <KIND,…>'
  [possible values: KubeletConfiguration, KubeProxyConfiguration]

  tip: a similar value exists: 'KubeletConfiguration'

For more information, try '--help'.
"#);
}

#[test]
fn programs_are_told_where_each_mistake_is() {
    let machine = Machine::new();
    machine.write_here(
        "given.yaml",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking:\n  podSubnt: 10.0.0.0/16\n",
    );
    let report = machine.rkadm("config validate --config given.yaml -o json").stdout();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["code"], "invalid-config");
    let expected = serde_json::json!([{
        "file": "given.yaml", "line": 4, "column": 3, "fieldPath": "networking.podSubnt",
        "message": "unknown field", "hint": "did you mean `podSubnet`?",
    }]);
    assert_eq!(report["problems"], expected);
}

#[test]
fn the_schema_of_the_book_is_printed_whatever_the_format() {
    let machine = Machine::new();
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/config.schema.json");
    let book = fs::read_to_string(book).unwrap();
    for format in ["human", "json", "yaml"] {
        assert_eq!(machine.rkadm(&format!("config schema -o {format}")).succeeds().stdout(), book);
    }
}
