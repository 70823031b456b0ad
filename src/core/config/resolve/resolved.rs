//! The resolved configuration of `init`, and what the phases ask of it.

use crate::config::cidr::Cidr;
use crate::config::component::service_addresses;
use crate::config::error::Warning;
use crate::config::secret::{REDACTED, Secret};
use crate::config::types::{
    BootstrapToken, ClusterConfiguration, InitConfiguration, LocalApiEndpoint, NodeRegistration, Patches,
    Timeouts,
};
use crate::config::validate::names::split_host_port;
use crate::manifest::images;
use crate::pki::KeyAlgorithm;
use crate::text::sha256_hex;
use crate::version::{KubeVersion, MinorRow, NEWEST};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// Everything `init` needs to know, with nothing left to default or to check.
///
/// Serialising it redacts the secrets; a private file is written inside [`crate::config::secret::exposed`], and only
/// such a file can be read back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate choice of the user")]
pub struct ResolvedInit {
    /// The shared settings, as stored in ConfigMap `kubeadm-config`.
    pub cluster: ClusterConfiguration,
    /// This node; its `ignorePreflightErrors` has moved to the field of that name here.
    pub node_registration: NodeRegistration,
    /// Address of this node's API server.
    pub local_api_endpoint: LocalApiEndpoint,
    /// Tokens to create; a token without a value is generated when applied.
    pub bootstrap_tokens: Vec<BootstrapToken>,
    /// Key of uploaded certificates; `None` with `upload_certs` means generated when applied.
    pub certificate_key: Option<Secret>,
    /// Phases that are left out.
    pub skip_phases: Vec<String>,
    /// Directory of patches, absolute.
    pub patches_dir: Option<String>,
    /// How long steps may wait; every field is set.
    pub timeouts: Timeouts,
    /// `KubeletConfiguration`, as stored in ConfigMap `kubelet-config`.
    pub kubelet: Value,
    /// `KubeProxyConfiguration`, as stored in ConfigMap `kube-proxy`.
    pub kube_proxy: Value,
    /// Nobody gave a `KubeletConfiguration`: upgrades may generate it anew.
    pub kubelet_generated: bool,
    /// Nobody gave a `KubeProxyConfiguration`.
    pub kube_proxy_generated: bool,
    /// Upload the certificates for joining control planes.
    pub upload_certs: bool,
    /// Preflight checks whose errors become warnings.
    pub ignore_preflight_errors: Vec<String>,
    /// Show the plan only.
    pub dry_run: bool,
    /// Version of the control plane, the same as in `cluster`.
    pub kubernetes_version: KubeVersion,
    /// This host runs systemd-resolved.
    pub systemd_resolved: bool,
    /// Leave the token out of the result.
    pub skip_token_print: bool,
    /// Leave the certificate key out of the result.
    pub skip_certificate_key_print: bool,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// An image that a cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Image {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kube-proxy.
    Proxy,
    /// CoreDNS.
    CoreDns,
    /// The sandbox of every Pod.
    Pause,
    /// etcd.
    Etcd,
}

impl Image {
    /// Every image, in the order of `kubeadm config images list`.
    pub const ALL: [Self; 7] = [
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Proxy,
        Self::CoreDns,
        Self::Pause,
        Self::Etcd,
    ];
}

/// A field in which two configurations differ. Secrets show as redacted on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDifference {
    /// The field, `cluster.networking.podSubnet`.
    pub path: String,
    /// The value here; `None` when absent.
    pub ours: Option<Value>,
    /// The value there; `None` when absent.
    pub theirs: Option<Value>,
}

impl ResolvedInit {
    /// Name of this node.
    pub fn node_name(&self) -> &str {
        &self.node_registration.name
    }

    /// The settings of this node as the document that they came from, with every default.
    pub fn init_configuration(&self) -> InitConfiguration {
        InitConfiguration {
            bootstrap_tokens: self.bootstrap_tokens.clone(),
            dry_run: self.dry_run,
            node_registration: NodeRegistration {
                ignore_preflight_errors: self.ignore_preflight_errors.clone(),
                ..self.node_registration.clone()
            },
            local_api_endpoint: self.local_api_endpoint.clone(),
            certificate_key: self.certificate_key.clone(),
            skip_phases: self.skip_phases.clone(),
            patches: self.patches_dir.clone().map(|directory| Patches { directory }),
            timeouts: Some(self.timeouts.clone()),
        }
    }

    /// Directory of the certificates.
    pub fn cert_dir(&self) -> &str {
        &self.cluster.certificates_dir
    }

    /// URL of this node's own API server, `https://10.0.0.1:6443`.
    pub fn local_api_url(&self) -> String {
        https(&self.local_api_endpoint.advertise_address, self.local_api_endpoint.bind_port)
    }

    /// The loopback address that this node's etcd listens on, as the host of a URL: of the family of its own address.
    pub fn loopback(&self) -> &'static str {
        if self.local_api_endpoint.advertise_address.contains(':') { "[::1]" } else { "127.0.0.1" }
    }

    /// The kubelet of a control plane talks to its own API server, and not to the stable endpoint.
    pub fn kubelet_local_mode(&self) -> bool {
        !self.switched_off("ControlPlaneKubeletLocalMode")
    }

    /// The socket of the container runtime is kept in a file of the node, and not in a flag and an annotation.
    pub fn local_cri_socket(&self) -> bool {
        !self.switched_off("NodeLocalCRISocket")
    }

    /// Whether a gate that is on by default is off.
    fn switched_off(&self, gate: &str) -> bool {
        let spent = self.kubernetes_version.row().is_none_or(|row| row.spent_gates.contains(&gate));
        !spent && self.cluster.feature_gates.get(gate) == Some(&false)
    }

    /// The algorithm of new keys. A gate that is older than `encryptionAlgorithm` comes first.
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        match self.cluster.feature_gates.get("PublicKeysECDSA") {
            Some(true) => KeyAlgorithm::EcdsaP256,
            Some(false) => KeyAlgorithm::Rsa2048,
            None => {
                let asked = self.cluster.encryption_algorithm.map(|algorithm| algorithm.as_str().parse());
                asked.and_then(Result::ok).unwrap_or_default()
            }
        }
    }

    /// URL of the control plane for kubeconfigs: the stable endpoint, or this node's.
    pub fn control_plane_endpoint(&self) -> String {
        match split_host_port(&self.cluster.control_plane_endpoint) {
            Ok((host, port)) => https(&host, port.unwrap_or(self.local_api_endpoint.bind_port)),
            Err(_) => self.local_api_url(),
        }
    }

    /// The first range of Service addresses.
    pub fn service_subnet(&self) -> Option<Cidr> {
        service_addresses(&self.cluster)
    }

    /// The `n`th Service address, from 1; `None` past the end of the subnet.
    pub fn service_ip(&self, n: u64) -> Option<IpAddr> {
        self.service_subnet()?.nth(n)
    }

    /// Address of Service `kubernetes`, the first. Always there after [`super::resolve_init`], which refuses subnets with
    /// fewer than ten addresses.
    pub fn api_service_ip(&self) -> Option<IpAddr> {
        self.service_ip(1)
    }

    /// Address of Service `kube-dns`, the tenth. Always there, like the first.
    pub fn dns_ip(&self) -> Option<IpAddr> {
        self.service_ip(10)
    }

    /// The kubelet's configuration on this node: the cluster's, and the resolver file that Pods can use.
    pub fn node_kubelet(&self) -> Value {
        let mut kubelet = self.kubelet.clone();
        if self.systemd_resolved && kubelet.get("resolvConf").is_none() {
            // The stub resolver of systemd-resolved listens on loopback, which Pods cannot reach.
            kubelet["resolvConf"] = json!("/run/systemd/resolve/resolv.conf");
            crate::yaml::sort_keys(&mut kubelet);
        }
        kubelet
    }

    /// Full name of an image, `registry.k8s.io/etcd:3.7.0-0`.
    pub fn image(&self, image: Image) -> String {
        let cluster = &self.cluster;
        let row: &MinorRow = self.kubernetes_version.row().unwrap_or(NEWEST);
        match image {
            Image::ApiServer => images::kubernetes(cluster, "kube-apiserver"),
            Image::ControllerManager => images::kubernetes(cluster, "kube-controller-manager"),
            Image::Scheduler => images::kubernetes(cluster, "kube-scheduler"),
            Image::Proxy => images::kubernetes(cluster, "kube-proxy"),
            Image::Pause => format!("{}/pause:{}", cluster.image_repository, row.pause_tag),
            Image::Etcd => images::etcd(cluster, row.etcd_tag),
            Image::CoreDns => images::coredns(cluster, row.coredns_tag),
        }
    }

    /// Full names of all images, in the order of `kubeadm config images list`.
    pub fn images(&self) -> Vec<String> {
        Image::ALL.map(|image| self.image(image)).into()
    }

    /// SHA-256, as hex, of what the cluster becomes. A run may only be resumed with the same digest. How this run goes
    /// about it (skipped phases, ignored checks, time-outs, dry run, warnings) does not count; secrets count by their
    /// hash.
    pub fn digest(&self) -> String {
        sha256_hex(self.essence().to_string().as_bytes())
    }

    /// The fields in which another configuration differs, in the order of their names; empty if and only if the digests
    /// are the same.
    pub fn diff(&self, other: &Self) -> Vec<FieldDifference> {
        let mut found = Vec::new();
        differences(String::new(), Some(&self.essence()), Some(&other.essence()), &mut found);
        for difference in found.iter_mut().filter(|difference| difference.path.starts_with(SECRETS)) {
            for side in [&mut difference.ours, &mut difference.theirs] {
                if side.is_some() {
                    *side = Some(REDACTED.into());
                }
            }
        }
        found
    }

    /// The fields in which a configuration recorded in a journal differs. Secrets are redacted there, so they are not
    /// compared.
    pub fn diff_to_recorded(&self, recorded: &Value) -> Vec<FieldDifference> {
        let plain = |mut value: Value| {
            if let Value::Object(map) = &mut value {
                for field in RUNTIME.into_iter().chain([SECRETS]) {
                    map.remove(field);
                }
            }
            value
        };
        let ours = plain(serde_json::to_value(self).unwrap_or_default());
        let mut found = Vec::new();
        differences(String::new(), Some(&ours), Some(&plain(recorded.clone())), &mut found);
        found
    }

    /// What the digest is of, keys sorted.
    fn essence(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(map) = &mut value {
            for field in RUNTIME {
                map.remove(field);
            }
            let hash = |secret: &Secret| Value::from(sha256_hex(secret.expose().as_bytes()));
            let tokens = self.bootstrap_tokens.iter().map(|token| token.token.as_ref().map(hash));
            let mut secrets = Map::new();
            secrets.insert("bootstrapTokens".into(), tokens.collect());
            secrets.insert("certificateKey".into(), self.certificate_key.as_ref().map(hash).into());
            map.insert(SECRETS.into(), secrets.into());
        }
        crate::yaml::sort_keys(&mut value);
        value
    }
}

/// Fields of how a run goes about it, not of what the cluster becomes.
const RUNTIME: [&str; 7] = [
    "dryRun",
    "ignorePreflightErrors",
    "skipCertificateKeyPrint",
    "skipPhases",
    "skipTokenPrint",
    "timeouts",
    "warnings",
];
const SECRETS: &str = "secrets";

fn https(host: &str, port: u16) -> String {
    if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
}

fn differences(path: String, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<FieldDifference>) {
    if ours == theirs {
        return;
    }
    match (ours, theirs) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let mut keys: Vec<_> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(path, left.get(key), right.get(key), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for index in 0..left.len().max(right.len()) {
                differences(format!("{path}[{index}]"), left.get(index), right.get(index), found);
            }
        }
        _ => found.push(FieldDifference { path, ours: ours.cloned(), theirs: theirs.cloned() }),
    }
}
