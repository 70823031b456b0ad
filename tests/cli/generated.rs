//! Commands that only print: tokens, keys and lists of images.

use insta::assert_snapshot;

use crate::machine::Machine;

#[test]
fn a_generated_token_is_one_and_another_every_time() {
    let machine = Machine::new();
    let tokens = [0, 1].map(|_| {
        let ran = machine.rkadm("token generate");
        ran.exits(0);
        ran.stdout()
    });
    assert_ne!(tokens[0], tokens[1]);
    for token in tokens {
        let (id, secret) = token.trim_end().split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16), "{token}");
        assert!(id.bytes().chain(secret.bytes()).all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }
}

#[test]
fn a_generated_certificate_key_is_32_bytes_of_hex() {
    let machine = Machine::new();
    let ran = machine.rkadm("certs certificate-key");
    ran.exits(0);
    let key = ran.stdout();
    assert!(key.trim_end().len() == 64 && key.trim_end().bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
    assert_ne!(key, machine.rkadm("certs certificate-key").stdout());
    let ran = machine.rkadm("certs certificate-key -o json");
    let document: serde_json::Value = serde_json::from_str(&ran.stdout()).unwrap();
    assert_eq!(document["kind"], "CertificateKey");
    assert_eq!(document["certificateKey"].as_str().unwrap().len(), 64);
}

/// What kubeadm 1.36 and 1.37 print for the same flags and files.
#[test]
fn images_of_a_version_and_a_registry() {
    let ran = Machine::new()
        .rkadm("config images list --kubernetes-version v1.36.4 --image-repository mirror.test/k8s");
    assert_snapshot!(ran.report(), @r#"
exit 0
--- stdout
mirror.test/k8s/kube-apiserver:v1.36.4
mirror.test/k8s/kube-controller-manager:v1.36.4
mirror.test/k8s/kube-scheduler:v1.36.4
mirror.test/k8s/kube-proxy:v1.36.4
mirror.test/k8s/coredns:v1.14.2
mirror.test/k8s/pause:3.10.2
mirror.test/k8s/etcd:3.6.8-0
"#);
}

#[test]
fn images_of_a_configuration() {
    let config = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\n\
                  dns: {imageRepository: dns.test/coredns, imageTag: v9}\netcd: {local: {imageTag: 3.7.0-7}}\n";
    assert_snapshot!(Machine::new().with_config("config images list", config).report(), @r#"
exit 0
--- stdout
registry.k8s.io/kube-apiserver:v1.37.2
registry.k8s.io/kube-controller-manager:v1.37.2
registry.k8s.io/kube-scheduler:v1.37.2
registry.k8s.io/kube-proxy:v1.37.2
dns.test/coredns/coredns:v9
registry.k8s.io/pause:3.10.2
registry.k8s.io/etcd:3.7.0-7
"#);
}

#[test]
fn images_of_a_version_that_is_not_supported() {
    assert_snapshot!(Machine::new().rkadm("config images list --kubernetes-version v1.12.0").report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --kubernetes-version: version v1.12.0 is not supported: this rkadm deploys v1.34 to v1.37
"#);
}

#[test]
fn images_are_not_pulled_without_a_runtime() {
    let pull =
        |args: &str| Machine::new().rkadm(&format!("config images pull --kubernetes-version v1.37.2{args}"));
    assert_snapshot!(pull("").report(), @r#"
exit 1
--- stderr
Error: the container runtime does not answer: no socket at $DIR/root/var/run/containerd/containerd.sock
  No image was pulled.
Hint: install and start a container runtime such as containerd, or name its socket with --cri-socket; its socket is for root
"#);
    assert_snapshot!(pull(" --cri-socket /run/other.sock").report(), @r#"
exit 1
--- stderr
Error: the container runtime does not answer: no socket at $DIR/root/run/other.sock
  No image was pulled.
Hint: install and start a container runtime such as containerd, or name its socket with --cri-socket; its socket is for root
"#);
    assert_snapshot!(pull(" --cri-socket tcp://127.0.0.1:1").report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --cri-socket: "tcp://127.0.0.1:1" is not the URL of a UNIX socket (write unix:///PATH)
"#);
    let machine = Machine::new();
    for socket in ["/var/run/containerd/containerd.sock", "/var/run/crio/crio.sock"] {
        machine.write(socket, "");
    }
    assert_snapshot!(machine.rkadm("config images pull --kubernetes-version v1.37.2").report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  nodeRegistration.criSocket: several container runtimes were found: unix:///var/run/containerd/containerd.sock, unix:///var/run/crio/crio.sock (choose one with this field or --cri-socket)
"#);
}
