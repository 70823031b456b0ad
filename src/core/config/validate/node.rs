//! The rules of `InitConfiguration` and of what it shares with `JoinConfiguration`.

use super::names::{
    is_bootstrap_group, is_certificate_key, is_dns_name, is_label_key, is_label_value, is_token,
};
use super::{absolute, args};
use crate::config::error::Problems;
use crate::config::types::{BootstrapToken, LocalApiEndpoint, NodeRegistration, Timeouts};
use crate::config::{GoDuration, Secret};
use jiff::Timestamp;
use std::net::IpAddr;

pub(super) const TOKEN_FORM: &str = "a token has the form [a-z0-9]{6}.[a-z0-9]{16}";

/// Checks the registration of this node.
pub(crate) fn check_registration(problems: &mut Problems, node: &NodeRegistration) {
    if !is_dns_name(&node.name) {
        problems.error_hint(
            "nodeRegistration.name",
            format!("{:?} is not a node name", node.name),
            "use lower-case letters, digits, '-' and '.', at most 253",
        );
    }
    if !node.cri_socket.strip_prefix("unix://").is_some_and(|path| path.starts_with('/')) {
        problems.error_hint(
            "nodeRegistration.criSocket",
            format!("{:?} is not the URL of a UNIX socket", node.cri_socket),
            "write unix:///PATH",
        );
    }
    args(problems, "nodeRegistration.kubeletExtraArgs", &node.kubelet_extra_args);
    for (index, taint) in node.taints.iter().flatten().enumerate() {
        let path = format!("nodeRegistration.taints[{index}]");
        if !is_label_key(&taint.key) {
            problems.error(format!("{path}.key"), format!("{:?} is not a label name", taint.key));
        }
        if let Some(value) = taint.value.as_ref().filter(|value| !is_label_value(value)) {
            problems.error(format!("{path}.value"), format!("{value:?} is not a label value"));
        }
        let earlier = node.taints.iter().flatten().take(index);
        if earlier.into_iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
            problems.error(path, format!("the taint {}:{} is given twice", taint.key, taint.effect));
        }
    }
}

/// Checks where the API server listens. Gives the address when it is one.
pub(crate) fn check_endpoint(problems: &mut Problems, endpoint: &LocalApiEndpoint) -> Option<IpAddr> {
    let path = "localAPIEndpoint.advertiseAddress";
    if endpoint.advertise_address.is_empty() {
        // No default was found, which is reported where it was looked for.
        return None;
    }
    let Ok(address) = endpoint.advertise_address.parse::<IpAddr>() else {
        problems.error(path, format!("{:?} is not an IP address", endpoint.advertise_address));
        return None;
    };
    let wrong = if address.is_unspecified() {
        "the unspecified address"
    } else if address.is_loopback() {
        "a loopback address"
    } else if address.is_multicast() {
        "a multicast address"
    } else {
        return Some(address);
    };
    problems.error_hint(path, format!("{address} is {wrong}"), "other nodes must reach the API server at it");
    Some(address)
}

/// Checks tokens.
pub(crate) fn check_tokens(problems: &mut Problems, tokens: &[BootstrapToken]) {
    for (index, token) in tokens.iter().enumerate() {
        let path = format!("bootstrapTokens[{index}]");
        if token.token.as_ref().is_some_and(|token| !is_token(token.expose())) {
            problems.error_hint(format!("{path}.token"), "not a bootstrap token", TOKEN_FORM);
        }
        if token.ttl.is_some() && token.expires.is_some() {
            problems.error(&path, "ttl and expires exclude each other");
        }
        if token.ttl.is_some_and(|ttl| ttl < GoDuration::default()) {
            problems.error(format!("{path}.ttl"), "a token cannot live for a negative time");
        }
        // A text that is no time is the schema's to refuse.
        let end = token.expires.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(end) = end.filter(|end| *end <= Timestamp::now()) {
            problems.error_hint(
                format!("{path}.expires"),
                format!("the token expired already, at {end}"),
                "give a time to come, or ttl in its place",
            );
        }
        for (at, group) in token.groups.iter().enumerate().filter(|(_, group)| !is_bootstrap_group(group)) {
            problems.error_hint(
                format!("{path}.groups[{at}]"),
                format!("{group:?} is not a group of bootstrap tokens"),
                "write system:bootstrappers:NAME",
            );
        }
        if !token.groups.is_empty() && !token.usages.iter().any(|usage| usage == "authentication") {
            problems.error(format!("{path}.groups"), "groups need the usage \"authentication\"");
        }
        let earlier = &tokens[..index];
        if token.id().is_some_and(|id| earlier.iter().any(|other| other.id() == Some(id))) {
            problems.error(format!("{path}.token"), "another token has the same id");
        }
    }
}

/// Checks the key of uploaded certificates.
pub(crate) fn check_certificate_key(problems: &mut Problems, key: Option<&Secret>) {
    if key.is_some_and(|key| !is_certificate_key(key.expose())) {
        problems.error_hint(
            "certificateKey",
            "not a key of 32 bytes as hex",
            "make one with `rkadm certs certificate-key`",
        );
    }
}

/// Checks checks that are ignored.
pub(crate) fn check_ignored(problems: &mut Problems, path: &str, names: &[String]) {
    if names.len() > 1 && names.iter().any(|name| name.eq_ignore_ascii_case("all")) {
        problems.error(path, "\"all\" excludes the names of single checks");
    }
}

/// Checks the directory of patches.
pub(crate) fn check_patches(problems: &mut Problems, directory: &str) {
    absolute(problems, "patches.directory", directory);
}

/// Checks how long steps may wait.
pub(crate) fn check_timeouts(problems: &mut Problems, timeouts: &Timeouts) {
    for (name, timeout) in [
        ("controlPlaneComponentHealthCheck", timeouts.control_plane_component_health_check),
        ("kubeletHealthCheck", timeouts.kubelet_health_check),
        ("kubernetesAPICall", timeouts.kubernetes_api_call),
        ("etcdAPICall", timeouts.etcd_api_call),
        ("tlsBootstrap", timeouts.tls_bootstrap),
        ("discovery", timeouts.discovery),
        ("upgradeManifests", timeouts.upgrade_manifests),
    ] {
        if let Some(timeout) = timeout.filter(|timeout| *timeout <= GoDuration::default()) {
            problems.error(format!("timeouts.{name}"), format!("{timeout} is not a positive time"));
        }
    }
}
