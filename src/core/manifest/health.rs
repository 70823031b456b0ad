//! Where a static pod says that it can be asked whether it works.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{
    host::{HealthTarget, Trust},
    text::bracketed,
};

/// The endpoint that the kubelet asks, of the readiness probe or else the liveness probe of the first container.
///
/// Certificates are not checked, as the kubelet does not. `None` for a pod without such a probe.
pub fn health_target(pod: &Pod) -> Option<HealthTarget> {
    let container = pod.spec.as_ref()?.containers.first()?;
    let probes = [&container.readiness_probe, &container.liveness_probe];
    let action = probes.into_iter().flatten().find_map(|probe| probe.http_get.as_ref())?;
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    // A pod without a host is asked at its own address, which on the host's network is any of the machine's.
    let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or("127.0.0.1");
    let host = bracketed(host);
    let path = action.path.as_deref().unwrap_or("/").trim_start_matches('/');
    let url = format!("{scheme}://{host}:{}/{path}", port(container, action)?);
    let trust = if scheme == "https" { Trust::Insecure } else { Trust::Plain };
    Some(HealthTarget { url, trust })
}

/// URL of the API server that the pod is: the address that the kubelet asks for its health is the one that it advertises.
pub fn api_server_url(pod: &Pod) -> Option<String> {
    let url = health_target(pod)?.url;
    let authority = url.strip_prefix("https://")?.split('/').next()?;
    Some(format!("https://{authority}"))
}

/// A port is a number, or the name of one of the container's.
fn port(container: &Container, action: &HTTPGetAction) -> Option<i32> {
    let name = match &action.port {
        IntOrString::Int(number) => return Some(*number),
        IntOrString::String(name) => name,
    };
    let named = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
    named.map(|port| port.container_port).or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(container: &str) -> Option<HealthTarget> {
        let pod = format!("spec: {{containers: [{container}]}}");
        health_target(&crate::yaml::from_str(&pod).unwrap())
    }

    #[test]
    fn readiness_comes_before_liveness_and_ports_have_names() {
        let pod = "{name: a, ports: [{name: probe-port, containerPort: 7443}], \
                   livenessProbe: {httpGet: {host: 192.0.2.1, path: /livez, port: 1, scheme: HTTPS}}, \
                   readinessProbe: {httpGet: {host: 'fd00::1', path: /readyz, port: probe-port, scheme: HTTPS}}}";
        let found = target(pod).unwrap();
        assert_eq!(found.url, "https://[fd00::1]:7443/readyz");
        assert_eq!(found.trust, Trust::Insecure);
    }

    #[test]
    fn defaults_are_those_of_kubernetes_and_nothing_is_made_up() {
        let pod = "{name: a, livenessProbe: {httpGet: {path: healthz, port: 2381}}}";
        assert_eq!(target(pod).unwrap().url, "http://127.0.0.1:2381/healthz");
        assert!(target("{name: a}").is_none());
        assert!(target("{name: a, livenessProbe: {httpGet: {port: nowhere}}}").is_none());
    }
}
