//! The rules of `JoinConfiguration`, `ResetConfiguration` and `UpgradeConfiguration`.

use super::absolute;
use super::names::{is_token, split_host_port};
use super::node::{TOKEN_FORM, check_certificate_key, check_endpoint, check_registration, check_timeouts};
use crate::config::Secret;
use crate::config::error::Problems;
use crate::config::types::{
    BootstrapTokenDiscovery, Discovery, JoinConfiguration, Patches, ResetConfiguration, UpgradeConfiguration,
};

/// Checks what a node joins with; defaults are filled.
pub(crate) fn check_join(problems: &mut Problems, join: &JoinConfiguration) {
    check_registration(problems, &join.node_registration);
    check_discovery(problems, &join.discovery);
    absolute(problems, "caCertPath", &join.ca_cert_path);
    if let Some(control_plane) = &join.control_plane {
        let mut inner = Problems::default();
        check_endpoint(&mut inner, &control_plane.local_api_endpoint);
        check_certificate_key(&mut inner, control_plane.certificate_key.as_ref());
        problems.append_below("controlPlane", inner);
    }
    patches(problems, "patches", join.patches.as_ref());
    check_timeouts(problems, &join.timeouts.clone().unwrap_or_default());
}

fn check_discovery(problems: &mut Problems, discovery: &Discovery) {
    let path = "discovery";
    match (&discovery.bootstrap_token, &discovery.file) {
        (None, None) => problems.error_hint(
            path,
            "neither bootstrapToken nor file is given",
            "`rkadm token create --print-join-command` prints a token, the endpoint and the hash of the CA",
        ),
        (Some(_), Some(_)) => problems.error(path, "bootstrapToken and file exclude each other"),
        (Some(token), None) => check_token_discovery(problems, token),
        (None, Some(file)) => {
            let path = "discovery.file.kubeConfigPath";
            match file.kube_config_path.split_once("://") {
                _ if file.kube_config_path.is_empty() => problems.error(path, "no file is named"),
                Some((scheme, _)) if scheme != "https" => {
                    problems.error(path, format!("a URL must begin with https://, not {scheme}://"));
                }
                _ => {}
            }
        }
    }
    check_token(problems, "discovery.tlsBootstrapToken", discovery.tls_bootstrap_token.as_ref());
}

fn check_token_discovery(problems: &mut Problems, discovery: &BootstrapTokenDiscovery) {
    let path = "discovery.bootstrapToken";
    match discovery.token.as_ref().filter(|token| !token.expose().is_empty()) {
        None => problems.error_hint(format!("{path}.token"), "no token is given", TOKEN_FORM),
        token => check_token(problems, &format!("{path}.token"), token),
    }
    let endpoint = &discovery.api_server_endpoint;
    if !matches!(split_host_port(endpoint), Ok((_, Some(_)))) {
        problems.error_hint(
            format!("{path}.apiServerEndpoint"),
            format!("{endpoint:?} is not an address with a port"),
            "write HOST:PORT, 10.0.0.1:6443 for example",
        );
    }
    if discovery.ca_cert_hashes.is_empty() && !discovery.unsafe_skip_ca_verification {
        problems.error_hint(
            format!("{path}.caCertHashes"),
            "without a hash of the CA anybody in between could pose as the cluster",
            "give the hash, or set unsafeSkipCAVerification",
        );
    }
    for (index, hash) in discovery.ca_cert_hashes.iter().enumerate() {
        let digest = hash.strip_prefix("sha256:").unwrap_or_default();
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            problems.error_hint(
                format!("{path}.caCertHashes[{index}]"),
                format!("{hash:?} is not a hash of a CA"),
                "write sha256: and 64 hexadecimal digits",
            );
        }
    }
}

fn check_token(problems: &mut Problems, path: &str, token: Option<&Secret>) {
    if token.is_some_and(|token| !is_token(token.expose())) {
        problems.error_hint(path, "not a bootstrap token", TOKEN_FORM);
    }
}

/// Checks how a node is cleaned; defaults are filled. What flags of unmount there are is the schema's to know.
pub(crate) fn check_reset(problems: &mut Problems, reset: &ResetConfiguration) {
    absolute(problems, "certificatesDir", &reset.certificates_dir);
    check_timeouts(problems, &reset.timeouts.clone().unwrap_or_default());
}

/// Checks how a cluster is upgraded.
pub(crate) fn check_upgrade(problems: &mut Problems, upgrade: &UpgradeConfiguration) {
    patches(problems, "apply.patches", upgrade.apply.patches.as_ref());
    patches(problems, "node.patches", upgrade.node.patches.as_ref());
    check_timeouts(problems, &upgrade.timeouts.clone().unwrap_or_default());
}

fn patches(problems: &mut Problems, path: &str, patches: Option<&Patches>) {
    if let Some(patches) = patches.filter(|patches| !patches.directory.is_empty()) {
        absolute(problems, &format!("{path}.directory"), &patches.directory);
    }
}
