//! The container runtime and the kubelet.

use rkadm_core::{
    config::Image,
    host::Probe,
    preflight::parse,
    version::{KubeVersion, check_kubelet_skew},
};

use serde_json::Value;

use super::{Found, error, warning};
use crate::init::{Cluster, KUBELET};

/// Whether the container runtime answers.
pub async fn container_runtime(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let socket = &cluster.config.node_registration.cri_socket;
    match host.runtime_version(socket).await {
        Ok(_) => {
            let mut found = readiness(host, socket).await;
            found.extend(cgroup_driver(host, cluster).await);
            found.extend(sandbox(host, cluster).await);
            found
        }
        Err(fault) => {
            let hint = "install and start a container runtime such as containerd, or name its socket with --cri-socket";
            vec![error("CRI", format!("container runtime is not running: {fault}"), hint)]
        }
    }
}

/// Whether the runtime can start containers. Its network is not ready before a plugin is installed, which comes later.
async fn readiness(host: &dyn Probe, socket: &str) -> Vec<Found> {
    let message = match host.runtime_trouble(socket).await {
        Ok(None) => return vec![],
        Ok(Some(trouble)) => trouble,
        Err(fault) => format!("container runtime is not running: {fault}"),
    };
    let hint = "see the container runtime's log, `journalctl -u containerd` for example, and restart it";
    vec![error("CRI", message, hint)]
}

/// The runtime has an image of its own choice for the sandbox of every pod. kubeadm tells of another one than that of the version
/// in its log only; without a network, and that image, no pod starts, and kubeadm waits for them in vain.
async fn sandbox(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let socket = &cluster.config.node_registration.cri_socket;
    let Ok(Some(image)) = host.sandbox_image(socket).await else { return vec![] };
    let wanted = cluster.config.image(Image::Pause);
    if image == wanted {
        return vec![];
    }
    let version = &cluster.config.kubernetes_version;
    let here = match host.image_present(socket, &image).await {
        Ok(false) => ", and does not have it",
        _ => "",
    };
    let message = format!(
        "the container runtime starts every pod with {image}{here}; the sandbox image of Kubernetes {version} is {wanted}"
    );
    let hint =
        format!("set sandbox_image = \"{wanted}\" in /etc/containerd/config.toml, and restart containerd");
    vec![warning("ImagePull", message, &hint)]
}

/// The kubelet takes over the runtime's driver where the runtime can tell it; else the two must have been told the same.
async fn cgroup_driver(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let socket = &cluster.config.node_registration.cri_socket;
    if host.cgroup_driver(socket).await.is_ok_and(|driver| driver.is_none()) {
        let kubelets =
            cluster.config.kubelet.get("cgroupDriver").and_then(Value::as_str).unwrap_or("systemd");
        let message = format!(
            "the container runtime cannot tell its cgroup driver; kubelets from 1.38 on refuse such a runtime, and until \
             then it has to be the kubelet's, which is {kubelets}"
        );
        let hint = "upgrade the container runtime (containerd 2.0 or newer), or see that SystemdCgroup in its configuration fits";
        return vec![warning("ContainerRuntimeVersion", message, hint)];
    }
    vec![]
}

/// Whether the kubelet is there, fits the version and starts at boot.
pub async fn kubelet(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut found = vec![];
    let output = host.query(&["kubelet", "--version"]).await;
    let printed =
        output.as_ref().ok().filter(|output| output.success()).map(|output| output.stdout.as_bytes());
    let version = printed.and_then(parse::kubelet_version);
    let version = version.and_then(|version| version.to_string().parse::<KubeVersion>().ok());
    if let Some(kubelet) = version {
        if let Err(skew) = check_kubelet_skew(&kubelet, &cluster.config.kubernetes_version) {
            let hint = "install another kubelet, or choose the version with --kubernetes-version";
            found.push(error("KubeletVersion", skew.to_string(), hint));
        }
    } else {
        let why = match &output {
            Ok(output) if output.success() => format!("`kubelet --version` says {:?}", output.stdout.trim()),
            _ => "kubelet does not run".to_owned(),
        };
        let hint = "install the kubelet package of the cluster's version";
        let message = format!("couldn't get kubelet version: {why}");
        // From 1.35 on, what the machine has to offer depends on the kubelet: kubeadm reports both.
        if cluster.row().minor >= 35 {
            found.push(error("SystemVerification", message.clone(), hint));
        }
        found.push(error("KubeletVersion", message, hint));
    }
    match host.service(KUBELET).await {
        Ok(state) if !state.exists => {
            let hint = "install the kubelet's package, which brings its unit";
            found.push(error("Service-Kubelet", "kubelet service does not exist", hint));
        }
        Ok(state) if !state.enabled => {
            let message = "kubelet service is not enabled, please run 'systemctl enable kubelet.service'";
            found.push(warning("Service-Kubelet", message, "systemctl enable kubelet.service"));
        }
        Ok(_) => {}
        Err(fault) => {
            let message = format!("the service manager does not answer: {fault}");
            found.push(warning("Service-Kubelet", message, "rkadm needs systemd to manage the kubelet"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rkadm_core::{
        config::ResolvedInit,
        host::fake::{FakeHost, World},
    };
    use serde_json::json;

    use super::{super::Severity, *};
    use crate::init::Environment;

    #[tokio::test]
    async fn a_runtime_that_cannot_tell_its_cgroup_driver_is_warned_of() {
        let config =
            ResolvedInit { kubelet: json!({ "cgroupDriver": "cgroupfs" }), ..ResolvedInit::default() };
        let cluster = Cluster::new(Arc::new(config), Environment::default());
        let found = container_runtime(&FakeHost::default(), &cluster).await;
        let [(Severity::Warning, finding)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(finding.check, "ContainerRuntimeVersion");
        assert!(finding.message.contains("cannot tell its cgroup driver"), "{}", finding.message);
        assert!(
            finding.message.ends_with("it has to be the kubelet's, which is cgroupfs"),
            "{}",
            finding.message
        );
        let newer = World { cgroup_driver: Some("systemd"), ..World::ready() };
        assert!(container_runtime(&FakeHost::new(newer), &cluster).await.is_empty());
    }
}
