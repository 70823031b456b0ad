//! `rkadm config migrate`. What comes out is compared with kubeadm's in tests/golden.

use std::{fs, os::unix::fs::PermissionsExt};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::machine::Machine;

const OLD: &str = "\
# A comment.
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
apiServer:
  extraArgs: {v: \"2\", audit-log-path: /var/log/audit.log}
  timeoutForControlPlane: 2m
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
bootstrapTokens:
- token: abcdef.0123456789abcdef
localAPIEndpoint: {advertiseAddress: 192.0.2.10}
nodeRegistration: {name: cp1}
";

fn migrate(text: &str) -> String {
    let machine = Machine::new();
    machine.write_here("old.yaml", text);
    let report = machine.rkadm("config migrate --old-config old.yaml").report();
    assert!(machine.is_untouched());
    report
}

#[test]
fn the_new_configuration_is_printed() {
    assert_snapshot!(migrate(OLD), @r#"
exit 0
--- stdout
apiVersion: kubeadm.k8s.io/v1beta4
bootstrapTokens:
- groups:
  - system:bootstrappers:kubeadm:default-node-token
  token: abcdef.0123456789abcdef
  ttl: 24h0m0s
  usages:
  - signing
  - authentication
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: 192.0.2.10
  bindPort: 6443
nodeRegistration:
  criSocket: unix:///var/run/containerd/containerd.sock
  imagePullPolicy: IfNotPresent
  imagePullSerial: true
  name: cp1
  taints:
  - effect: NoSchedule
    key: node-role.kubernetes.io/control-plane
timeouts:
  controlPlaneComponentHealthCheck: 2m0s
  discovery: 5m0s
  etcdAPICall: 2m0s
  kubeletHealthCheck: 4m0s
  kubernetesAPICall: 1m0s
  tlsBootstrap: 5m0s
  upgradeManifests: 5m0s
---
apiServer:
  extraArgs:
  - name: audit-log-path
    value: /var/log/audit.log
  - name: v
    value: '2'
apiVersion: kubeadm.k8s.io/v1beta4
caCertificateValidityPeriod: 87600h0m0s
certificateValidityPeriod: 8760h0m0s
certificatesDir: /etc/kubernetes/pki
clusterName: kubernetes
controllerManager: {}
dns: {}
encryptionAlgorithm: RSA-2048
etcd:
  local:
    dataDir: /var/lib/etcd
imageRepository: registry.k8s.io
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
networking:
  dnsDomain: cluster.local
  serviceSubnet: 10.96.0.0/12
proxy: {}
scheduler: {}
"#);
}

#[test]
fn the_new_configuration_is_written_for_its_owner_only() {
    let machine = Machine::new();
    machine.write_here("old.yaml", OLD);
    let printed = machine.rkadm("config migrate --old-config old.yaml").succeeds().stdout();
    let ran =
        machine.rkadm("config migrate --old-config old.yaml --new-config new.yaml --allow-experimental-api");
    assert_eq!(ran.report(), "exit 0\n--- stdout\nwritten to new.yaml\n");
    let new = machine.dir().join("new.yaml");
    assert_eq!(fs::read_to_string(&new).unwrap(), printed);
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    // The file itself may be replaced.
    machine.rkadm("config migrate --old-config old.yaml --new-config old.yaml").succeeds();
    assert_eq!(fs::read_to_string(machine.dir().join("old.yaml")).unwrap(), printed);
    machine.rkadm("config validate --config old.yaml").succeeds();
    assert_snapshot!(
        machine.rkadm("config migrate --old-config old.yaml --new-config none/new.yaml").report(),
        @r#"
exit 1
--- stderr
Error: cannot write $DIR/none/new.yaml: No such file or directory (os error 2)
Hint: --new-config takes the path of a file in a directory that exists
"#
    );
}

#[test]
fn programs_get_the_documents_or_the_name_of_the_file() {
    let machine = Machine::new();
    machine.write_here("old.yaml", OLD);
    let result = |args: &str| -> Value {
        let ran = machine.rkadm(&format!("config migrate --old-config old.yaml -o json {args}"));
        serde_json::from_str(&ran.succeeds().stdout()).unwrap()
    };
    let printed = result("");
    assert_eq!(printed["kinds"], json!(["InitConfiguration", "ClusterConfiguration"]));
    assert_eq!(printed["documents"][1]["apiServer"]["extraArgs"][0]["name"], "audit-log-path");
    assert_eq!(printed.get("newConfig"), None);
    let written = result("--new-config new.yaml");
    assert_eq!(written["newConfig"], "new.yaml");
    assert_eq!(written.get("documents"), None);
}

#[test]
fn what_cannot_be_converted() {
    assert_snapshot!(migrate("apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  old.yaml:1:1: apiVersion: version "v1beta2" of kind "ClusterConfiguration" is not supported (convert the file with `kubeadm config migrate` of the last kubeadm that reads v1beta2, until it is v1beta3, which `rkadm config migrate` converts to kubeadm.k8s.io/v1beta4)
"#);
    assert_snapshot!(migrate("apiVersion: kubeadm.k8s.io/v1\nkind: ClusterConfiguration\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  old.yaml:1:1: apiVersion: version "v1" of kind "ClusterConfiguration" is not supported (write kubeadm.k8s.io/v1beta4)
"#);
    assert_snapshot!(migrate("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ResetConfiguration\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  old.yaml:1:1: apiVersion: version "v1beta3" of kind "ResetConfiguration" is not supported (the kind came with v1beta4: write kubeadm.k8s.io/v1beta4)
"#);
    assert_snapshot!(migrate("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfig\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  old.yaml:2:1: kind: kubeadm.k8s.io/v1beta3 has no kind "ClusterConfig" (did you mean `ClusterConfiguration`?)
"#);
    assert_snapshot!(migrate("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"), @r#"
exit 4
--- stderr
Error: there is nothing to convert in the file
Hint: it needs a document of kubeadm.k8s.io/v1beta3, such as ClusterConfiguration
"#);
    assert_snapshot!(migrate("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nnetworkin: {}\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  old.yaml:3:1: networkin: unknown field (did you mean `networking`?)
"#);
    assert_snapshot!(Machine::new().rkadm("config migrate --old-config none.yaml").report(), @r#"
exit 4
--- stderr
Error: cannot read none.yaml: No such file or directory (os error 2)
Hint: --old-config takes the path of a file, or - for stdin
"#);
    assert_snapshot!(Machine::new().rkadm("config migrate").report(), @r#"
exit 2
--- stderr
error: the following required arguments were not provided:
  --old-config <FILE>

Usage: rkadm config migrate --old-config <FILE>

For more information, try '--help'.
"#);
}

#[test]
fn other_commands_say_how_to_convert() {
    let machine = Machine::new();
    machine.write_here("old.yaml", OLD);
    assert_snapshot!(machine.rkadm("config validate --config old.yaml").report(), @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  old.yaml:2:1: apiVersion: version "v1beta3" of kind "ClusterConfiguration" is not supported (convert the file to kubeadm.k8s.io/v1beta4 with `rkadm config migrate --old-config FILE`)
  old.yaml:9:1: apiVersion: version "v1beta3" of kind "InitConfiguration" is not supported (convert the file to kubeadm.k8s.io/v1beta4 with `rkadm config migrate --old-config FILE`)
"#);
    assert_snapshot!(machine.rkadm("config images list --config old.yaml").report(), @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  old.yaml:2:1: apiVersion: version "v1beta3" of kind "ClusterConfiguration" is not supported (convert the file to kubeadm.k8s.io/v1beta4 with `rkadm config migrate --old-config FILE`)
  old.yaml:9:1: apiVersion: version "v1beta3" of kind "InitConfiguration" is not supported (convert the file to kubeadm.k8s.io/v1beta4 with `rkadm config migrate --old-config FILE`)
"#);
}
