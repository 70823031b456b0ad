//! The fields of `KubeProxyConfiguration`, as kubeadm 1.37 accepts them in strict decoding.

use super::Type::{Bool, Duration, Float, List, Map, Object, Text};
use super::kubelet::LOGGING;
use super::{Field, INT32, field};

const CLIENTCONNECTION: &[Field] = &[
    field("acceptContentTypes", Text, "Accept header of requests"),
    field("burst", INT32, "Queries allowed above the rate"),
    field("contentType", Text, "Content type of requests"),
    field("kubeconfig", Text, "Path of the kubeconfig").or("/var/lib/kube-proxy/kubeconfig.conf"),
    field("qps", Float, "Queries per second"),
];

const CONNTRACK: &[Field] = &[
    field("maxPerCore", INT32, "Tracked connections per CPU core; 0 leaves the limit as it is"),
    field("min", INT32, "Least number of tracked connections"),
    field("tcpBeLiberal", Bool, "Accept TCP packets out of the window"),
    field("tcpCloseWaitTimeout", Duration, "How long a half-closed TCP entry is kept"),
    field("tcpEstablishedTimeout", Duration, "How long an idle TCP entry is kept"),
    field("udpStreamTimeout", Duration, "How long a UDP stream entry is kept"),
    field("udpTimeout", Duration, "How long an unanswered UDP entry is kept"),
];

const DETECTLOCAL: &[Field] = &[
    field("bridgeInterface", Text, "Name of the bridge of local Pods"),
    field("interfaceNamePrefix", Text, "Prefix of the interfaces of local Pods"),
];

const IPTABLES: &[Field] = &[
    field("localhostNodePorts", Bool, "Serve NodePorts on localhost"),
    field("masqueradeAll", Bool, "Masquerade all traffic to Service addresses"),
    field("masqueradeBit", INT32, "Bit of the packet mark that asks for masquerading"),
    field("minSyncPeriod", Duration, "Least time between two rewrites of the rules"),
    field("syncPeriod", Duration, "How often rules are refreshed"),
];

const IPVS: &[Field] = &[
    field("excludeCIDRs", List(&Text), "Ranges that clean-up leaves alone"),
    field("minSyncPeriod", Duration, "Least time between two rewrites of the rules"),
    field("scheduler", Text, "IPVS scheduler"),
    field("strictARP", Bool, "Set arp_ignore and arp_announce for strict ARP"),
    field("syncPeriod", Duration, "How often rules are refreshed"),
    field("tcpFinTimeout", Duration, "IPVS time-out after a FIN"),
    field("tcpTimeout", Duration, "IPVS time-out of idle TCP sessions"),
    field("udpTimeout", Duration, "IPVS time-out of UDP packets"),
];

const NFTABLES: &[Field] = &[
    field("masqueradeAll", Bool, "Masquerade all traffic to Service addresses"),
    field("masqueradeBit", INT32, "Bit of the packet mark that asks for masquerading"),
    field("minSyncPeriod", Duration, "Least time between two rewrites of the rules"),
    field("syncPeriod", Duration, "How often rules are refreshed"),
];

const WINKERNEL: &[Field] = &[
    field("enableDSR", Bool, "Direct server return"),
    field("forwardHealthCheckVip", Bool, "Forward health checks to the Service address"),
    field("networkName", Text, "HNS network"),
    field("rootHnsEndpointName", Text, "Endpoint of the root network"),
    field("sourceVip", Text, "Address of the source endpoint"),
];

/// The fields of `KubeProxyConfiguration`.
pub(super) const KUBE_PROXY: &[Field] = &[
    field("bindAddress", Text, "IP address the proxy serves on").or("all addresses of the node's family"),
    field("bindAddressHardFail", Bool, "Treat a failure to bind a port as fatal"),
    field("clientConnection", Object(CLIENTCONNECTION), "How the API server is reached"),
    field("clusterCIDR", Text, "Range of Pod addresses of the cluster").or("the cluster's podSubnet"),
    field("configSyncPeriod", Duration, "How often configuration is refreshed from the API server"),
    field("conntrack", Object(CONNTRACK), "Connection tracking"),
    field("detectLocal", Object(DETECTLOCAL), "How local traffic is told from other traffic"),
    field("detectLocalMode", Text, "Method of detecting local traffic"),
    field("enableProfiling", Bool, "Serve profiles under /debug/pprof"),
    field("featureGates", Map(&Bool), "Feature gates by name"),
    field("healthzBindAddress", Text, "Address of the health server"),
    field("hostnameOverride", Text, "Name used instead of the host name"),
    field("iptables", Object(IPTABLES), "Settings of mode iptables"),
    field("ipvs", Object(IPVS), "Settings of mode ipvs"),
    field("logging", Object(LOGGING), "How logs are written"),
    field("metricsBindAddress", Text, "Address of the metrics server"),
    field("mode", Text, "Proxy mode: iptables, nftables, ipvs (deprecated) or kernelspace").or("iptables"),
    field("nftables", Object(NFTABLES), "Settings of mode nftables"),
    field("nodePortAddresses", List(&Text), "Ranges of node addresses that serve NodePorts"),
    field("oomScoreAdj", INT32, "OOM score adjustment of the process"),
    field("portRange", Text, "Unused"),
    field("showHiddenMetricsForVersion", Text, "Minor whose hidden metrics are shown"),
    field("windowsRunAsService", Bool, "Run as a Windows service"),
    field("winkernel", Object(WINKERNEL), "Settings of mode kernelspace"),
];
