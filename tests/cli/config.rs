//! Configuration files and flags that cannot be right.

use insta::assert_snapshot;

use crate::machine::Machine;

const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

/// What is said of a `ClusterConfiguration` with these lines.
fn cluster(lines: &str) -> String {
    file(format!("{CLUSTER}{lines}"))
}

/// What is said of a file.
fn file(content: impl AsRef<[u8]>) -> String {
    let machine = Machine::new();
    let report = machine.with_config("init --dry-run", content).report();
    assert!(machine.is_untouched());
    report
}

/// What is said of flags. The address keeps the result apart from the machine that the tests run on.
fn flags(flags: &str) -> String {
    let machine = Machine::new();
    machine
        .rkadm(&format!("init --dry-run --apiserver-advertise-address 192.0.2.10 --node-name cp1 {flags}"))
        .report()
}

#[test]
fn wrong_type() {
    assert_snapshot!(cluster("kubernetesVersion: v1.37.2\nnetworking: {podSubnet: [10.244.0.0/16]}\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:4:25: networking.podSubnet: expected a text, found a list
"#);
}

#[test]
fn unknown_field_with_the_nearest_known_one() {
    assert_snapshot!(cluster("kubernetesVersion: v1.37.2\nnetworking:\n  podSubnets: 10.244.0.0/16\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:5:3: networking.podSubnets: unknown field (did you mean `podSubnet`?)
"#);
}

#[test]
fn two_documents_of_one_kind() {
    assert_snapshot!(cluster(&format!("clusterName: a\n---\n{CLUSTER}clusterName: b\n")), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:6:1: kind: kind "ClusterConfiguration" is given twice, first at test.yaml:1
"#);
}

#[test]
fn unknown_kind_and_group() {
    assert_snapshot!(file("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfig\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:2:1: kind: kubeadm.k8s.io/v1beta4 has no kind "ClusterConfig" (did you mean `ClusterConfiguration`?)
"#);
    assert_snapshot!(file("apiVersion: v1\nkind: ConfigMap\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --config: no InitConfiguration and no ClusterConfiguration was found (give at least one of them)
"#);
    assert_snapshot!(file("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --config: no InitConfiguration and no ClusterConfiguration was found (give at least one of them)
"#);
    assert_snapshot!(file("clusterName: a\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:1:1: the document has no apiVersion (every document needs apiVersion and kind)
"#);
}

#[test]
fn old_api_version() {
    assert_snapshot!(file("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:1:1: apiVersion: version "v1beta3" of kind "ClusterConfiguration" is not supported (convert the file to kubeadm.k8s.io/v1beta4 with `rkadm config migrate --old-config FILE`)
"#);
}

#[test]
fn not_utf8() {
    assert_snapshot!(file(b"apiVersion: kubeadm.k8s.io/v1beta4\nkind: Cluster\xff\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:2:14: not UTF-8 text
"#);
    assert_snapshot!(file([0xff, 0xfe, b'a', 0, b':', 0]), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:1:1: not UTF-8 text
"#);
}

#[test]
fn empty_file() {
    assert_snapshot!(file(""), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml: the file is empty
"#);
    assert_snapshot!(file("# nothing\n---\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml: the file has no document
"#);
}

#[test]
fn syntax_error() {
    assert_snapshot!(cluster("networking: {podSubnet: 10.244.0.0/16\nclusterName: a\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:4:12: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
"#);
    assert_snapshot!(cluster("networking:\n\tpodSubnet: 10.244.0.0/16\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:4:2: not valid YAML: tabs disallowed within this context (block indentation)
"#);
}

#[test]
fn file_that_is_missing_or_no_file() {
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("init --dry-run --config missing.yaml").report(), @r#"
exit 4
--- stderr
Error: cannot read missing.yaml: No such file or directory (os error 2)
Hint: --config takes the path of a file, or - for stdin
"#);
    assert_snapshot!(machine.rkadm("init --dry-run --config root").report(), @r#"
exit 4
--- stderr
Error: cannot read root: Is a directory (os error 21)
Hint: --config takes the path of a file, or - for stdin
"#);
}

#[test]
fn several_errors_at_once_each_with_its_place() {
    let what_fits_no_schema = cluster(
        "kubernetesVersion: v1.37.2\n\
         clusterNmae: a\n\
         apiServer: {extraArgs: {v: 2}}\n\
         ---\n\
         apiVersion: kubeadm.k8s.io/v1beta4\n\
         kind: InitConfiguration\n\
         localAPIEndpoint: {bindPort: 70000}\n",
    );
    assert_snapshot!(what_fits_no_schema, @r#"
exit 4
--- stderr
Error: the configuration has 3 errors
  test.yaml:4:1: clusterNmae: unknown field (did you mean `clusterName`?)
  test.yaml:5:24: apiServer.extraArgs: expected a list, found a map (since v1beta4 this is a list of {name, value})
  test.yaml:9:30: localAPIEndpoint.bindPort: 70000 is not a port from 1 to 65535
"#);
    let what_makes_no_sense = cluster(
        "kubernetesVersion: v1.30.0\n\
         apiServer: {certSANs: [a b]}\n\
         networking: {podSubnet: 10.244.0.0, dnsDomain: A_b}\n\
         ---\n\
         apiVersion: kubeadm.k8s.io/v1beta4\n\
         kind: InitConfiguration\n\
         bootstrapTokens: [{token: verysecret}]\n",
    );
    assert!(!what_makes_no_sense.contains("verysecret"));
    assert_snapshot!(what_makes_no_sense, @r#"
exit 4
--- stderr
Error: the configuration has 5 errors
  test.yaml:3:1: kubernetesVersion: version v1.30.0 is not supported: this rkadm deploys v1.34 to v1.37
  test.yaml:4:24: apiServer.certSANs[0]: "a b" is neither an IP address nor a DNS name, with or without a leading "*."
  test.yaml:5:14: networking.podSubnet: "10.244.0.0" is not a CIDR such as "10.96.0.0/12"
  test.yaml:5:37: networking.dnsDomain: "A_b" is not a DNS name
  test.yaml:9:20: bootstrapTokens[0].token: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
"#);
}

#[test]
fn errors_as_a_document() {
    let machine = Machine::new();
    let ran = machine.with_config("init --dry-run -o json", format!("{CLUSTER}foo: 1\n"));
    assert_snapshot!(ran.report(), @r#"
exit 4
--- stdout
{
  "apiVersion": "output.rkadm.io/v1alpha1",
  "kind": "Error",
  "code": "invalid-config",
  "message": "the configuration has 1 error",
  "details": [
    "test.yaml:3:1: foo: unknown field"
  ],
  "problems": [
    {
      "file": "test.yaml",
      "line": 3,
      "column": 1,
      "fieldPath": "foo",
      "message": "unknown field",
      "hint": null
    }
  ]
}
--- stderr
Error: the configuration has 1 error
  test.yaml:3:1: foo: unknown field
"#);
}

#[test]
fn version_that_is_not_supported() {
    assert_snapshot!(cluster("kubernetesVersion: v1.30.1\n"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:3:1: kubernetesVersion: version v1.30.1 is not supported: this rkadm deploys v1.34 to v1.37
"#);
    assert_snapshot!(flags("--kubernetes-version banana"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --kubernetes-version: "banana" is not a version such as "v1.37.2" (the newest version this rkadm knows is v1.37.2)
"#);
}

#[test]
fn version_newer_than_rkadm_knows() {
    assert_snapshot!(flags("--kubernetes-version v1.99.0"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --kubernetes-version: version v1.99.0 is not supported: this rkadm deploys v1.34 to v1.37
"#);
}

#[test]
fn subnets_that_overlap() {
    assert_snapshot!(flags("--kubernetes-version v1.37.2 --pod-network-cidr 10.96.0.0/16"), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --pod-network-cidr: 10.96.0.0/16 overlaps the service subnet 10.96.0.0/12
"#);
}

#[test]
fn flags_mixed_with_a_file() {
    let machine = Machine::new();
    let ran =
        machine.rkadm("init --dry-run --config cluster.yaml --pod-network-cidr 10.244.0.0/16 --token-ttl 1h");
    assert_snapshot!(ran.report(), @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  --pod-network-cidr: cannot be used together with --config (set it in the configuration file)
  --token-ttl: cannot be used together with --config (set it in the configuration file)
"#);
}

#[test]
fn values_of_secret_flags_are_not_repeated() {
    let text = flags("--kubernetes-version v1.37.2 --token verysecret --certificate-key alsosecret");
    assert!(!text.contains("verysecret") && !text.contains("alsosecret"), "{text}");
    assert_snapshot!(text, @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  --token: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
  --certificate-key: not a key of 32 bytes as hex (make one with `rkadm certs certificate-key`)
"#);
}

#[test]
fn file_from_stdin() {
    let machine = Machine::new();
    let mut command = machine.command("init phase certs ca --dry-run --config -");
    command.stdin(std::fs::File::open(machine.dir().join("cluster.yaml")).unwrap());
    machine.run(&mut command).succeeds();
}

#[test]
fn patches_may_be_relative_to_where_the_command_runs() {
    let ran = flags("--kubernetes-version v1.37.2 --patches patches --skip-phases preflight -o json");
    assert!(!ran.contains("not an absolute path"), "{ran}");
}

#[test]
fn patches_that_cannot_be_meant_so() {
    let machine = Machine::new();
    machine.write("/patches/etcd.yaml", "metadata: {name: mine}\n");
    let patched = |dir: &str| {
        let ran = machine.rkadm(&format!(
            "init phase etcd local --dry-run --kubernetes-version v1.37.2 --apiserver-advertise-address 192.0.2.1 --patches {dir}"
        ));
        ran.exits(1);
        ran.stderr()
    };
    let text = patched("/patches");
    assert!(
        text.contains("patch etcd.yaml changes metadata.name from \"etcd\" to \"mine\": a patch must leave the object the same one"),
        "{text}"
    );
    let text = patched("/patches/etcd.yaml");
    assert!(text.contains("patches/etcd.yaml is a file"), "{text}");
}

#[test]
fn lists_are_separated_by_commas() {
    let text = flags(
        "--kubernetes-version v1.37.2 --skip-phases certs,kubeconfig,etcd,control-plane,kubelet-start,addon \
         --apiserver-cert-extra-sans a.example.com,b_ --ignore-preflight-errors Swap,all",
    );
    assert_snapshot!(text, @r#"
exit 4
--- stderr
Error: the configuration has 2 errors
  --ignore-preflight-errors: "all" excludes the names of single checks
  --apiserver-cert-extra-sans: "b_" is neither an IP address nor a DNS name, with or without a leading "*."
"#);
}
