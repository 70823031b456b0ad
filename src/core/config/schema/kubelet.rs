//! The fields of `KubeletConfiguration`, as kubeadm 1.37 accepts them in strict decoding.

use super::Type::{Any, Bool, Duration, DurationOrInt, Float, List, Map, Object, Quantity, Text, Time};
use super::{Field, INT32, INT64, UINT32, field};

const AUTHENTICATION_ANONYMOUS: &[Field] = &[field("enabled", Bool, "Allow anonymous requests").or("false")];

const AUTHENTICATION_WEBHOOK: &[Field] = &[
    field("cacheTTL", Duration, "How long an answer is kept"),
    field("enabled", Bool, "Check bearer tokens with the API server").or("true"),
];

const AUTHENTICATION_X509: &[Field] = &[field("clientCAFile", Text, "Path of the CA of client certificates")
    .or("ca.crt in the cluster's certificatesDir")];

const AUTHENTICATION: &[Field] = &[
    field("anonymous", Object(AUTHENTICATION_ANONYMOUS), "Anonymous requests"),
    field("webhook", Object(AUTHENTICATION_WEBHOOK), "Bearer tokens, checked by the API server"),
    field("x509", Object(AUTHENTICATION_X509), "Client certificates"),
];

const AUTHORIZATION_WEBHOOK: &[Field] = &[
    field("cacheAuthorizedTTL", Duration, "How long a permission is kept"),
    field("cacheUnauthorizedTTL", Duration, "How long a refusal is kept"),
];

const AUTHORIZATION: &[Field] = &[
    field("mode", Text, "AlwaysAllow or Webhook").or("Webhook"),
    field("webhook", Object(AUTHORIZATION_WEBHOOK), "Authorization by the API server"),
];

const CRASHLOOPBACKOFF: &[Field] =
    &[field("maxContainerRestartPeriod", Duration, "Longest wait between restarts")];

const LOGGING_OPTIONS_JSON: &[Field] = &[
    field("infoBufferSize", Quantity, "Buffer of informational entries, in bytes"),
    field("splitStream", Bool, "Write informational entries to stdout and errors to stderr"),
];

const LOGGING_OPTIONS_TEXT: &[Field] = &[
    field("infoBufferSize", Quantity, "Buffer of informational entries, in bytes"),
    field("splitStream", Bool, "Write informational entries to stdout and errors to stderr"),
];

const LOGGING_OPTIONS: &[Field] = &[
    field("json", Object(LOGGING_OPTIONS_JSON), "Options of format json"),
    field("text", Object(LOGGING_OPTIONS_TEXT), "Options of format text"),
];

/// Logging of any Kubernetes component; kube-proxy's is the same.
pub(super) const LOGGING: &[Field] = &[
    field("flushFrequency", DurationOrInt, "How often logs are flushed"),
    field("format", Text, "Format of log entries, text or json"),
    field("options", Object(LOGGING_OPTIONS), "Options of the log formats"),
    field("verbosity", UINT32, "Verbosity of logs"),
    field("vmodule", Any, "Verbosity by source file"),
];

const MEMORYSWAP: &[Field] = &[field("swapBehavior", Text, "NoSwap or LimitedSwap")];

const REGISTERWITHTAINTS: &[Field] = &[
    field("effect", Text, "NoSchedule, PreferNoSchedule or NoExecute"),
    field("key", Text, "Key of the taint"),
    field("timeAdded", Time, "When the taint was added"),
    field("value", Text, "Value of the taint"),
];

const RESERVEDMEMORY: &[Field] = &[
    field("limits", Map(&Quantity), "Memory and huge pages that are kept"),
    field("numaNode", INT32, "Number of the NUMA node"),
];

const SHUTDOWNGRACEPERIODBYPODPRIORITY: &[Field] = &[
    field("priority", INT32, "Priority the wait applies to"),
    field("shutdownGracePeriodSeconds", INT64, "The wait, in seconds"),
];

const TRACING: &[Field] = &[
    field("endpoint", Text, "Address of the collector"),
    field("samplingRatePerMillion", INT32, "Samples per million spans"),
];

const USERNAMESPACES: &[Field] = &[field("idsPerPod", INT64, "User identifiers of one Pod")];

/// The fields of `KubeletConfiguration`.
pub(super) const KUBELET: &[Field] = &[
    field("address", Text, "IP address the kubelet serves on"),
    field("allowedUnsafeSysctls", List(&Text), "Unsafe sysctls that Pods may set"),
    field("authentication", Object(AUTHENTICATION), "Who may talk to the kubelet's server"),
    field("authorization", Object(AUTHORIZATION), "What callers may do"),
    field("cgroupDriver", Text, "cgroupfs or systemd, as the container runtime").or("systemd"),
    field("cgroupRoot", Text, "Root cgroup of Pods"),
    field("cgroupsPerQOS", Bool, "One cgroup hierarchy for each quality of service"),
    field("clusterDNS", List(&Text), "IP addresses of the cluster's DNS").or("the tenth Service address"),
    field("clusterDomain", Text, "DNS domain of the cluster").or("the cluster's dnsDomain"),
    field("configMapAndSecretChangeDetectionStrategy", Text, "Get, Cache or Watch"),
    field("containerLogMaxFiles", INT32, "Log files kept for each container"),
    field("containerLogMaxSize", Text, "Size at which a container log is rotated"),
    field("containerLogMaxWorkers", INT32, "Log rotations at the same time"),
    field("containerLogMonitorInterval", Duration, "How often container logs are looked at"),
    field("containerRuntimeEndpoint", Text, "URL of the container runtime's socket"),
    field("contentType", Text, "Content type of requests to the API server"),
    field("cpuCFSQuota", Bool, "Enforce CPU limits with CFS quotas"),
    field("cpuCFSQuotaPeriod", Duration, "CFS quota period"),
    field("cpuManagerPolicy", Text, "Policy of the CPU manager"),
    field("cpuManagerPolicyOptions", Map(&Text), "Options of the CPU manager's policy"),
    field("cpuManagerReconcilePeriod", Duration, "How often the CPU manager reconciles"),
    field("crashLoopBackOff", Object(CRASHLOOPBACKOFF), "Restarts of crashing containers"),
    field("defaultPodSysctls", Map(&Text), "Sysctls of Pods that set none"),
    field("enableContentionProfiling", Bool, "Profile lock contention"),
    field("enableControllerAttachDetach", Bool, "Leave attaching volumes to the controller"),
    field("enableDebugFlagsHandler", Bool, "Serve /debug/flags"),
    field("enableDebuggingHandlers", Bool, "Serve logs, exec, attach and port-forward"),
    field("enableProfilingHandler", Bool, "Serve /debug/pprof"),
    field("enableServer", Bool, "Run the kubelet's server"),
    field("enableSystemLogHandler", Bool, "Serve /logs"),
    field("enableSystemLogQuery", Bool, "Allow queries of system logs"),
    field("enforceNodeAllocatable", List(&Text), "Levels at which allocatable resources are enforced"),
    field("eventBurst", INT32, "Events allowed above the rate"),
    field("eventRecordQPS", INT32, "Events per second"),
    field("evictionHard", Map(&Text), "Thresholds of immediate eviction"),
    field("evictionMaxPodGracePeriod", INT32, "Longest grace period of soft eviction, in seconds"),
    field("evictionMinimumReclaim", Map(&Text), "What an eviction frees at least"),
    field("evictionPressureTransitionPeriod", Duration, "How long a pressure condition is kept"),
    field("evictionSoft", Map(&Text), "Thresholds of eviction with a grace period"),
    field("evictionSoftGracePeriod", Map(&Text), "Grace periods of the soft thresholds"),
    field("failCgroupV1", Bool, "Refuse to start on cgroup v1"),
    field("failSwapOn", Bool, "Refuse to start with swap on"),
    field("featureGates", Map(&Bool), "Feature gates by name"),
    field("fileCheckFrequency", Duration, "How often static Pod files are looked at"),
    field("hairpinMode", Text, "promiscuous-bridge, hairpin-veth or none"),
    field("healthzBindAddress", Text, "IP address of the health server").or("127.0.0.1"),
    field("healthzPort", INT32, "Port of the health server; 0 turns it off").or("10248"),
    field("httpCheckFrequency", Duration, "How often the static Pod URL is looked at"),
    field("imageGCHighThresholdPercent", INT32, "Disk use that starts image clean-up"),
    field("imageGCLowThresholdPercent", INT32, "Disk use that ends image clean-up"),
    field("imageMaximumGCAge", Duration, "Age at which an unused image is removed"),
    field("imageMinimumGCAge", Duration, "Least age of an image that is removed"),
    field("imagePullCredentialsVerificationPolicy", Text, "Which images need credentials checked again"),
    field("imageServiceEndpoint", Text, "URL of the image service's socket"),
    field("iptablesDropBit", INT32, "Bit of the packet mark that asks for dropping"),
    field("iptablesMasqueradeBit", INT32, "Bit of the packet mark that asks for masquerading"),
    field("kernelMemcgNotification", Bool, "Use kernel notifications for memory thresholds"),
    field("kubeAPIBurst", INT32, "Queries of the API server allowed above the rate"),
    field("kubeAPIQPS", INT32, "Queries of the API server per second"),
    field("kubeReserved", Map(&Text), "Resources kept for Kubernetes daemons"),
    field("kubeReservedCgroup", Text, "cgroup of Kubernetes daemons"),
    field("kubeletCgroups", Text, "cgroup of the kubelet"),
    field("localStorageCapacityIsolation", Bool, "Isolate local ephemeral storage"),
    field("logging", Object(LOGGING), "How logs are written"),
    field("makeIPTablesUtilChains", Bool, "Create the kubelet's iptables chains"),
    field("maxOpenFiles", INT64, "Files the kubelet may open"),
    field("maxParallelImagePulls", INT32, "Image pulls at the same time"),
    field("maxPods", INT32, "Pods that may run on the node"),
    field("memoryManagerPolicy", Text, "Policy of the memory manager"),
    field("memoryReservationPolicy", Text, "Whether memory requests are protected by cgroups"),
    field("memorySwap", Object(MEMORYSWAP), "Use of swap by Pods"),
    field("memoryThrottlingFactor", Float, "Factor of the memory.high limit"),
    field("mergeDefaultEvictionSettings", Bool, "Merge eviction settings with the defaults"),
    field("nodeLeaseDurationSeconds", INT32, "Duration of the node's lease, in seconds"),
    field("nodeStatusMaxImages", INT32, "Images listed in the node's status"),
    field("nodeStatusReportFrequency", Duration, "How often an unchanged status is posted"),
    field("nodeStatusUpdateFrequency", Duration, "How often the status is computed"),
    field("oomScoreAdj", INT32, "OOM score adjustment of the process"),
    field("podCIDR", Text, "Pod range of a standalone kubelet"),
    field("podLogsDir", Text, "Directory of Pod logs"),
    field("podPidsLimit", INT64, "Processes of one Pod; -1 is no limit"),
    field("podsPerCore", INT32, "Pods for each CPU core; 0 is no limit"),
    field("port", INT32, "Port of the kubelet's server"),
    field("preloadedImagesVerificationAllowlist", List(&Text), "Preloaded images that need no credentials"),
    field("protectKernelDefaults", Bool, "Fail when kernel settings differ from the kubelet's"),
    field("providerID", Text, "Identifier of the machine at the cloud provider"),
    field("qosReserved", Map(&Text), "Resources kept for each quality of service"),
    field("readOnlyPort", INT32, "Port of the server without authentication; 0 turns it off"),
    field("registerNode", Bool, "Create the Node object"),
    field("registerWithTaints", List(&Object(REGISTERWITHTAINTS)), "Taints of the Node object when created"),
    field("registryBurst", INT32, "Pulls allowed above the rate"),
    field("registryPullQPS", INT32, "Pulls per second"),
    field("reservedMemory", List(&Object(RESERVEDMEMORY)), "Memory kept on each NUMA node"),
    field("reservedSystemCPUs", Text, "CPUs kept for the system"),
    field("resolvConf", Text, "Resolver file that Pods inherit")
        .or("that of systemd-resolved, where it runs"),
    field("rotateCertificates", Bool, "Renew the client certificate; kubeadm forces true").or("true"),
    field("runOnce", Bool, "Run the static Pods once, then exit"),
    field("runtimeRequestTimeout", Duration, "Time-out of calls to the container runtime"),
    field("seccompDefault", Bool, "Use RuntimeDefault seccomp for all workloads"),
    field("serializeImagePulls", Bool, "Pull one image at a time"),
    field("serverTLSBootstrap", Bool, "Request the serving certificate from the API server"),
    field("showHiddenMetricsForVersion", Text, "Minor whose hidden metrics are shown"),
    field("shutdownGracePeriod", Duration, "How long a node shutdown waits for Pods"),
    field(
        "shutdownGracePeriodByPodPriority",
        List(&Object(SHUTDOWNGRACEPERIODBYPODPRIORITY)),
        "Waits of a node shutdown by Pod priority",
    ),
    field("shutdownGracePeriodCriticalPods", Duration, "Part of the wait kept for critical Pods"),
    field("singleProcessOOMKill", Bool, "Kill one process, not the whole container, when out of memory"),
    field("staticPodPath", Text, "Directory of static Pod manifests").or("/etc/kubernetes/manifests"),
    field("staticPodURL", Text, "URL of static Pod manifests"),
    field("staticPodURLHeader", Map(&List(&Text)), "HTTP headers for the static Pod URL"),
    field("streamingConnectionIdleTimeout", Duration, "How long an idle stream is kept"),
    field("syncFrequency", Duration, "How often Pods are synchronised"),
    field("systemCgroups", Text, "cgroup of other system processes"),
    field("systemReserved", Map(&Text), "Resources kept for the system"),
    field("systemReservedCgroup", Text, "cgroup of system daemons"),
    field("tlsCertFile", Text, "Path of the serving certificate"),
    field("tlsCipherSuites", List(&Text), "Cipher suites of the server"),
    field("tlsCurvePreferences", List(&INT32), "Numbers of the key-exchange groups, in order"),
    field("tlsMinVersion", Text, "Least TLS version of the server"),
    field("tlsPrivateKeyFile", Text, "Path of the serving key"),
    field("topologyManagerPolicy", Text, "Policy of the topology manager"),
    field("topologyManagerPolicyOptions", Map(&Text), "Options of the topology manager's policy"),
    field("topologyManagerScope", Text, "container or pod"),
    field("tracing", Object(TRACING), "OpenTelemetry tracing"),
    field("userNamespaces", Object(USERNAMESPACES), "User namespaces of Pods"),
    field("volumePluginDir", Text, "Directory of volume plugins"),
    field("volumeStatsAggPeriod", Duration, "How often disk use of volumes is computed"),
];
