//! Flags that newer minors of a program warn about or do not have.
//!
//! Found by giving each program of 1.34 to 1.37, and etcd 3.5 to 3.7, each flag that any of them has: what `--help` says
//! is not all of it, as deprecated flags are hidden, and etcd 3.7 still explains two that it does not take.

use super::Program;

/// A flag that is on its way out, or gone.
///
/// Minors are the program's own: 37 of v1.37, 7 of etcd 3.7.
#[derive(Debug, PartialEq, Eq)]
pub struct OldFlag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Whose flag it is.
    pub program: Program,
    /// It has no effect or will go, from this minor on; the oldest known minor stands for all before it, too.
    pub deprecated_in: Option<u64>,
    /// The first minor that does not start with it.
    pub gone_in: Option<u64>,
    /// What to use instead, as part of a sentence.
    pub instead: Option<&'static str>,
}

/// Flags that a program has in `from_minor` or had until then, and not in `to_minor`.
pub fn removed_flags(
    program: impl Into<Program>,
    from_minor: u64,
    to_minor: u64,
) -> impl Iterator<Item = &'static OldFlag> {
    of(program.into())
        .filter(move |flag| flag.gone_in.is_some_and(|minor| from_minor < minor && minor <= to_minor))
}

/// Flags that a program still takes in `to_minor`, but should not be given any more.
pub fn deprecated_flags(
    program: impl Into<Program>,
    to_minor: u64,
) -> impl Iterator<Item = &'static OldFlag> {
    of(program.into()).filter(move |flag| {
        flag.deprecated_in.is_some_and(|minor| minor <= to_minor)
            && flag.gone_in.is_none_or(|minor| to_minor < minor)
    })
}

fn of(program: Program) -> impl Iterator<Item = &'static OldFlag> {
    [&ETCD[..], &KUBERNETES[..], &SETTINGS[..]]
        .into_iter()
        .flatten()
        .filter(move |flag| flag.program == program)
}

const fn old(
    program: Program,
    name: &'static str,
    deprecated_in: Option<u64>,
    gone_in: Option<u64>,
    instead: Option<&'static str>,
) -> OldFlag {
    OldFlag { name, program, deprecated_in, gone_in, instead }
}

/// etcd 3.6 has the flag under both names, 3.7 has the new one alone.
const fn moved(name: &'static str, instead: &'static str) -> OldFlag {
    old(Program::Etcd, name, Some(6), Some(7), Some(instead))
}

const fn setting(name: &'static str) -> OldFlag {
    old(Program::Kubelet, name, Some(34), None, Some("a field of the kubelet's configuration"))
}

static ETCD: [OldFlag; 35] = [
    old(Program::Etcd, "discovery", None, Some(7), Some("--discovery-token and --discovery-endpoints")),
    old(Program::Etcd, "discovery-proxy", None, Some(7), None),
    old(Program::Etcd, "enable-v2", Some(5), Some(6), None),
    moved("experimental-bootstrap-defrag-threshold-megabytes", "--bootstrap-defrag-threshold-megabytes"),
    moved("experimental-compact-hash-check-enabled", "CompactHashCheck in --feature-gates"),
    moved("experimental-compact-hash-check-time", "--compact-hash-check-time"),
    moved("experimental-compaction-batch-limit", "--compaction-batch-limit"),
    moved("experimental-compaction-sleep-interval", "--compaction-sleep-interval"),
    moved("experimental-corrupt-check-time", "--corrupt-check-time"),
    moved("experimental-distributed-tracing-address", "--distributed-tracing-address"),
    moved("experimental-distributed-tracing-instance-id", "--distributed-tracing-instance-id"),
    moved("experimental-distributed-tracing-sampling-rate", "--distributed-tracing-sampling-rate"),
    moved("experimental-distributed-tracing-service-name", "--distributed-tracing-service-name"),
    moved("experimental-downgrade-check-time", "--downgrade-check-time"),
    moved("experimental-enable-distributed-tracing", "--enable-distributed-tracing"),
    moved("experimental-enable-lease-checkpoint", "LeaseCheckpoint in --feature-gates"),
    moved("experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist in --feature-gates"),
    old(Program::Etcd, "experimental-enable-v2v3", Some(5), Some(6), None),
    moved("experimental-initial-corrupt-check", "InitialCorruptCheck in --feature-gates"),
    moved("experimental-memory-mlock", "--memory-mlock"),
    moved("experimental-peer-skip-client-san-verification", "--peer-skip-client-san-verification"),
    moved("experimental-snapshot-catchup-entries", "--snapshot-catchup-entries"),
    moved("experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag in --feature-gates"),
    moved(
        "experimental-txn-mode-write-with-shared-buffer",
        "TxnModeWriteWithSharedBuffer in --feature-gates",
    ),
    moved("experimental-warning-apply-duration", "--warning-apply-duration"),
    moved("experimental-warning-unary-request-duration", "--warning-unary-request-duration"),
    moved("experimental-watch-progress-notify-interval", "--watch-progress-notify-interval"),
    old(Program::Etcd, "max-snapshots", Some(6), None, None),
    old(Program::Etcd, "proxy", Some(5), Some(6), None),
    old(Program::Etcd, "proxy-dial-timeout", Some(5), Some(6), None),
    old(Program::Etcd, "proxy-failure-wait", Some(5), Some(6), None),
    old(Program::Etcd, "proxy-read-timeout", Some(5), Some(6), None),
    old(Program::Etcd, "proxy-refresh-interval", Some(5), Some(6), None),
    old(Program::Etcd, "proxy-write-timeout", Some(5), Some(6), None),
    old(Program::Etcd, "v2-deprecation", Some(6), None, None),
];

/// The flags of Kubernetes' programs, but for the kubelet's settings.
static KUBERNETES: [OldFlag; 40] = [
    old(
        Program::ApiServer,
        "admission-control",
        Some(34),
        None,
        Some("--enable-admission-plugins or --disable-admission-plugins"),
    ),
    old(Program::ApiServer, "apiserver-count", Some(34), None, None),
    old(
        Program::ApiServer,
        "audit-webhook-batch-initial-backoff",
        Some(34),
        None,
        Some("--audit-webhook-initial-backoff"),
    ),
    old(Program::ApiServer, "default-watch-cache-size", Some(34), None, None),
    old(Program::ApiServer, "kubelet-port", Some(34), None, None),
    old(Program::ApiServer, "kubelet-read-only-port", Some(34), None, None),
    old(Program::ControllerManager, "allow-untagged-cloud", Some(34), None, None),
    old(Program::ControllerManager, "concurrent-service-syncs", None, Some(37), None),
    old(Program::ControllerManager, "node-sync-period", Some(34), None, None),
    old(Program::Scheduler, "contention-profiling", Some(34), None, Some("a file for --config")),
    old(Program::Scheduler, "kube-api-burst", Some(34), None, Some("a file for --config")),
    old(Program::Scheduler, "kube-api-content-type", Some(34), None, Some("a file for --config")),
    old(Program::Scheduler, "kube-api-qps", Some(34), None, Some("a file for --config")),
    old(Program::Scheduler, "kubeconfig", Some(34), None, Some("a file for --config")),
    old(Program::Scheduler, "pod-max-in-unschedulable-pods-duration", Some(34), None, None),
    old(Program::Scheduler, "profiling", Some(34), None, Some("a file for --config")),
    old(Program::Kubelet, "application-metrics-count-limit", Some(34), Some(37), None),
    old(Program::Kubelet, "boot-id-file", Some(34), Some(37), None),
    old(Program::Kubelet, "container-hints", Some(34), Some(37), None),
    old(Program::Kubelet, "containerd", Some(34), Some(37), None),
    old(Program::Kubelet, "containerd-namespace", Some(34), Some(37), None),
    old(Program::Kubelet, "enable-load-reader", Some(34), Some(37), None),
    old(Program::Kubelet, "event-storage-age-limit", Some(34), Some(37), None),
    old(Program::Kubelet, "event-storage-event-limit", Some(34), Some(37), None),
    old(Program::Kubelet, "experimental-allocatable-ignore-eviction", Some(34), None, None),
    old(Program::Kubelet, "experimental-mounter-path", Some(34), None, None),
    old(Program::Kubelet, "global-housekeeping-interval", Some(34), Some(37), None),
    old(Program::Kubelet, "log-cadvisor-usage", Some(34), Some(37), None),
    old(Program::Kubelet, "machine-id-file", Some(34), Some(37), None),
    old(
        Program::Kubelet,
        "maximum-dead-containers",
        Some(34),
        None,
        Some("--eviction-hard or --eviction-soft"),
    ),
    old(
        Program::Kubelet,
        "maximum-dead-containers-per-container",
        Some(34),
        None,
        Some("--eviction-hard or --eviction-soft"),
    ),
    old(
        Program::Kubelet,
        "minimum-container-ttl-duration",
        Some(34),
        None,
        Some("--eviction-hard or --eviction-soft"),
    ),
    old(Program::Kubelet, "pod-infra-container-image", Some(34), Some(35), None),
    old(Program::Kubelet, "storage-driver-buffer-duration", Some(34), Some(37), None),
    old(Program::Kubelet, "storage-driver-db", Some(34), Some(37), None),
    old(Program::Kubelet, "storage-driver-host", Some(34), Some(37), None),
    old(Program::Kubelet, "storage-driver-password", Some(34), Some(37), None),
    old(Program::Kubelet, "storage-driver-secure", Some(34), Some(37), None),
    old(Program::Kubelet, "storage-driver-table", Some(34), Some(37), None),
    old(Program::Kubelet, "storage-driver-user", Some(34), Some(37), None),
];

/// Flags of the kubelet that are fields of its configuration, too.
static SETTINGS: [OldFlag; 100] = [
    setting("address"),
    setting("allowed-unsafe-sysctls"),
    setting("anonymous-auth"),
    setting("authentication-token-webhook"),
    setting("authentication-token-webhook-cache-ttl"),
    setting("authorization-mode"),
    setting("authorization-webhook-cache-authorized-ttl"),
    setting("authorization-webhook-cache-unauthorized-ttl"),
    setting("cgroup-driver"),
    setting("cgroup-root"),
    setting("cgroups-per-qos"),
    setting("client-ca-file"),
    setting("cluster-dns"),
    setting("cluster-domain"),
    setting("container-log-max-files"),
    setting("container-log-max-size"),
    setting("container-runtime-endpoint"),
    setting("contention-profiling"),
    setting("cpu-cfs-quota"),
    setting("cpu-cfs-quota-period"),
    setting("cpu-manager-policy"),
    setting("cpu-manager-policy-options"),
    setting("cpu-manager-reconcile-period"),
    setting("enable-controller-attach-detach"),
    setting("enable-debugging-handlers"),
    setting("enable-server"),
    setting("enforce-node-allocatable"),
    setting("event-burst"),
    setting("event-qps"),
    setting("eviction-hard"),
    setting("eviction-max-pod-grace-period"),
    setting("eviction-minimum-reclaim"),
    setting("eviction-pressure-transition-period"),
    setting("eviction-soft"),
    setting("eviction-soft-grace-period"),
    setting("fail-swap-on"),
    setting("file-check-frequency"),
    setting("hairpin-mode"),
    setting("healthz-bind-address"),
    setting("healthz-port"),
    setting("http-check-frequency"),
    setting("image-gc-high-threshold"),
    setting("image-gc-low-threshold"),
    setting("image-service-endpoint"),
    setting("kernel-memcg-notification"),
    setting("kube-api-burst"),
    setting("kube-api-content-type"),
    setting("kube-api-qps"),
    setting("kube-reserved"),
    setting("kube-reserved-cgroup"),
    setting("kubelet-cgroups"),
    setting("local-storage-capacity-isolation"),
    setting("log-json-info-buffer-size"),
    setting("log-json-split-stream"),
    setting("log-text-info-buffer-size"),
    setting("log-text-split-stream"),
    setting("logging-format"),
    setting("make-iptables-util-chains"),
    setting("manifest-url"),
    setting("manifest-url-header"),
    setting("max-open-files"),
    setting("max-pods"),
    setting("memory-manager-policy"),
    setting("minimum-image-ttl-duration"),
    setting("node-status-max-images"),
    setting("node-status-update-frequency"),
    setting("oom-score-adj"),
    setting("pod-cidr"),
    setting("pod-manifest-path"),
    setting("pod-max-pids"),
    setting("pods-per-core"),
    setting("port"),
    setting("protect-kernel-defaults"),
    setting("qos-reserved"),
    setting("read-only-port"),
    setting("register-node"),
    setting("register-with-taints"),
    setting("registry-burst"),
    setting("registry-qps"),
    setting("reserved-cpus"),
    setting("reserved-memory"),
    setting("resolv-conf"),
    setting("rotate-certificates"),
    setting("rotate-server-certificates"),
    setting("runonce"),
    setting("runtime-request-timeout"),
    setting("serialize-image-pulls"),
    setting("streaming-connection-idle-timeout"),
    setting("sync-frequency"),
    setting("system-cgroups"),
    setting("system-reserved"),
    setting("system-reserved-cgroup"),
    setting("tls-cert-file"),
    setting("tls-min-version"),
    setting("tls-private-key-file"),
    setting("topology-manager-policy"),
    setting("topology-manager-policy-options"),
    setting("topology-manager-scope"),
    setting("volume-plugin-dir"),
    setting("volume-stats-agg-period"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::row;

    fn names(flags: impl Iterator<Item = &'static OldFlag>) -> Vec<&'static str> {
        flags.map(|flag| flag.name).collect()
    }

    #[test]
    fn tables_are_sorted_and_name_no_flag_twice() {
        for table in [&ETCD[..], &KUBERNETES[..], &SETTINGS[..]] {
            assert!(table.is_sorted_by(|a, b| (a.program, a.name) < (b.program, b.name)));
        }
        assert!(SETTINGS.iter().all(|flag| {
            KUBERNETES.iter().all(|other| other.name != flag.name || other.program != flag.program)
        }));
    }

    #[test]
    fn minors_are_supported_ones() {
        for flag in KUBERNETES.iter().chain(&SETTINGS) {
            let minors = flag.deprecated_in.into_iter().chain(flag.gone_in);
            assert!(minors.into_iter().all(|minor| row(minor).is_some()), "{flag:?}");
        }
        for flag in &ETCD {
            let minors = flag.deprecated_in.into_iter().chain(flag.gone_in);
            assert!(minors.into_iter().all(|minor| (5..=7).contains(&minor)), "{flag:?}");
        }
        for flag in ETCD.iter().chain(&KUBERNETES).chain(&SETTINGS) {
            assert!(
                flag.name
                    .bytes()
                    .all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
            );
            assert!(flag.deprecated_in.is_some() || flag.gone_in.is_some(), "{flag:?}");
            assert!(flag.gone_in.is_none_or(|gone_in| flag.deprecated_in < Some(gone_in)), "{flag:?}");
        }
    }

    #[test]
    fn a_flag_is_deprecated_until_it_is_gone() {
        let gone = |from, to| names(removed_flags(Program::Kubelet, from, to));
        assert_eq!(gone(34, 35), ["pod-infra-container-image"]);
        assert!(gone(35, 36).is_empty());
        assert!(gone(36, 37).contains(&"containerd"));
        assert_eq!(names(removed_flags(Program::ControllerManager, 34, 37)), ["concurrent-service-syncs"]);
        let deprecated = |to| names(deprecated_flags(Program::Kubelet, to));
        assert!(deprecated(36).contains(&"containerd") && deprecated(36).contains(&"max-pods"));
        assert!(!deprecated(37).contains(&"containerd"));
    }

    #[test]
    fn etcd_counts_its_own_minors() {
        let gone = |from, to| names(removed_flags(Program::Etcd, from, to));
        assert!(gone(5, 6).contains(&"enable-v2") && !gone(5, 6).contains(&"discovery"));
        assert!(gone(6, 7).contains(&"discovery") && !gone(6, 7).contains(&"enable-v2"));
        assert_eq!(gone(5, 7).len(), gone(5, 6).len() + gone(6, 7).len());
        assert_eq!(names(deprecated_flags(Program::Etcd, 7)), ["max-snapshots", "v2-deprecation"]);
    }
}
