//! What is said of files of the older version. That they become what kubeadm makes of them is the golden tests' to show.

use std::net::{IpAddr, Ipv4Addr};

use super::*;

fn messages(text: &str) -> String {
    let facts = HostFacts {
        hostname: "node".into(),
        default_ipv4: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        ..HostFacts::default()
    };
    let loaded = load(&[Source::new("old.yaml", text)]);
    match loaded.and_then(|documents| complete(&documents, &facts)) {
        Ok(completed) => {
            let warnings: Vec<_> = completed.warnings.iter().map(ToString::to_string).collect();
            format!("ok\n{}", warnings.join("\n"))
        }
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn what_the_older_version_does_not_have_is_told_with_its_line() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
clusterNam: a
apiServer:
  timeoutForControlPlan: 4m
  extraArgs: {v: 4}
  extraEnvs: []
controllerManager:
  extraArgs:
  - {name: v, value: \"4\"}
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
dryRun: true
nodeRegistration: {imagePullSerial: true, taints: [{key: a, effect: NoSchedul}]}
";
    insta::assert_snapshot!(messages(text), @r#"
old.yaml:3:1: clusterNam: unknown field (did you mean `clusterName`?)
old.yaml:5:3: apiServer.timeoutForControlPlan: unknown field (did you mean `timeoutForControlPlane`?)
old.yaml:6:18: apiServer.extraArgs.v: expected a text, found a whole number (put the value in quotes)
old.yaml:7:3: apiServer.extraEnvs: unknown field (the field came with v1beta4: write it into the converted file)
old.yaml:10:5: controllerManager.extraArgs: expected a map, found a list (a list of {name, value} came with v1beta4, before it was a map of names to values)
old.yaml:14:1: dryRun: unknown field (the field came with v1beta4: write it into the converted file)
old.yaml:15:20: nodeRegistration.imagePullSerial: unknown field (the field came with v1beta4: write it into the converted file)
old.yaml:15:69: nodeRegistration.taints[0].effect: "NoSchedul" is not one of NoSchedule, PreferNoSchedule, NoExecute (did you mean `NoSchedule`?)
"#);
}

#[test]
fn wrong_values_are_told_with_their_line_in_the_old_file() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.28.3
featureGates: {EtcdLearnerMode: true}
apiServer:
  extraArgs:
    b: \"1\"
    --a: \"2\"
  timeoutForControlPlane: 0s
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: JoinConfiguration
discovery:
  bootstrapToken: {token: a, apiServerEndpoint: \"cp:6443\", unsafeSkipCAVerification: true}
  timeout: -1s
";
    insta::assert_snapshot!(messages(text), @r#"
old.yaml:3:1: kubernetesVersion: version v1.28.3 is not supported: this rkadm deploys v1.34 to v1.37
old.yaml:8:5: apiServer.extraArgs[0].name: the name starts with a dash (write "a")
old.yaml:9:3: timeouts.controlPlaneComponentHealthCheck: 0s is not a positive time
old.yaml:14:20: discovery.bootstrapToken.token: not a bootstrap token (a token has the form [a-z0-9]{6}.[a-z0-9]{16})
old.yaml:15:3: timeouts.discovery: -1s is not a positive time
"#);
}

#[test]
fn a_time_that_is_given_twice_is_the_newer_versions() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
apiServer:
  timeoutForControlPlane: 9m
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
timeouts: {controlPlaneComponentHealthCheck: 3m}
";
    insta::assert_snapshot!(messages(text), @r#"
ok
old.yaml:5:3: apiServer.timeoutForControlPlane: not used: InitConfiguration has timeouts.controlPlaneComponentHealthCheck
"#);
}
