//! The fields of `kubeadm.k8s.io/v1beta3`, which is read to be migrated only. What did not change is taken from the newer
//! version.

use super::Type::{Duration, List, Map, Object, Text};
use super::kubeadm::{
    BOOTSTRAP_TOKENS, BY_FILE, BY_TOKEN, JOIN_CONTROL_PLANE, LOCAL_API_ENDPOINT, NETWORKING, PATCHES,
    PULL_POLICY, SKIP_PHASES, TAINTS, VOLUMES,
};
use super::{Field, KindSchema, field, required};

/// The older version.
pub(crate) const API_VERSION: &str = "kubeadm.k8s.io/v1beta3";

const fn kind(kind: &'static str, doc: &'static str, fields: &'static [Field]) -> KindSchema {
    KindSchema { api_version: API_VERSION, kind, doc, fields }
}

/// Every kind that this version has.
pub(crate) static KINDS: [KindSchema; 3] = [
    kind("InitConfiguration", "Settings of init on the first control plane", INIT),
    kind("ClusterConfiguration", "Settings shared by all control planes", CLUSTER),
    kind("JoinConfiguration", "Settings of join", JOIN),
];

/// A name that repeats cannot be written, and there is no order.
const ARGS: super::Type = Map(&Text);

const NODE_REGISTRATION: &[Field] = &[
    field("name", Text, "Name of the Node object"),
    field("criSocket", Text, "Socket of the container runtime"),
    field("taints", TAINTS, "Taints of the node"),
    field("kubeletExtraArgs", ARGS, "Command-line arguments of the kubelet"),
    field("ignorePreflightErrors", List(&Text), "Preflight checks whose errors become warnings"),
    field("imagePullPolicy", PULL_POLICY, "When images are pulled ahead"),
];

const INIT: &[Field] = &[
    BOOTSTRAP_TOKENS,
    field("nodeRegistration", Object(NODE_REGISTRATION), "This node"),
    field("localAPIEndpoint", Object(LOCAL_API_ENDPOINT), "Address of this node's API server"),
    field("certificateKey", Text, "Key that encrypts uploaded certificates"),
    SKIP_PHASES,
    field("patches", PATCHES, "Patches of components"),
];

const EXTRA_ARGS: Field = field("extraArgs", ARGS, "Arguments that override or extend the default ones");
const EXTRA_VOLUMES: Field = field("extraVolumes", VOLUMES, "Host paths mounted into the pod");
const COMPONENT: &[Field] = &[EXTRA_ARGS, EXTRA_VOLUMES];

const API_SERVER: &[Field] = &[
    EXTRA_ARGS,
    EXTRA_VOLUMES,
    field("certSANs", List(&Text), "Extra names of the serving certificate"),
    field("timeoutForControlPlane", Duration, "The API server to become healthy"),
];

const ETCD: &[Field] = &[
    field(
        "local",
        Object(&[
            field("imageRepository", Text, "Registry of the image"),
            field("imageTag", Text, "Tag of the image"),
            field("dataDir", Text, "Data directory on the host"),
            EXTRA_ARGS,
            field("serverCertSANs", List(&Text), "Extra names of the server certificate"),
            field("peerCertSANs", List(&Text), "Extra names of the peer certificate"),
        ]),
        "etcd as a static pod",
    ),
    field(
        "external",
        Object(&[
            required("endpoints", List(&Text), "Client URLs of the members"),
            field("caFile", Text, "CA that verifies the members"),
            field("certFile", Text, "Client certificate"),
            field("keyFile", Text, "Client key"),
        ]),
        "etcd run by someone else",
    ),
];

const CLUSTER: &[Field] = &[
    field("etcd", Object(ETCD), "Where etcd runs"),
    NETWORKING,
    field("kubernetesVersion", Text, "Version of the control plane"),
    field("controlPlaneEndpoint", Text, "Stable address of the control plane"),
    field("apiServer", Object(API_SERVER), "Additions to kube-apiserver"),
    field("controllerManager", Object(COMPONENT), "Additions to kube-controller-manager"),
    field("scheduler", Object(COMPONENT), "Additions to kube-scheduler"),
    field(
        "dns",
        Object(&[
            field("imageRepository", Text, "Registry of the image"),
            field("imageTag", Text, "Tag of the image"),
        ]),
        "The CoreDNS addon",
    ),
    field("certificatesDir", Text, "Directory of certificates"),
    field("imageRepository", Text, "Registry of all images"),
    field("featureGates", Map(&super::Type::Bool), "kubeadm's feature gates by name"),
    field("clusterName", Text, "Name of the cluster in kubeconfigs"),
];

const JOIN: &[Field] = &[
    field("nodeRegistration", Object(NODE_REGISTRATION), "This node"),
    field("caCertPath", Text, "Where the CA is written"),
    required(
        "discovery",
        Object(&[
            BY_TOKEN,
            BY_FILE,
            field("tlsBootstrapToken", Text, "Token of the TLS bootstrap"),
            field("timeout", Duration, "A joining node to validate the API server"),
        ]),
        "How the cluster is found and trusted",
    ),
    JOIN_CONTROL_PLANE,
    SKIP_PHASES,
    field("patches", PATCHES, "Patches of components"),
];
