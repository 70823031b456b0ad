//! Values that mean "not given" to Go: an empty text, 0, false, an empty list. Where a field cannot tell one from the
//! other, kubeadm fills in its default, so such a value must not be laid over it. `kubeadm config print` prints many.

use crate::config::duration::GoDuration;
use crate::config::schema::Type;
use serde_json::Value;

/// Fields of both kinds that tell nothing from zero: pointers in Go, and lists that the defaults fill. Found with kubeadm
/// 1.34 to 1.37.
const TELL_ZERO: [&str; 52] = [
    // kubelet
    "authentication.anonymous.enabled",
    "authentication.webhook.enabled",
    "cgroupsPerQOS",
    "clusterDNS",
    "containerLogMaxFiles",
    "containerLogMaxWorkers",
    "containerLogMonitorInterval",
    "cpuCFSQuota",
    "cpuCFSQuotaPeriod",
    "crashLoopBackOff.maxContainerRestartPeriod",
    "enableControllerAttachDetach",
    "enableDebugFlagsHandler",
    "enableDebuggingHandlers",
    "enableProfilingHandler",
    "enableServer",
    "enableSystemLogHandler",
    "enableSystemLogQuery",
    "eventRecordQPS",
    "failCgroupV1",
    "failSwapOn",
    "healthzPort",
    "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent",
    "iptablesDropBit",
    "iptablesMasqueradeBit",
    "kubeAPIQPS",
    "localStorageCapacityIsolation",
    "makeIPTablesUtilChains",
    "maxParallelImagePulls",
    "memoryThrottlingFactor",
    "mergeDefaultEvictionSettings",
    "nodeStatusMaxImages",
    // both
    "oomScoreAdj",
    "podPidsLimit",
    "registerNode",
    "registryPullQPS",
    "resolvConf",
    "seccompDefault",
    "serializeImagePulls",
    "singleProcessOOMKill",
    "tracing.endpoint",
    "tracing.samplingRatePerMillion",
    "userNamespaces.idsPerPod",
    // kube-proxy
    "conntrack.maxPerCore",
    "conntrack.min",
    "conntrack.tcpCloseWaitTimeout",
    "conntrack.tcpEstablishedTimeout",
    "iptables.localhostNodePorts",
    "iptables.masqueradeBit",
    "ipvs.excludeCIDRs",
    "nftables.masqueradeBit",
    "nodePortAddresses",
];

/// Takes out of an object what Go cannot tell from nothing.
pub(super) fn drop_zeros(object: &mut Value, fields: &Type) {
    drop_below(object, fields, "");
}

fn drop_below(object: &mut Value, fields: &Type, above: &str) {
    let (Type::Object(fields), Value::Object(map)) = (fields, object) else { return };
    map.retain(|name, value| {
        let Some(field) = fields.iter().find(|field| field.name == name) else { return true };
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if let Type::Object(_) = field.value {
            drop_below(value, &field.value, &path);
            return true;
        }
        TELL_ZERO.contains(&path.as_str()) || !is_zero(value, &field.value)
    });
}

fn is_zero(value: &Value, expected: &Type) -> bool {
    match (expected, value) {
        (Type::Duration, Value::String(text)) => text.parse::<GoDuration>().is_ok_and(GoDuration::is_zero),
        // Go writes it as it was given, a text or a number.
        (Type::DurationOrInt, Value::String(_)) => false,
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Bool(on)) => !on,
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::Array(items)) => items.is_empty(),
        (_, Value::Object(entries)) => entries.is_empty(),
        (_, Value::Null) => true,
    }
}
