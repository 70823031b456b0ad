//! Flags of single phases, as kubeadm has them.

use insta::assert_snapshot;

use crate::machine::{CONFIG, Machine, is_root};

/// What `kubeadm init phase PHASE --help` of 1.37 lists: a flag, and what kind of value it takes.
const KUBEADM: &str = "\
addon all: apiserver-advertise-address=ip apiserver-bind-port=int config control-plane-endpoint dry-run! feature-gates image-repository kubeconfig kubernetes-version pod-network-cidr service-cidr service-dns-domain
addon coredns: config dry-run! feature-gates image-repository kubeconfig kubernetes-version print-manifest! service-cidr service-dns-domain
addon kube-proxy: apiserver-advertise-address=ip apiserver-bind-port=int config control-plane-endpoint dry-run! image-repository kubeconfig kubernetes-version pod-network-cidr print-manifest!
bootstrap-token: config dry-run! kubeconfig skip-token-print!
certs all: apiserver-advertise-address=ip apiserver-cert-extra-sans cert-dir config control-plane-endpoint dry-run! kubernetes-version service-cidr service-dns-domain
certs apiserver: apiserver-advertise-address=ip apiserver-cert-extra-sans cert-dir config control-plane-endpoint dry-run! kubernetes-version service-cidr service-dns-domain
certs apiserver-etcd-client: cert-dir config dry-run! kubernetes-version
certs apiserver-kubelet-client: cert-dir config dry-run! kubernetes-version
certs ca: cert-dir config dry-run! kubernetes-version
certs etcd-ca: cert-dir config dry-run! kubernetes-version
certs etcd-healthcheck-client: cert-dir config dry-run! kubernetes-version
certs etcd-peer: cert-dir config dry-run! kubernetes-version
certs etcd-server: cert-dir config dry-run! kubernetes-version
certs front-proxy-ca: cert-dir config dry-run! kubernetes-version
certs front-proxy-client: cert-dir config dry-run! kubernetes-version
certs sa: cert-dir config dry-run! kubernetes-version
control-plane all: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! feature-gates image-repository kubernetes-version patches pod-network-cidr service-cidr
control-plane apiserver: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! feature-gates image-repository kubernetes-version patches service-cidr
control-plane controller-manager: cert-dir config dry-run! image-repository kubernetes-version patches pod-network-cidr
control-plane scheduler: cert-dir config dry-run! image-repository kubernetes-version patches
etcd local: cert-dir config dry-run! image-repository patches
kubeconfig admin: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! kubeconfig-dir kubernetes-version
kubeconfig all: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! kubeconfig-dir kubernetes-version node-name
kubeconfig controller-manager: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! kubeconfig-dir kubernetes-version
kubeconfig kubelet: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! kubeconfig-dir kubernetes-version node-name
kubeconfig scheduler: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! kubeconfig-dir kubernetes-version
kubeconfig super-admin: apiserver-advertise-address=ip apiserver-bind-port=int cert-dir config control-plane-endpoint dry-run! kubeconfig-dir kubernetes-version
kubelet-finalize all: cert-dir config dry-run!
kubelet-finalize enable-client-cert-rotation: cert-dir config dry-run!
kubelet-start: config cri-socket dry-run! image-repository node-name patches
mark-control-plane: config dry-run! node-name
preflight: config cri-socket dry-run! ignore-preflight-errors image-repository
show-join-command:
upload-certs: certificate-key config dry-run! kubeconfig skip-certificate-key-print! upload-certs!
upload-config all: config cri-socket dry-run! kubeconfig
upload-config kubeadm: config cri-socket dry-run! kubeconfig
upload-config kubelet: config cri-socket dry-run! kubeconfig
wait-control-plane:
";

#[test]
fn every_phase_takes_the_flags_that_kubeadms_takes() {
    let machine = Machine::new();
    for line in KUBEADM.lines() {
        let (phase, flags) = line.split_once(':').unwrap();
        let mut args = format!("init phase {phase} -v 5");
        for flag in flags.split_whitespace() {
            args += &match (flag.strip_suffix('!'), flag.split_once('=')) {
                (Some(switch), _) => format!(" --{switch}"),
                (None, Some((name, "int"))) => format!(" --{name} 6443"),
                (None, Some((name, _))) => format!(" --{name} 192.0.2.1"),
                (None, None) => format!(" --{flag} x"),
            };
        }
        // An unknown flag before it is found first; the values are not looked at.
        let ran = machine.rkadm(&format!("{args} --help"));
        assert!(ran.output.status.success(), "{args}: {}", ran.report());
    }
    machine.rkadm("init phase certs ca --kubeconfig-dir x --help").exits(2);
}

#[test]
fn kubeconfigs_may_be_made_elsewhere() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    machine.phase("kubeconfig all --kubeconfig-dir /srv/conf").succeeds();
    assert_snapshot!(machine.listing("/srv"), @r#"
0755 /srv
0755 /srv/conf
0600 /srv/conf/admin.conf
0600 /srv/conf/controller-manager.conf
0600 /srv/conf/kubelet.conf
0600 /srv/conf/scheduler.conf
0600 /srv/conf/super-admin.conf
"#);
    assert!(!machine.path("/etc/kubernetes/admin.conf").exists());
}

#[test]
fn kubeconfig_of_a_phase_is_used_and_no_other() {
    let machine = Machine::new();
    let ran = machine.phase("upload-config kubeadm --dry-run --kubeconfig /srv/other.conf");
    assert_snapshot!(ran.report(), @r#"
exit 1
--- stderr
Error: phase upload-config/kubeadm: cannot read /srv/other.conf: entity not found
"#);
}

#[test]
fn manifests_of_addons_are_printed_without_a_cluster() {
    let machine = Machine::new();
    let kinds = |addon: &str| {
        let text = machine.phase(&format!("addon {addon} --print-manifest")).succeeds().stdout();
        assert!(text.starts_with("---\napiVersion: "), "{text}");
        let mut kinds: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
        kinds.sort_unstable();
        kinds.join(" ")
    };
    // The kinds that kubeadm prints.
    assert_eq!(
        kinds("coredns"),
        "ClusterRole ClusterRoleBinding ConfigMap Deployment Service ServiceAccount"
    );
    assert_eq!(kinds("kube-proxy"), "ClusterRoleBinding ConfigMap DaemonSet Role RoleBinding ServiceAccount");
    assert!(machine.is_untouched());
}

#[test]
fn limit_of_the_kubelets_health_is_the_configurations() {
    let config =
        CONFIG.replace("nodeRegistration:", "timeouts: {kubeletHealthCheck: 77s}\nnodeRegistration:");
    let ran = Machine::new().with_config("init phase wait-control-plane --dry-run", config);
    assert_snapshot!(ran.report(), @r#"
exit 0
--- stdout
wait-control-plane
  - wait up to 77 s until kubelet is healthy (http://127.0.0.1:10248/healthz)
  - wait up to 240 s until etcd is healthy (http://127.0.0.1:2381/readyz) and kubelet is healthy (http://127.0.0.1:10248/healthz) and the API server answers /livez and kube-controller-manager is healthy (https://127.0.0.1:10257/healthz) and kube-scheduler is healthy (https://127.0.0.1:10259/livez)
"#);
}

/// kubeadm takes them and does not show them.
#[test]
fn components_get_flags_from_the_command_line() {
    let machine = Machine::new();
    let ran = machine.rkadm(
        "init phase control-plane all --dry-run --kubernetes-version v1.37.2 --apiserver-advertise-address 192.0.2.1 \
         --apiserver-extra-args authorization-mode=Node,RBAC --apiserver-extra-args v=4,profiling=false \
         --controller-manager-extra-args v=5 --scheduler-extra-args=v=6",
    );
    let plan = ran.succeeds().stdout();
    for flag in ["--authorization-mode=Node,RBAC", "--v=4", "--profiling=false", "--v=5", "--v=6"] {
        assert!(plan.contains(&format!("- {flag}\n")), "{flag}: {plan}");
    }
    let ran = machine.rkadm("init phase control-plane all --config cluster.yaml --apiserver-extra-args v=4");
    ran.exits(4);
    assert!(
        ran.stderr().contains("--apiserver-extra-args: cannot be used together with --config"),
        "{}",
        ran.stderr()
    );
    let ran = machine.rkadm("init phase control-plane scheduler --scheduler-extra-args v --dry-run");
    ran.exits(2);
    assert!(ran.stderr().contains("\"v\" is not NAME=VALUE"), "{}", ran.stderr());
}

/// What scripts of kubeadm give, and what has no effect here.
#[test]
fn flags_of_kubeadm_are_taken_everywhere() {
    let machine = Machine::new();
    machine.write_here("images.yaml", CONFIG);
    let list = machine.rkadm("config images list --config images.yaml").succeeds().stdout();
    let same = machine.rkadm(
        "config --kubeconfig none images list --config images.yaml --kubernetes-version v1.34.0 -o text \
         --show-managed-fields --allow-missing-template-keys=false --vmodule a=1",
    );
    assert_eq!(same.succeeds().stdout(), list);
    assert!(
        same.stderr().contains(
            "Warning: --kubernetes-version is not used: the configuration file says what is needed"
        ),
        "{}",
        same.stderr()
    );
    machine.rkadm("token --dry-run --kubeconfig none generate").succeeds();
    for args in ["token --kubeconfig none list", "token list --kubeconfig none --dry-run"] {
        assert!(machine.rkadm(args).stderr().contains("cannot read none"), "{args}");
    }
}
