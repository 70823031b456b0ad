//! The fields of kubeadm's own kinds, `kubeadm.k8s.io/v1beta4`.

use super::Type::{Any, Bool, Duration, Enum, List, Map, Object, Port, Text, Time};
use super::{Field, UINT32, field, required};

const ARGS: super::Type = List(&Object(&[
    required("name", Text, "Name of the flag, without dashes"),
    field("value", Text, "Value of the flag"),
]));

const ENVS: super::Type = List(&Object(&[
    required("name", Text, "Name of the variable"),
    field("value", Text, "Value of the variable"),
    field("valueFrom", Map(&Any), "Source of the value, as in a Pod"),
]));

pub(super) const VOLUMES: super::Type = List(&Object(&[
    required("name", Text, "Name of the volume"),
    required("hostPath", Text, "Path on the host"),
    required("mountPath", Text, "Path in the container"),
    field("readOnly", Bool, "Mount without write access"),
    field("pathType", Enum(PATH_TYPES), "What must exist, or is made, at the host path"),
]));

const PATH_TYPES: &[&str] =
    &["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

pub(super) const TAINTS: super::Type = List(&Object(&[
    required("key", Text, "Key of the taint"),
    field("value", Text, "Value of the taint"),
    required("effect", Enum(&["NoSchedule", "PreferNoSchedule", "NoExecute"]), "What happens to Pods"),
    field("timeAdded", Time, "When the taint was added"),
]));

pub(super) const PULL_POLICY: super::Type = Enum(&["", "Always", "IfNotPresent", "Never"]);

const NODE_REGISTRATION: &[Field] = &[
    field("name", Text, "Name of the Node object").or("the host name"),
    field("criSocket", Text, "Socket of the container runtime, unix:///PATH")
        .or("the one that is there, else containerd's"),
    field("taints", TAINTS, "Taints of the node; [] means none").or("the usual taint, on a control plane"),
    field("kubeletExtraArgs", ARGS, "Command-line arguments of the kubelet"),
    field("ignorePreflightErrors", List(&Text), "Preflight checks whose errors become warnings"),
    field("imagePullPolicy", PULL_POLICY, "When images are pulled ahead").or("IfNotPresent"),
    field("imagePullSerial", Bool, "One pull at a time").or("true"),
];

pub(super) const LOCAL_API_ENDPOINT: &[Field] = &[
    field("advertiseAddress", Text, "IP address the API server advertises").or("that of the default route"),
    field("bindPort", Port, "TCP port of the API server").or("6443"),
];

pub(super) const PATCHES: super::Type =
    Object(&[field("directory", Text, "Directory of files named target[suffix][+patchtype].extension")]);

const TIMEOUTS: super::Type = Object(&[
    field(
        "controlPlaneComponentHealthCheck",
        Duration,
        "How long a component of the control plane may take to become healthy",
    )
    .or("4m"),
    field("kubeletHealthCheck", Duration, "How long the kubelet may take to become healthy").or("4m"),
    field("kubernetesAPICall", Duration, "How long a call to the API server may take, with its retries")
        .or("1m"),
    field("etcdAPICall", Duration, "How long a call to etcd may take, with its retries").or("2m"),
    field("tlsBootstrap", Duration, "How long a joining kubelet may take to get its certificate").or("5m"),
    field("discovery", Duration, "How long a joining node may take to find and validate the API server")
        .or("5m"),
    field("upgradeManifests", Duration, "How long an upgrade may take to replace a static pod").or("5m"),
]);

pub(super) const SKIP_PHASES: Field = field("skipPhases", List(&Text), "Phases that are left out");
const DRY_RUN: Field = field("dryRun", Bool, "Show the plan only");
const IGNORE_PREFLIGHT: Field =
    field("ignorePreflightErrors", List(&Text), "Preflight checks whose errors become warnings");

pub(super) const BOOTSTRAP_TOKENS: Field = field(
    "bootstrapTokens",
    List(&Object(&[
        field("token", Text, "The token, [a-z0-9]{6}.[a-z0-9]{16}").or("a generated one"),
        field("description", Text, "What the token is for"),
        field("ttl", Duration, "Time to live; 0s means forever").or("24h"),
        field("expires", Time, "End of life; excludes ttl"),
        field("usages", List(&Enum(&["signing", "authentication"])), "What the token may be used for")
            .or("signing and authentication"),
        field("groups", List(&Text), "Groups the token authenticates as")
            .or("the group that joining nodes need"),
    ])),
    "Tokens for joining nodes",
);

/// The fields of `InitConfiguration`.
pub(super) const INIT: &[Field] = &[
    BOOTSTRAP_TOKENS,
    DRY_RUN,
    field("nodeRegistration", Object(NODE_REGISTRATION), "This node"),
    field("localAPIEndpoint", Object(LOCAL_API_ENDPOINT), "Address of this node's API server"),
    field("certificateKey", Text, "Key that encrypts uploaded certificates: 32 bytes as hex"),
    SKIP_PHASES,
    field("patches", PATCHES, "Patches of components"),
    field("timeouts", TIMEOUTS, "How long the steps may wait"),
];

const EXTRA_ARGS: Field = field("extraArgs", ARGS, "Arguments that override or extend the default ones");
const EXTRA_VOLUMES: Field = field("extraVolumes", VOLUMES, "Host paths mounted into the pod");
const EXTRA_ENVS: Field = field("extraEnvs", ENVS, "Extra environment variables");

const COMPONENT: &[Field] = &[EXTRA_ARGS, EXTRA_VOLUMES, EXTRA_ENVS];

const API_SERVER: &[Field] = &[
    EXTRA_ARGS,
    EXTRA_VOLUMES,
    EXTRA_ENVS,
    field("certSANs", List(&Text), "Extra names of the serving certificate"),
];

const ETCD: &[Field] = &[
    field(
        "local",
        Object(&[
            field("imageRepository", Text, "Registry of the image").or("that of the cluster"),
            field("imageTag", Text, "Tag of the image; when set, upgrades leave etcd alone")
                .or("that of the Kubernetes version"),
            field("dataDir", Text, "Data directory on the host").or("/var/lib/etcd"),
            EXTRA_ARGS,
            EXTRA_ENVS,
            field("serverCertSANs", List(&Text), "Extra names of the server certificate"),
            field("peerCertSANs", List(&Text), "Extra names of the peer certificate"),
        ]),
        "etcd as a static pod",
    )
    .or("used when external is not given"),
    field(
        "external",
        Object(&[
            required("endpoints", List(&Text), "Client URLs of the members"),
            field("httpEndpoints", List(&Text), "URLs of the members' HTTP listeners, when apart")
                .or("the same as endpoints"),
            field("caFile", Text, "CA that verifies the members"),
            field("certFile", Text, "Client certificate"),
            field("keyFile", Text, "Client key"),
        ]),
        "etcd run by someone else",
    ),
];

pub(super) const NETWORKING: Field = field(
    "networking",
    Object(&[
        field("serviceSubnet", Text, "Range of Service addresses").or("10.96.0.0/12"),
        field("podSubnet", Text, "Range of Pod addresses; empty means not allocated"),
        field("dnsDomain", Text, "Domain of Service names").or("cluster.local"),
    ]),
    "Subnets and DNS domain",
);

/// The fields of `ClusterConfiguration`.
pub(super) const CLUSTER: &[Field] = &[
    field("etcd", Object(ETCD), "Where etcd runs"),
    NETWORKING,
    field("kubernetesVersion", Text, "Version of the control plane")
        .or("the newest known that fits the kubelet"),
    field("controlPlaneEndpoint", Text, "Stable address of the control plane, HOST[:PORT]")
        .or("the address of the first node"),
    field("apiServer", Object(API_SERVER), "Additions to kube-apiserver"),
    field("controllerManager", Object(COMPONENT), "Additions to kube-controller-manager"),
    field("scheduler", Object(COMPONENT), "Additions to kube-scheduler"),
    field(
        "dns",
        Object(&[
            field("imageRepository", Text, "Registry of the image").or("that of the cluster"),
            field("imageTag", Text, "Tag of the image; when set, upgrades leave it alone")
                .or("that of the Kubernetes version"),
            field("disabled", Bool, "Do not install CoreDNS"),
        ]),
        "The CoreDNS addon",
    ),
    field("proxy", Object(&[field("disabled", Bool, "Do not install kube-proxy")]), "The kube-proxy addon"),
    field("certificatesDir", Text, "Directory of certificates").or("/etc/kubernetes/pki"),
    field("imageRepository", Text, "Registry of all images").or("registry.k8s.io"),
    field("featureGates", Map(&Bool), "kubeadm's feature gates by name"),
    field("clusterName", Text, "Name of the cluster in kubeconfigs").or("kubernetes"),
    field(
        "encryptionAlgorithm",
        Enum(&["", "RSA-2048", "RSA-3072", "RSA-4096", "ECDSA-P256", "ECDSA-P384"]),
        "Algorithm of generated keys",
    )
    .or("RSA-2048"),
    field("certificateValidityPeriod", Duration, "Validity of leaf certificates").or("8760h"),
    field("caCertificateValidityPeriod", Duration, "Validity of CAs").or("87600h"),
];

pub(super) const BY_TOKEN: Field = field(
    "bootstrapToken",
    Object(&[
        required("token", Text, "The token that signed cluster-info"),
        field("apiServerEndpoint", Text, "Address of an API server, HOST:PORT"),
        field("caCertHashes", List(&Text), "Pins of the CA's public key, sha256:HEX"),
        field("unsafeSkipCAVerification", Bool, "Trust any CA"),
    ]),
    "Discovery by a bootstrap token",
);

pub(super) const BY_FILE: Field = field(
    "file",
    Object(&[required("kubeConfigPath", Text, "Path or https URL of the kubeconfig")]),
    "Discovery by a kubeconfig",
);

pub(super) const JOIN_CONTROL_PLANE: Field = field(
    "controlPlane",
    Object(&[
        field("localAPIEndpoint", Object(LOCAL_API_ENDPOINT), "Address of this node's API server"),
        field("certificateKey", Text, "Key that decrypts uploaded certificates: 32 bytes as hex"),
    ]),
    "Present when the node becomes a control plane",
);

/// The fields of `JoinConfiguration`.
pub(super) const JOIN: &[Field] = &[
    DRY_RUN,
    field("nodeRegistration", Object(NODE_REGISTRATION), "This node"),
    field("caCertPath", Text, "Where the CA is written").or("/etc/kubernetes/pki/ca.crt"),
    required(
        "discovery",
        Object(&[
            BY_TOKEN,
            BY_FILE,
            field("tlsBootstrapToken", Text, "Token of the TLS bootstrap").or("the discovery token"),
        ]),
        "How the cluster is found and trusted",
    ),
    JOIN_CONTROL_PLANE,
    SKIP_PHASES,
    field("patches", PATCHES, "Patches of components"),
    field("timeouts", TIMEOUTS, "How long the steps may wait"),
];

/// The fields of `ResetConfiguration`.
pub(super) const RESET: &[Field] = &[
    field("cleanupTmpDir", Bool, "Remove /etc/kubernetes/tmp too"),
    field("certificatesDir", Text, "Directory of the certificates that are removed")
        .or("/etc/kubernetes/pki"),
    field("criSocket", Text, "Socket of the container runtime")
        .or("the one that is there, else containerd's"),
    DRY_RUN,
    field("force", Bool, "Do not ask"),
    IGNORE_PREFLIGHT,
    SKIP_PHASES,
    field(
        "unmountFlags",
        List(&Enum(&["MNT_FORCE", "MNT_DETACH", "MNT_EXPIRE", "UMOUNT_NOFOLLOW"])),
        "Flags of unmount2(2) for directories under the kubelet's",
    ),
    field("timeouts", TIMEOUTS, "How long the steps may wait"),
];

const KUBERNETES_VERSION: Field = field("kubernetesVersion", Text, "Target version");
const ALLOW_EXPERIMENTAL: Field = field("allowExperimentalUpgrades", Bool, "Allow alpha and beta targets");
const ALLOW_RC: Field = field("allowRCUpgrades", Bool, "Allow release candidates as targets");
const RENEWAL: Field = field("certificateRenewal", Bool, "Renew certificates").or("true");
const ETCD_UPGRADE: Field = field("etcdUpgrade", Bool, "Upgrade etcd too").or("true");
const PRINT_CONFIG: Field = field("printConfig", Bool, "Show the configuration that is used");
const PULL: Field = field("imagePullPolicy", PULL_POLICY, "When images are pulled ahead").or("IfNotPresent");
const PULL_SERIAL: Field = field("imagePullSerial", Bool, "One pull at a time").or("true");

/// The fields of `UpgradeConfiguration`.
pub(super) const UPGRADE: &[Field] = &[
    field(
        "apply",
        Object(&[
            KUBERNETES_VERSION,
            ALLOW_EXPERIMENTAL,
            ALLOW_RC,
            RENEWAL,
            DRY_RUN,
            ETCD_UPGRADE,
            field("forceUpgrade", Bool, "Skip the version rules that may be skipped"),
            IGNORE_PREFLIGHT,
            field("patches", PATCHES, "Patches of components"),
            PRINT_CONFIG,
            SKIP_PHASES,
            PULL,
            PULL_SERIAL,
        ]),
        "Settings of upgrade apply",
    ),
    field(
        "diff",
        Object(&[KUBERNETES_VERSION, field("contextLines", UINT32, "Lines of context around a change")]),
        "Settings of upgrade diff",
    ),
    field(
        "node",
        Object(&[
            RENEWAL,
            DRY_RUN,
            ETCD_UPGRADE,
            IGNORE_PREFLIGHT,
            SKIP_PHASES,
            field("patches", PATCHES, "Patches of components"),
            PULL,
            PULL_SERIAL,
        ]),
        "Settings of upgrade node",
    ),
    field(
        "plan",
        Object(&[
            KUBERNETES_VERSION,
            ALLOW_EXPERIMENTAL,
            ALLOW_RC,
            DRY_RUN,
            ETCD_UPGRADE,
            IGNORE_PREFLIGHT,
            PRINT_CONFIG,
        ]),
        "Settings of upgrade plan",
    ),
    field("timeouts", TIMEOUTS, "How long the steps may wait"),
];
