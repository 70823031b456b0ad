//! Environment variables of control-plane pods.

use crate::config::types::EnvVar;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
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

/// Fills in what the API server would, so that what is stored compares equal: the API version of references to fields,
/// and the divisor of references to resources.
pub fn fill_defaults(variables: &mut [EnvVar]) {
    for from in variables.iter_mut().filter_map(|variable| variable.value_from.as_mut()) {
        if let Some(field) = &mut from.field_ref {
            field.api_version.get_or_insert_with(|| "v1".into());
        }
        if let Some(resource) = &mut from.resource_field_ref {
            resource.divisor.get_or_insert_with(|| Quantity("0".into()));
        }
    }
}
