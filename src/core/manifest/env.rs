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
    let mut merged: Vec<_> = by_name.into_values().cloned().collect();
    fill_defaults(&mut merged);
    merged
}

/// Fills in the API version of field references, as the API server would: what is stored compares equal then.
pub fn fill_defaults(variables: &mut [EnvVar]) {
    for variable in variables {
        if let Some(field) = variable.value_from.as_mut().and_then(|from| from.field_ref.as_mut()) {
            field.api_version.get_or_insert_with(|| "v1".into());
        }
    }
}
