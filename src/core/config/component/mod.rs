//! The configuration of the kubelet and of kube-proxy: the user's document over kubeadm's defaults.
//!
//! The two are kept as JSON objects, because their fields change with every minor and rkadm needs only a few of them.
//! The results are what kubeadm stores in the ConfigMaps `kubelet-config` and `kube-proxy`.

mod zero;

use super::cidr::Cidr;
use super::duration::GoDuration;
use super::error::Problems;
use super::schema::{Field, KINDS, Type};
use super::types::ClusterConfiguration;
use serde_json::{Value, json};
use std::net::IpAddr;

const KUBELET: &str = include_str!("kubelet.yaml");
const KUBE_PROXY: &str = include_str!("kube-proxy.yaml");

/// Settings of the kubelet that kubeadm advises against changing, as paths.
const ADVISED: [&str; 10] = [
    "staticPodPath",
    "clusterDNS",
    "clusterDomain",
    "authentication.x509.clientCAFile",
    "authentication.anonymous.enabled",
    "authentication.webhook.enabled",
    "authorization.mode",
    "healthzBindAddress",
    "healthzPort",
    "readOnlyPort",
];

/// The kubelet's configuration for every node of the cluster.
pub(crate) fn kubelet(
    problems: &mut Problems,
    cluster: &ClusterConfiguration,
    user: Option<&Value>,
) -> Value {
    let mut defaults: Value = crate::yaml::from_str(KUBELET).unwrap_or_default();
    merge(
        &mut defaults,
        &json!({
            "authentication": {"x509": {"clientCAFile": format!("{}/ca.crt", cluster.certificates_dir)}},
            "clusterDomain": cluster.networking.dns_domain,
        }),
    );
    if let Some(address) = service_addresses(cluster).and_then(|subnet| subnet.nth(10)) {
        defaults["clusterDNS"] = json!([address]);
    }
    let mut merged = defaults.clone();
    if let Some(user) = user {
        let given = normalised(user, "KubeletConfiguration");
        advise(problems, &defaults, &given);
        if user["rotateCertificates"] == Value::Bool(false) {
            problems.warn(
                "rotateCertificates",
                "false is not used: kubelets of kubeadm clusters renew their certificates",
            );
        }
        merge(&mut merged, &given);
        // A kubelet that does not renew its certificate leaves the cluster after a year.
        merged["rotateCertificates"] = Value::Bool(true);
    }
    drop_empty(&mut merged, "KubeletConfiguration");
    crate::yaml::sort_keys(&mut merged);
    merged
}

/// kube-proxy's configuration. `mode` is what the minor's kubeadm writes when the user gives none.
pub(crate) fn kube_proxy(
    problems: &mut Problems,
    cluster: &ClusterConfiguration,
    advertise: Option<IpAddr>,
    mode: &str,
    user: Option<&Value>,
) -> Value {
    let mut merged: Value = crate::yaml::from_str(KUBE_PROXY).unwrap_or_default();
    let bind = if advertise.is_some_and(|address| address.is_ipv6()) { "::" } else { "0.0.0.0" };
    merge(
        &mut merged,
        &json!({"bindAddress": bind, "clusterCIDR": cluster.networking.pod_subnet, "mode": mode}),
    );
    if let Some(user) = user {
        if user["mode"] == "ipvs" {
            problems.warn(
                "mode",
                "mode \"ipvs\" is deprecated since Kubernetes 1.35; use \"nftables\" or \"iptables\"",
            );
        }
        if user["bindAddress"]
            .as_str()
            .is_some_and(|address| !address.is_empty() && address.parse::<IpAddr>().is_err())
        {
            problems.error("bindAddress", format!("{} is not an IP address", user["bindAddress"]));
        }
        merge(&mut merged, &normalised(user, "KubeProxyConfiguration"));
    }
    crate::yaml::sort_keys(&mut merged);
    merged
}

/// The first service subnet.
pub(crate) fn service_addresses(cluster: &ClusterConfiguration) -> Option<Cidr> {
    cluster.networking.service_subnet.split(',').next()?.trim().parse().ok()
}

fn advise(problems: &mut Problems, defaults: &Value, user: &Value) {
    for path in ADVISED {
        let pointer = format!("/{}", path.replace('.', "/"));
        let Some(given) = user.pointer(&pointer) else { continue };
        let advised = defaults.pointer(&pointer).cloned().unwrap_or_else(|| json!(0));
        if given != &advised {
            problems.warn(path, format!("the advised value is {advised}, given is {given}"));
        }
    }
}

/// Lays `over` on `base`: maps are merged, everything else is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn fields_of(kind: &str) -> &'static [Field] {
    KINDS.iter().find(|known| known.kind == kind).map_or(&[], |known| known.fields)
}

/// The user's values as Go reads and writes them: durations and quantities have one spelling, and what Go cannot tell from
/// nothing is not there.
fn normalised(user: &Value, kind: &str) -> Value {
    let mut value = user.clone();
    let fields = Type::Object(fields_of(kind));
    normalise(&mut value, &fields);
    zero::drop_zeros(&mut value, &fields);
    value
}

fn normalise(value: &mut Value, expected: &Type) {
    match (expected, value) {
        (Type::Object(fields), Value::Object(map)) => {
            for field in *fields {
                if let Some(value) = map.get_mut(field.name) {
                    normalise(value, &field.value);
                }
            }
        }
        (Type::List(item), Value::Array(values)) => {
            for value in values {
                normalise(value, item);
            }
        }
        (Type::Map(item), Value::Object(map)) => map.values_mut().for_each(|value| normalise(value, item)),
        (Type::Duration, value @ Value::String(_)) => {
            let duration = value.as_str().and_then(|text| text.parse::<GoDuration>().ok());
            if let Some(duration) = duration {
                *value = Value::String(duration.to_string());
            }
        }
        (Type::Quantity, value @ Value::Number(_)) => *value = Value::String(value.to_string()),
        _ => {}
    }
}

/// Leaves out empty lists and maps at the top, as Go's `omitempty` does.
fn drop_empty(value: &mut Value, kind: &str) {
    let Value::Object(map) = value else { return };
    for field in fields_of(kind).iter().filter(|field| matches!(field.value, Type::List(_) | Type::Map(_))) {
        let empty = match map.get(field.name) {
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(entries)) => entries.is_empty(),
            _ => false,
        };
        if empty {
            map.remove(field.name);
        }
    }
}
