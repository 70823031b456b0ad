//! Environment variables of control-plane pods.

use crate::config::types::EnvVar;
use std::collections::BTreeMap;

/// True for the variables that kubeadm hands on to pods: `HTTP_PROXY`, `https_proxy`, `NO_PROXY` and the like.
pub fn is_proxy(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("_proxy")
}

/// The proxy variables of an environment, sorted by name; empty ones are left out.
pub fn proxies<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<EnvVar> {
    let found: BTreeMap<_, _> =
        environment.into_iter().filter(|(name, value)| is_proxy(name) && !value.is_empty()).collect();
    found
        .into_iter()
        .map(|(name, value)| EnvVar { name: name.into(), value: Some(value.into()), value_from: None })
        .collect()
}

/// Proxy variables and the configuration's `extraEnvs`, which win, sorted by name.
pub fn merge(proxies: &[EnvVar], extra: &[EnvVar]) -> Vec<EnvVar> {
    let by_name: BTreeMap<&str, &EnvVar> =
        proxies.iter().chain(extra).map(|variable| (variable.name.as_str(), variable)).collect();
    by_name.into_values().map(with_api_version).collect()
}

/// Fills in the API version of a field reference, as the API server would: manifests compare equal then.
fn with_api_version(variable: &EnvVar) -> EnvVar {
    let mut variable = variable.clone();
    if let Some(field) = variable.value_from.as_mut().and_then(|from| from.field_ref.as_mut()) {
        field.api_version.get_or_insert_with(|| "v1".into());
    }
    variable
}
