//! The messages a user sees for a file that does not fit the schema.

use crate::config::document::{Documents, Source};

fn problems(text: &str) -> String {
    match Documents::load(&[Source::new("a.yaml", text)]) {
        Ok(_) => "ok".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn kubeadms_own_output_fits() {
    for text in [
        include_str!("../fixtures/init-defaults-1.37.yaml"),
        include_str!("../fixtures/init-every-field-1.37.yaml"),
        include_str!("../fixtures/join-defaults-1.37.yaml"),
        include_str!("../fixtures/reset-defaults-1.37.yaml"),
        include_str!("../fixtures/upgrade-defaults-1.37.yaml"),
    ] {
        assert_eq!(problems(text), "ok");
    }
}

#[test]
fn every_problem_is_reported_with_its_line() {
    let text = r#"apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kuberntesVersion: v1.37.2
clusterName: 5
apiServer:
  extraArgs: {v: "2"}
  timeoutForControlPlane: 4m
  extraVolumes:
  - name: a
    hostPath: /a
    pathType: Fil
dns: {disabled: "true"}
encryptionAlgorithm: ML-DSA-65
certificateValidityPeriod: 1d
etcd:
  external: {}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {bindPort: 70000}
bootstrapTokens:
- {usages: [sining], expires: tomorrow}
-
nodeRegistration:
  taints: [{effect: NoSchedule}]
  imagePullPolicy: [Never]
certificateKey: 123
"#;
    insta::assert_snapshot!(problems(text), @r#"
a.yaml:3:1: kuberntesVersion: unknown field (did you mean `kubernetesVersion`?)
a.yaml:4:14: clusterName: expected a text, found a whole number (put the value in quotes)
a.yaml:6:14: apiServer.extraArgs: expected a list, found a map (since v1beta4 this is a list of {name, value})
a.yaml:7:3: apiServer.timeoutForControlPlane: unknown field
a.yaml:9:5: apiServer.extraVolumes[0].mountPath: the field is required
a.yaml:11:15: apiServer.extraVolumes[0].pathType: "Fil" is not one of DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice (did you mean `File`?)
a.yaml:12:17: dns.disabled: expected true or false, found a text (write the value without quotes)
a.yaml:13:22: encryptionAlgorithm: "ML-DSA-65" is not one of RSA-2048, RSA-3072, RSA-4096, ECDSA-P256, ECDSA-P384 (ML-DSA keys come with Kubernetes 1.38, which this rkadm does not deploy)
a.yaml:14:28: certificateValidityPeriod: "1d" is not a duration such as "1h30m" or "300s"
a.yaml:16:13: etcd.external.endpoints: the field is required
a.yaml:20:30: localAPIEndpoint.bindPort: 70000 is not a port from 1 to 65535
a.yaml:22:13: bootstrapTokens[0].usages[0]: "sining" is not one of signing, authentication (did you mean `signing`?)
a.yaml:22:31: bootstrapTokens[0].expires: "tomorrow" is not a time such as "2030-01-31T12:00:00Z"
a.yaml:23:2: bootstrapTokens[1]: the item is empty
a.yaml:25:12: nodeRegistration.taints[0].key: the field is required
a.yaml:26:20: nodeRegistration.imagePullPolicy: expected a text, found a list
a.yaml:27:17: certificateKey: expected a text, found a whole number (put the value in quotes)
"#);
}

#[test]
fn component_configs_are_checked_as_deeply() {
    let text = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPod: 5
maxPods: 99999999999
authentication: {anonymus: {enabled: false}}
syncFrequency: 5
logging: {flushFrequency: 0, options: {json: {infoBufferSize: 5}}}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
iptables: {masqueradeBits: 4}
";
    insta::assert_snapshot!(problems(text), @r#"
a.yaml:3:1: maxPod: unknown field (did you mean `maxPods`?)
a.yaml:4:10: maxPods: 99999999999 is not from -2147483648 to 2147483647
a.yaml:5:18: authentication.anonymus: unknown field (did you mean `anonymous`?)
a.yaml:6:16: syncFrequency: expected a duration such as "1h30m", found a whole number
a.yaml:11:12: iptables.masqueradeBits: unknown field (did you mean `masqueradeBit`?)
"#);
}

#[test]
fn a_value_of_the_wrong_type_is_never_shown() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\ncertificateKey: 4242424242\n";
    assert!(!problems(text).contains("4242424242"));
}
