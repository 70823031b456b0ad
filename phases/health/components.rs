//! What runs on this machine: the kubelet, the static pods, kube-proxy.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    host::{ContainerState, HealthTarget, Probe, Trust},
    kubelet::{CONFIG_FILE, health_port, health_url},
    manifest::{Component, health_target},
    yaml,
};
use serde_json::Value;

use super::Check;
use crate::{
    init::{KUBELET, KUBELET_DIR},
    static_pods as manifests,
};

const NAMESPACE: &str = "kube-system";
/// Where kube-proxy tells its health unless its configuration says otherwise; what it serves metrics on says no more.
const PROXY_HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 10256);

/// The kubelet: its unit, its health, and the port that the API server reaches it on.
pub async fn kubelet(host: &dyn Probe) -> Vec<Check> {
    let service = match host.service(KUBELET).await {
        Ok(service) if !service.exists => {
            return vec![Check::failed("kubelet", "there is no unit of it", "install the kubelet")];
        }
        Ok(service) => service,
        Err(error) => return vec![Check::failed("kubelet", error.to_string(), "systemctl status kubelet")],
    };
    if service.active != "active" {
        let message = format!("its unit is {} ({} restarts)", service.active, service.restarts);
        return vec![Check::failed("kubelet", message, "journalctl -u kubelet -e")];
    }
    let config: Value = match host.read(CONFIG_FILE.as_ref()).await {
        Ok(Some(bytes)) => yaml::from_str(&String::from_utf8_lossy(&bytes)).unwrap_or_default(),
        _ => Value::Null,
    };
    let health = HealthTarget { url: health_url(&config), trust: Trust::Plain };
    let mut checks = vec![];
    // 0 turns it off.
    if health_port(&config) != 0 {
        checks.push(asked(host, "kubelet", &health, "journalctl -u kubelet -e").await);
    }
    let port = config["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(10250);
    let address = config["address"].as_str().and_then(|address| address.parse::<IpAddr>().ok());
    let address = address.filter(|address| !address.is_unspecified()).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let url = format!("https://{}/healthz", SocketAddr::new(address, port));
    let secure = HealthTarget { url, trust: Trust::Insecure };
    // Whoever shows no certificate is turned away, by a server that works.
    checks.push(match host.health(&secure).await {
        Ok(_) => Check::ok("kubelet", format!("serves on port {port}")),
        Err(why) => Check::failed(
            "kubelet",
            format!("{} does not answer: {why}", secure.url),
            "logs, exec and metrics do not work without it: journalctl -u kubelet -e",
        ),
    });
    checks
}

/// The API server, the controller manager and the scheduler, where their manifests say.
pub async fn static_pods(host: &dyn Probe) -> Vec<Check> {
    let containers = running(host).await;
    let all = [Component::ApiServer, Component::ControllerManager, Component::Scheduler];
    join_all(all.map(|component| static_pod(host, component, &containers))).await
}

async fn static_pod(
    host: &dyn Probe,
    component: Component,
    containers: &Result<Vec<ContainerState>, String>,
) -> Check {
    let name = component.name();
    let pod = match manifests::read(host, component).await {
        Ok(Some(pod)) => pod,
        Ok(None) => {
            let message = format!("/etc/kubernetes/manifests/{} is missing", component.file_name());
            let hint = format!("write it anew: rkadm init phase control-plane {}", phase_of(component));
            return Check::failed(name, message, hint);
        }
        Err(error) => return Check::failed(name, error.to_string(), "mend the manifest"),
    };
    let check = match health_target(&pod) {
        Some(target) => {
            asked(host, name, &target, &format!("crictl logs $(crictl ps -a -q --name {name} | head -1)"))
                .await
        }
        None => {
            Check::warning(name, "its manifest has no probe to ask", "add a livenessProbe to the manifest")
        }
    };
    with_container(check, &pod, containers)
}

fn phase_of(component: Component) -> &'static str {
    match component {
        Component::ApiServer => "apiserver",
        Component::ControllerManager => "controller-manager",
        Component::Scheduler => "scheduler",
        Component::Etcd => "etcd",
    }
}

/// Adds why its container ended, to one that does not answer.
fn with_container(mut check: Check, pod: &Pod, containers: &Result<Vec<ContainerState>, String>) -> Check {
    if check.state != super::State::Failed {
        return check;
    }
    let name = rkadm_core::manifest::pod::container(pod).map(|container| container.name.as_str());
    let of_it = |state: &&ContainerState| Some(state.name.as_str()) == name;
    match containers {
        Err(why) => check.message += &format!("; the container runtime does not answer: {why}"),
        Ok(all) => match all.iter().find(of_it) {
            None => check.message += "; it has no container: the kubelet did not start it",
            Some(state) if !state.running => {
                check.message += &format!(
                    "; its container ended with code {} ({}), {} starts before",
                    state.exit_code, state.reason, state.attempt
                );
            }
            Some(state) => check.message += &format!("; its container runs, {} starts before", state.attempt),
        },
    }
    check
}

/// kube-proxy, where it runs: clusters may do without.
pub async fn kube_proxy(host: &dyn Probe) -> Vec<Check> {
    let Ok(containers) = running(host).await else { return vec![] };
    if !containers.iter().any(|container| container.name == "kube-proxy") {
        return vec![];
    }
    let mut address = proxy_health(host).await.unwrap_or(PROXY_HEALTH);
    if address.ip().is_unspecified() {
        let local = |v4: bool| if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(local(address.is_ipv4()));
    }
    let target = HealthTarget { url: format!("http://{address}/healthz"), trust: Trust::Plain };
    let hint = "crictl logs $(crictl ps -a -q --name kube-proxy | head -1)";
    vec![asked(host, "kube-proxy", &target, hint).await]
}

/// What kube-proxy's configuration says, as its pod here has it: a worker may not read the ConfigMap.
async fn proxy_health(host: &dyn Probe) -> Option<SocketAddr> {
    let pods = Path::new(KUBELET_DIR).join("pods");
    for uid in host.list(&pods).await.ok()? {
        let file = pods.join(uid).join("volumes/kubernetes.io~configmap/kube-proxy/config.conf");
        if let Ok(Some(bytes)) = host.read(&file).await {
            let config: Value = yaml::from_str(&String::from_utf8_lossy(&bytes)).ok()?;
            return config["healthzBindAddress"].as_str()?.parse().ok();
        }
    }
    None
}

async fn running(host: &dyn Probe) -> Result<Vec<ContainerState>, String> {
    let socket = manifests::cri_socket(host).await.ok_or("its socket is not known")?;
    host.containers(&socket, NAMESPACE).await.map_err(|error| error.to_string())
}

async fn asked(host: &dyn Probe, component: &str, target: &HealthTarget, hint: &str) -> Check {
    match host.health(target).await {
        Ok(health) if health.status == 200 => Check::ok(component, format!("{} is well", target.url)),
        Ok(health) => {
            let failing = failing(&health.body);
            let message = format!("{} answers {}: {failing}", target.url, health.status);
            Check::failed(component, message, hint)
        }
        Err(why) => Check::failed(component, format!("{} does not answer: {why}", target.url), hint),
    }
}

/// Of a health report, the checks that failed; of any other text, its first line.
pub fn failing(body: &str) -> String {
    let failed: Vec<_> = body.lines().filter_map(|line| line.strip_prefix("[-]")).collect();
    if failed.is_empty() { body.lines().next().unwrap_or_default().to_owned() } else { failed.join("; ") }
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, Node, World};

    use super::*;

    #[tokio::test]
    async fn kube_proxy_is_asked_where_its_configuration_says() {
        let address = async |config: &str| {
            let file = "/var/lib/kubelet/pods/uid/volumes/kubernetes.io~configmap/kube-proxy/config.conf";
            let mut world = World::ready().with_file(file, config);
            world.paths.insert("/var/lib/kubelet/pods/uid".into(), Node::Dir(0o750));
            proxy_health(&FakeHost::new(world)).await
        };
        assert_eq!(address("healthzBindAddress: 0.0.0.0:10300\n").await, "0.0.0.0:10300".parse().ok());
        assert_eq!(address("healthzBindAddress: '[::]:10256'\n").await, "[::]:10256".parse().ok());
        assert_eq!(address("healthzBindAddress: ''\n").await, None);
    }
}
