//! Single phases of init, which really write below the machine's directory.

use std::fs;

use insta::assert_snapshot;

use crate::machine::{CONFIG, Machine, PKI, is_root, tool};

#[test]
fn certs_have_kubeadms_names_and_modes() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    assert_snapshot!(machine.listing("/etc"), @r#"
0755 /etc
0755 /etc/kubernetes
0755 /etc/kubernetes/pki
0644 /etc/kubernetes/pki/apiserver-etcd-client.crt
0600 /etc/kubernetes/pki/apiserver-etcd-client.key
0644 /etc/kubernetes/pki/apiserver-kubelet-client.crt
0600 /etc/kubernetes/pki/apiserver-kubelet-client.key
0644 /etc/kubernetes/pki/apiserver.crt
0600 /etc/kubernetes/pki/apiserver.key
0644 /etc/kubernetes/pki/ca.crt
0600 /etc/kubernetes/pki/ca.key
0755 /etc/kubernetes/pki/etcd
0644 /etc/kubernetes/pki/etcd/ca.crt
0600 /etc/kubernetes/pki/etcd/ca.key
0644 /etc/kubernetes/pki/etcd/healthcheck-client.crt
0600 /etc/kubernetes/pki/etcd/healthcheck-client.key
0644 /etc/kubernetes/pki/etcd/peer.crt
0600 /etc/kubernetes/pki/etcd/peer.key
0644 /etc/kubernetes/pki/etcd/server.crt
0600 /etc/kubernetes/pki/etcd/server.key
0644 /etc/kubernetes/pki/front-proxy-ca.crt
0600 /etc/kubernetes/pki/front-proxy-ca.key
0644 /etc/kubernetes/pki/front-proxy-client.crt
0600 /etc/kubernetes/pki/front-proxy-client.key
0600 /etc/kubernetes/pki/sa.key
0600 /etc/kubernetes/pki/sa.pub
"#);
    for (cert, ca) in [
        ("apiserver.crt", "ca.crt"),
        ("apiserver-kubelet-client.crt", "ca.crt"),
        ("front-proxy-client.crt", "front-proxy-ca.crt"),
        ("etcd/server.crt", "etcd/ca.crt"),
        ("etcd/peer.crt", "etcd/ca.crt"),
        ("etcd/healthcheck-client.crt", "etcd/ca.crt"),
        ("apiserver-etcd-client.crt", "etcd/ca.crt"),
    ] {
        tool(&machine.path(PKI), "openssl", &["verify", "-CAfile", ca, cert]);
        let text = tool(&machine.path(PKI), "openssl", &["x509", "-in", cert, "-noout", "-text"]);
        assert!(text.contains("ASN1 OID: prime256v1"), "{cert} is not ECDSA: {text}");
    }
}

#[test]
fn certs_a_second_time_have_nothing_to_do() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let before = machine.tree("/etc");
    assert_snapshot!(machine.phase("certs all").report(), @r#"
exit 0
--- stderr
operation <ULID>
  certs/ca                               nothing to do: uses the existing pair
  certs/apiserver                        nothing to do: uses the existing pair
  certs/apiserver-kubelet-client         nothing to do: uses the existing pair
  certs/front-proxy-ca                   nothing to do: uses the existing pair
  certs/front-proxy-client               nothing to do: uses the existing pair
  certs/etcd-ca                          nothing to do: uses the existing pair
  certs/etcd-server                      nothing to do: uses the existing pair
  certs/etcd-peer                        nothing to do: uses the existing pair
  certs/etcd-healthcheck-client          nothing to do: uses the existing pair
  certs/apiserver-etcd-client            nothing to do: uses the existing pair
  certs/sa                               nothing to do: uses the existing key pair
"#);
    assert!(machine.tree("/etc") == before);
}

#[test]
fn one_certificate_only() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    assert_snapshot!(machine.phase("certs etcd-ca").report(), @r#"
exit 0
--- stderr
operation <ULID>
  certs/etcd-ca                          done in <DURATION>
"#);
    assert_snapshot!(machine.listing("/etc"), @r#"
0755 /etc
0755 /etc/kubernetes
0755 /etc/kubernetes/pki
0755 /etc/kubernetes/pki/etcd
0644 /etc/kubernetes/pki/etcd/ca.crt
0600 /etc/kubernetes/pki/etcd/ca.key
"#);
}

#[test]
fn certificate_directory_may_be_another_one() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let config = format!("{CONFIG}certificatesDir: /srv/pki\n");
    machine.with_config("init phase certs ca", config).succeeds();
    assert_snapshot!(machine.listing("/srv"), @r#"
0755 /srv
0755 /srv/pki
0644 /srv/pki/ca.crt
0600 /srv/pki/ca.key
"#);
}

#[test]
fn kubeconfigs_have_kubeadms_names_and_modes() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    assert_snapshot!(machine.phase("kubeconfig all").report(), @r#"
exit 0
--- stderr
operation <ULID>
  kubeconfig/admin                       done in <DURATION>
  kubeconfig/super-admin                 done in <DURATION>
  kubeconfig/kubelet                     done in <DURATION>
  kubeconfig/controller-manager          done in <DURATION>
  kubeconfig/scheduler                   done in <DURATION>
"#);
    fs::remove_dir_all(machine.path(PKI)).unwrap();
    assert_snapshot!(machine.listing("/etc"), @r#"
0755 /etc
0755 /etc/kubernetes
0600 /etc/kubernetes/admin.conf
0600 /etc/kubernetes/controller-manager.conf
0600 /etc/kubernetes/kubelet.conf
0600 /etc/kubernetes/scheduler.conf
0600 /etc/kubernetes/super-admin.conf
"#);
}

#[test]
fn manifests_have_kubeadms_names_and_modes() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    assert_snapshot!(machine.phase("control-plane all").report(), @r#"
exit 0
--- stderr
operation <ULID>
  control-plane/apiserver                done in <DURATION>
  control-plane/controller-manager       done in <DURATION>
  control-plane/scheduler                done in <DURATION>
"#);
    machine.phase("etcd local").succeeds();
    assert_snapshot!(machine.listing("/"), @r#"
0755 /
0755 /etc
0700 /etc/kubernetes
0700 /etc/kubernetes/manifests
0600 /etc/kubernetes/manifests/etcd.yaml
0600 /etc/kubernetes/manifests/kube-apiserver.yaml
0600 /etc/kubernetes/manifests/kube-controller-manager.yaml
0600 /etc/kubernetes/manifests/kube-scheduler.yaml
0755 /var
0755 /var/lib
0700 /var/lib/etcd
0700 /var/lib/rkadm
0600 /var/lib/rkadm/lock
0700 /var/lib/rkadm/operations
0700 /var/lib/rkadm/operations/<ULID>
0600 /var/lib/rkadm/operations/<ULID>.jsonl
0700 /var/lib/rkadm/operations/<ULID>
0600 /var/lib/rkadm/operations/<ULID>.jsonl
"#);
    let before = machine.tree("/etc");
    machine.phase("control-plane all").succeeds();
    assert!(machine.tree("/etc") == before);
}

#[test]
fn failure_in_the_middle_is_rolled_back() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    fs::create_dir_all(machine.pki("apiserver.key")).unwrap();
    let before = machine.tree("/etc");
    assert_snapshot!(machine.phase("certs all").report(), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               done in <DURATION>
  certs/apiserver                        failed
rolling back 2 steps
  undone: write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes
  undone: write /etc/kubernetes/pki/ca.key (mode 0600): new ECDSA-P256 private key
Error: phase certs/apiserver: cannot read $DIR/root/etc/kubernetes/pki/apiserver.key: Is a directory (os error 21)
  Rolled back: all 2 changes were undone; this machine is as it was before.
Hint: the timeline: `rkadm op show <ULID>`; to keep a failure for inspection, use --on-failure=stop
"#);
    assert!(machine.tree("/etc") == before, "{}", machine.listing("/etc"));
}

#[test]
fn preflight_finds_all_that_is_missing_and_changes_nothing() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let ran = machine.rkadm("init --config cluster.yaml");
    ran.exits(3);
    // What listens on the machine that the tests run on, and how full its disk is, is not this test's business.
    let foreign = |line: &&str| line.contains("Port") || line.contains("[Disk") || line.contains("[EtcdDisk");
    let report = ran.report();
    let report: Vec<_> = report.lines().filter(|line| !foreign(line)).collect();
    assert_snapshot!(report.join("\n"), @r#"
exit 3
--- stderr
operation <ULID>
Warning: [Service-Kubelet] the service manager does not answer: cannot run `systemctl show kubelet --property=LoadState,ActiveState,UnitFileState,NRestarts`: entity not found (rkadm needs systemd to manage the kubelet)
  preflight                              failed
Error: 6 preflight checks failed
  [FileExisting-losetup] losetup not found in system path
    hint: install the package that holds losetup
  [FileExisting-mount] mount not found in system path
    hint: install the package that holds mount
  [FileExisting-cp] cp not found in system path
    hint: install the package that holds cp
  [CRI] container runtime is not running: no socket at $DIR/root/var/run/containerd/containerd.sock
    hint: install and start a container runtime such as containerd, or name its socket with --cri-socket
  [SystemVerification] couldn't get kubelet version: kubelet does not run
    hint: install the kubelet package of the cluster's version
  [KubeletVersion] couldn't get kubelet version: kubelet does not run
    hint: install the kubelet package of the cluster's version
  Nothing was changed.
Hint: a check can be turned into a warning with --ignore-preflight-errors=NAME
"#);
    assert_eq!(machine.tree("/etc").len(), 1, "only the directory that was there");
}

#[test]
fn preflight_checks_are_ignored_by_name() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let ran = machine.rkadm(
        "init phase preflight --config cluster.yaml \
         --ignore-preflight-errors=FileExisting-cp,fileexisting-mount --ignore-preflight-errors=CRI",
    );
    let stderr = ran.exits(3).stderr();
    for name in ["FileExisting-cp", "FileExisting-mount", "CRI"] {
        assert!(stderr.contains(&format!("Warning: [{name}]")), "{name}: {stderr}");
        assert!(!stderr.contains(&format!("  [{name}]")), "{name}: {stderr}");
    }
    machine.rkadm("init phase preflight --config cluster.yaml --ignore-preflight-errors=all").succeeds();
}

#[test]
fn dry_run_writes_nothing_and_makes_no_key() {
    let machine = Machine::new();
    machine.write("/etc/hostname", "cp1\n");
    let before = machine.tree("/");
    let ran = machine.rkadm("init --config cluster.yaml --skip-phases preflight,kubelet-start --dry-run");
    let text = ran.succeeds().stdout();
    assert!(machine.tree("/") == before, "{}", machine.listing("/"));
    assert!(
        text.contains("/etc/kubernetes/pki/ca.key") && text.contains("/etc/kubernetes/admin.conf"),
        "{text}"
    );
    assert!(!text.contains("-----BEGIN") && !ran.stderr().contains("-----BEGIN"), "{text}");
}

#[test]
fn dry_run_shows_the_plan() {
    let plan = Machine::new().phase("etcd local --dry-run").stdout();
    assert!(
        plan.contains("      +    - --data-dir=/var/lib/etcd\n"),
        "with the difference to what is there: {plan}"
    );
    assert_snapshot!(Machine::new().phase("certs sa --dry-run").report(), @r#"
exit 0
--- stdout
certs/sa
  - create directory /etc/kubernetes (mode 0755)
  - create directory /etc/kubernetes/pki (mode 0755)
  - write /etc/kubernetes/pki/sa.key (mode 0600): new ECDSA-P256 private key
  - write /etc/kubernetes/pki/sa.pub (mode 0600): public key of /etc/kubernetes/pki/sa.key
"#);
}

#[test]
fn dry_run_shows_kubeconfigs_without_what_is_secret() {
    let plan =
        Machine::new().rkadm("init --config cluster.yaml --skip-phases preflight,kubelet-start --dry-run");
    let plan = plan.succeeds().stdout();
    let file = plan.split("+++ /etc/kubernetes/scheduler.conf\n").nth(1).unwrap();
    assert_snapshot!(file.split("\netcd").next().unwrap(), @r#"
@@ -0,0 +1,18 @@
+apiVersion: v1
+clusters:
+- cluster:
+    certificate-authority-data: (content of /etc/kubernetes/pki/ca.crt)
+    server: https://192.0.2.10:6443
+  name: kubernetes
+contexts:
+- context:
+    cluster: kubernetes
+    user: system:kube-scheduler
+  name: system:kube-scheduler@kubernetes
+current-context: system:kube-scheduler@kubernetes
+kind: Config
+users:
+- name: system:kube-scheduler
+  user:
+    client-certificate-data: (made when applied)
+    client-key-data: (made when applied)
"#);
}

#[test]
fn dry_run_shows_what_changes_in_a_file() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.phase("etcd local").succeeds();
    let manifest = "/etc/kubernetes/manifests/etcd.yaml";
    let text = fs::read_to_string(machine.path(manifest)).unwrap();
    machine.write(manifest, text.replace("--snapshot-count=10000", "--snapshot-count=5"));
    assert_snapshot!(machine.phase("etcd local --dry-run").report(), @r#"
exit 0
--- stdout
etcd/local
  - create directory /var/lib/etcd (mode 0700)
  - replace /etc/kubernetes/manifests/etcd.yaml (mode 0600): 2574 bytes
      --- /etc/kubernetes/manifests/etcd.yaml
      +++ /etc/kubernetes/manifests/etcd.yaml
      @@ -28,7 +28,7 @@
           - --peer-client-cert-auth=true
           - --peer-key-file=/etc/kubernetes/pki/etcd/peer.key
           - --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
      -    - --snapshot-count=5
      +    - --snapshot-count=10000
           - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
           - --watch-progress-notify-interval=5s
           image: registry.k8s.io/etcd:3.7.0-0
"#);
}

#[test]
fn dry_run_for_programs_names_actions_and_targets() {
    let plan = Machine::new().phase("certs sa --dry-run -o json").stdout();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let step = &plan["phases"][0]["steps"][2];
    assert_eq!(step["action"], "write-file");
    assert_eq!(step["targets"], serde_json::json!(["/etc/kubernetes/pki/sa.key"]));
    assert!(step.get("diff").is_none(), "{step}");
}

#[test]
fn dry_run_hides_passwords_of_proxies() {
    let machine = Machine::new();
    let mut command = machine.command("init phase control-plane apiserver --dry-run --config cluster.yaml");
    let plan = machine.run(command.env("HTTPS_PROXY", "http://me:hunter2@proxy.test:3128")).stdout();
    assert!(plan.contains("http://(secret)@proxy.test:3128") && !plan.contains("hunter2"), "{plan}");
}
