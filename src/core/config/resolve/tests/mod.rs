//! What `init` makes of files, flags and facts; kubeadm's own output is the measure where there is one.

use super::*;
use crate::config::Secret;
use crate::config::document::Source;
use crate::config::types::Arg;
use serde_json::json;

mod messages;
mod values;

const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
const INIT_DEFAULTS: &str = include_str!("../../fixtures/init-defaults-1.37.yaml");

fn facts() -> HostFacts {
    HostFacts {
        hostname: "Node-1".into(),
        default_ipv4: Some("192.0.2.2".parse().unwrap()),
        default_ipv6: Some("2001:db8::2".parse().unwrap()),
        cri_sockets: vec!["unix:///run/containerd/containerd.sock".into()],
        ..HostFacts::default()
    }
}

fn files(text: &str) -> Documents {
    Documents::load(&[Source::new("a.yaml", text)]).unwrap()
}

fn with_files(text: &str) -> Result<ResolvedInit, String> {
    resolve_init(&files(text), &InitFlags::default(), &facts()).map_err(|errors| errors.to_string())
}

fn with_flags(flags: &InitFlags) -> Result<ResolvedInit, String> {
    resolve_init(&Documents::none(), flags, &facts()).map_err(|errors| errors.to_string())
}

fn defaults() -> ResolvedInit {
    with_flags(&InitFlags::default()).unwrap()
}

/// The document of a kind in a text that kubeadm printed.
fn theirs(text: &str, kind: &str) -> String {
    let documents = crate::yaml::documents(text).unwrap();
    crate::yaml::to_string(documents.iter().find(|document| document["kind"] == kind).unwrap())
}

#[test]
fn defaults_are_kubeadms() {
    let ours = defaults();
    let cluster = theirs(INIT_DEFAULTS, "ClusterConfiguration").replace("1.37.0", "v1.37.2");
    assert_eq!(ours.cluster.to_yaml(), cluster);
    assert_eq!(crate::yaml::to_string(&ours.kubelet), theirs(INIT_DEFAULTS, "KubeletConfiguration"));
    assert_eq!(crate::yaml::to_string(&ours.kube_proxy), theirs(INIT_DEFAULTS, "KubeProxyConfiguration"));
}

#[test]
fn defaults_in_full() {
    let mut ours = defaults();
    (ours.kubelet, ours.kube_proxy) = (json!({}), json!({}));
    insta::assert_snapshot!(crate::yaml::to_string(&ours), @r"
cluster:
  etcd:
    local:
      dataDir: /var/lib/etcd
  networking:
    serviceSubnet: 10.96.0.0/12
    dnsDomain: cluster.local
  kubernetesVersion: v1.37.2
  apiServer: {}
  controllerManager: {}
  scheduler: {}
  dns: {}
  proxy: {}
  certificatesDir: /etc/kubernetes/pki
  imageRepository: registry.k8s.io
  clusterName: kubernetes
  encryptionAlgorithm: RSA-2048
  certificateValidityPeriod: 8760h0m0s
  caCertificateValidityPeriod: 87600h0m0s
nodeRegistration:
  name: node-1
  criSocket: unix:///run/containerd/containerd.sock
  taints:
  - effect: NoSchedule
    key: node-role.kubernetes.io/control-plane
  imagePullPolicy: IfNotPresent
  imagePullSerial: true
localApiEndpoint:
  advertiseAddress: 192.0.2.2
  bindPort: 6443
bootstrapTokens:
- ttl: 24h0m0s
  usages:
  - signing
  - authentication
  groups:
  - system:bootstrappers:kubeadm:default-node-token
certificateKey: null
skipPhases: []
patchesDir: null
timeouts:
  controlPlaneComponentHealthCheck: 4m0s
  kubeletHealthCheck: 4m0s
  kubernetesAPICall: 1m0s
  etcdAPICall: 2m0s
  tlsBootstrap: 5m0s
  discovery: 5m0s
  upgradeManifests: 5m0s
kubelet: {}
kubeProxy: {}
kubeletGenerated: true
kubeProxyGenerated: true
uploadCerts: false
ignorePreflightErrors: []
dryRun: false
kubernetesVersion: v1.37.2
systemdResolved: false
skipTokenPrint: false
skipCertificateKeyPrint: false
warnings:
- file: null
  line: null
  column: null
  fieldPath: kubernetesVersion
  message: 'not given: using v1.37.2, the newest this rkadm knows'
  hint: null
");
}

/// What `config print init-defaults --component-configs` prints is full of them.
#[test]
fn what_go_takes_for_nothing_leaves_the_defaults() {
    let cluster = format!("{CLUSTER}kubernetesVersion: v1.37.2\nnetworking: {{podSubnet: 10.244.0.0/16}}\n");
    let plain = with_files(&cluster).unwrap();
    let zeros = with_files(&format!(
        "{cluster}---\n{}---\n{}",
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
         staticPodPath: ''\nclusterDomain: ''\ncgroupDriver: ''\nhealthzBindAddress: ''\nsyncFrequency: 0s\n\
         maxPods: 0\nport: 0\nproviderID: ''\nauthentication: {x509: {clientCAFile: ''}}\n\
         authorization: {mode: ''}\nlogging: {format: '', flushFrequency: 0, vmodule: []}\n\
         failSwapOn: false\nresolvConf: ''\ncpuCFSQuotaPeriod: 0s\nkubeReserved: {}\n",
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
         mode: ''\nbindAddress: ''\nclusterCIDR: ''\nclientConnection: {kubeconfig: '', qps: 0}\n\
         featureGates: {}\nwindowsRunAsService: false\nconntrack: {maxPerCore: 0, min: null}\n"
    ))
    .unwrap();
    let mut kubelet = plain.kubelet.clone();
    // These tell nothing from zero.
    kubelet["failSwapOn"] = false.into();
    kubelet["resolvConf"] = "".into();
    kubelet["cpuCFSQuotaPeriod"] = "0s".into();
    crate::yaml::sort_keys(&mut kubelet);
    assert_eq!(zeros.kubelet, kubelet);
    let mut kube_proxy = plain.kube_proxy.clone();
    kube_proxy["conntrack"]["maxPerCore"] = 0.into();
    assert_eq!(zeros.kube_proxy, kube_proxy);
    assert!(zeros.warnings.iter().all(|warning| !warning.0.message.contains("advised")));
}

#[test]
fn component_configs_are_merged_as_kubeadm_does() {
    let ours = with_files(include_str!("../../fixtures/component-input.yaml")).unwrap();
    let merged = include_str!("../../fixtures/kubelet-merged-1.37.yaml");
    assert_eq!(crate::yaml::to_string(&ours.kubelet), theirs(merged, KUBELET));
    let merged = include_str!("../../fixtures/kube-proxy-merged-1.37.yaml");
    assert_eq!(crate::yaml::to_string(&ours.kube_proxy), theirs(merged, KUBE_PROXY));
    let warnings: Vec<_> = ours.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r#"
a.yaml:4:14: networking.podSubnet: services have two address families, pods only one
a.yaml:13:1: rotateCertificates: false is not used: kubelets of kubeadm clusters renew their certificates
a.yaml:16:30: authentication.anonymous.enabled: the advised value is false, given is true
a.yaml:17:1: healthzPort: the advised value is 10248, given is 10250
a.yaml:18:1: clusterDNS: the advised value is ["10.96.0.10"], given is []
"#);
}

#[test]
fn a_users_durations_get_gos_spelling() {
    let kubelet =
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nsyncFrequency: 90s\n";
    let text = format!("{CLUSTER}---\n{kubelet}");
    assert_eq!(with_files(&text).unwrap().kubelet["syncFrequency"], "1m30s");
}

#[test]
fn kube_proxy_of_an_ipv6_control_plane_binds_to_ipv6() {
    let flags = InitFlags { service_cidr: Some("fd00::/112".into()), ..InitFlags::default() };
    let ours = with_flags(&flags).unwrap();
    assert_eq!(ours.local_api_endpoint.advertise_address, "2001:db8::2");
    assert_eq!(ours.kube_proxy["bindAddress"], "::");
    assert_eq!(ours.kubelet["clusterDNS"], json!(["fd00::a"]));
    assert_eq!(ours.local_api_url(), "https://[2001:db8::2]:6443");
}

#[test]
fn systemd_resolved_changes_only_this_nodes_kubelet() {
    let ours = resolve_init(
        &Documents::none(),
        &InitFlags::default(),
        &HostFacts { systemd_resolved: true, ..facts() },
    )
    .unwrap();
    assert_eq!(ours.kubelet.get("resolvConf"), None);
    assert_eq!(ours.node_kubelet()["resolvConf"], "/run/systemd/resolve/resolv.conf");
    assert_eq!(defaults().node_kubelet(), defaults().kubelet);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line for each flag")]
fn every_flag_arrives() {
    let text = |value: &str| Some(value.to_owned());
    let key = "0123456789abcdef".repeat(4);
    let flags = InitFlags {
        apiserver_advertise_address: text("192.0.2.9"),
        apiserver_bind_port: Some(8443),
        apiserver_cert_extra_sans: vec!["api.example.com".into(), String::new()],
        apiserver_extra_args: vec![Arg::new("v", "4")],
        controller_manager_extra_args: vec![Arg::new("v", "5")],
        scheduler_extra_args: vec![Arg::new("v", "6")],
        cert_dir: text("//srv/../pki/./"),
        certificate_key: Some(Secret::new(key.clone())),
        control_plane_endpoint: text("cp.example.com:443"),
        cri_socket: text("unix:///run/crio/crio.sock"),
        dry_run: true,
        feature_gates: text("RootlessControlPlane=false"),
        ignore_preflight_errors: vec!["Swap".into()],
        image_repository: text("mirror.example.com/k8s"),
        kubernetes_version: text("1.37.1"),
        node_name: text("Master"),
        patches: text("/patches"),
        pod_network_cidr: text("10.244.0.0/16"),
        service_cidr: text("10.0.0.0/16"),
        service_dns_domain: text("example.org"),
        skip_certificate_key_print: true,
        skip_phases: vec!["addon/kube-proxy".into()],
        skip_token_print: true,
        token: Some("abcdef.0123456789abcdef".into()),
        token_ttl: text("0"),
        upload_certs: true,
    };
    let mut ours = with_flags(&flags).unwrap();
    (ours.kubelet, ours.kube_proxy) = (json!({}), json!({}));
    assert_eq!(ours.certificate_key.as_ref().unwrap().expose(), key);
    assert_eq!(ours.bootstrap_tokens[0].token.as_ref().unwrap().expose(), "abcdef.0123456789abcdef");
    insta::assert_snapshot!(crate::yaml::to_string(&ours), @r"
cluster:
  etcd:
    local:
      dataDir: /var/lib/etcd
  networking:
    serviceSubnet: 10.0.0.0/16
    podSubnet: 10.244.0.0/16
    dnsDomain: example.org
  kubernetesVersion: v1.37.1
  controlPlaneEndpoint: cp.example.com:443
  apiServer:
    extraArgs:
    - name: v
      value: '4'
    certSANs:
    - api.example.com
  controllerManager:
    extraArgs:
    - name: v
      value: '5'
  scheduler:
    extraArgs:
    - name: v
      value: '6'
  dns: {}
  proxy: {}
  certificatesDir: /pki
  imageRepository: mirror.example.com/k8s
  featureGates:
    RootlessControlPlane: false
  clusterName: kubernetes
  encryptionAlgorithm: RSA-2048
  certificateValidityPeriod: 8760h0m0s
  caCertificateValidityPeriod: 87600h0m0s
nodeRegistration:
  name: master
  criSocket: unix:///run/crio/crio.sock
  taints:
  - effect: NoSchedule
    key: node-role.kubernetes.io/control-plane
  imagePullPolicy: IfNotPresent
  imagePullSerial: true
localApiEndpoint:
  advertiseAddress: 192.0.2.9
  bindPort: 8443
bootstrapTokens:
- token: <redacted>
  ttl: 0s
  usages:
  - signing
  - authentication
  groups:
  - system:bootstrappers:kubeadm:default-node-token
certificateKey: <redacted>
skipPhases:
- addon/kube-proxy
patchesDir: /patches
timeouts:
  controlPlaneComponentHealthCheck: 4m0s
  kubeletHealthCheck: 4m0s
  kubernetesAPICall: 1m0s
  etcdAPICall: 2m0s
  tlsBootstrap: 5m0s
  discovery: 5m0s
  upgradeManifests: 5m0s
kubelet: {}
kubeProxy: {}
kubeletGenerated: true
kubeProxyGenerated: true
uploadCerts: true
ignorePreflightErrors:
- Swap
dryRun: true
kubernetesVersion: v1.37.1
systemdResolved: false
skipTokenPrint: true
skipCertificateKeyPrint: true
warnings: []
");
}

#[test]
fn flags_that_a_file_allows_are_merged() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nskipPhases: [certs]\n\
                nodeRegistration: {name: a, ignorePreflightErrors: [Mem]}\n";
    let flags = InitFlags {
        node_name: Some("b".into()),
        ignore_preflight_errors: vec!["Swap".into(), "Mem".into()],
        skip_phases: vec!["addon".into()],
        dry_run: true,
        upload_certs: true,
        skip_token_print: true,
        skip_certificate_key_print: true,
        ..InitFlags::default()
    };
    let ours = resolve_init(&files(text), &flags, &facts()).unwrap();
    assert_eq!(ours.node_name(), "b");
    assert_eq!(ours.ignore_preflight_errors, ["Mem", "Swap"]);
    assert_eq!(ours.skip_phases, ["addon"]);
    assert!(ours.dry_run && ours.upload_certs && ours.skip_token_print && ours.skip_certificate_key_print);
}

#[test]
fn the_default_version_is_not_newer_than_the_kubelet() {
    for (kubelet, version, reason) in [
        (None, "v1.37.2", "not given: using v1.37.2, the newest this rkadm knows"),
        (Some("v1.38.0"), "v1.37.2", "not given: using v1.37.2, the newest this rkadm knows"),
        (Some("v1.37.1"), "v1.37.1", "not given: using v1.37.1, because the installed kubelet is v1.37.1"),
        (Some("v1.36.9"), "v1.36.4", "not given: using v1.36.4, because the installed kubelet is v1.36.9"),
        (
            Some("v1.33.0"),
            "v1.34.4",
            "not given: using v1.34.4, the nearest this rkadm knows to the installed kubelet v1.33.0",
        ),
    ] {
        let facts = HostFacts { kubelet_version: kubelet.map(|text| text.parse().unwrap()), ..facts() };
        let ours = resolve_init(&Documents::none(), &InitFlags::default(), &facts).unwrap();
        assert_eq!(ours.kubernetes_version.to_string(), version);
        assert_eq!(ours.warnings[0].to_string(), format!("kubernetesVersion: {reason}"));
    }
}

#[test]
fn kube_proxys_default_mode_is_written_out_from_1_37_on() {
    for (version, mode) in [("v1.36.4", ""), ("v1.37.2", "iptables")] {
        let ours = with_files(&format!("{CLUSTER}kubernetesVersion: {version}\n")).unwrap();
        assert_eq!(ours.kube_proxy["mode"], mode, "{version}");
    }
}
