//! Manifests that say something else than the cluster's configuration: the upgrade would lose it without a word.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::passwords,
    host::{FileKind, Probe},
    manifest::{
        self, Component,
        pod::{container, kubernetes_version},
    },
    yaml,
};

use super::configured;
use crate::{
    init::Cluster,
    patches,
    preflight::{Found, error, warning},
    upgrade::{Upgrading, target::desired_pod},
};

const DRIFT: &str = "ManifestDrift";
const STRAY: &str = "StrayManifest";
/// More lines of a difference than this help nobody.
const LINES: usize = 8;

/// Compares all manifests, and looks for files that the kubelet takes for some.
pub async fn look(host: &dyn Probe, upgrading: &Upgrading) -> Vec<Found> {
    let mut found = vec![];
    for component in Component::ALL {
        let changes = upgrading.cluster.etcd_data_dir().is_some() && upgrading.request.etcd_upgrade;
        if component == Component::Etcd && !changes {
            continue;
        }
        found.extend(of(host, upgrading, component).await);
    }
    found.extend(strays(host).await);
    found
}

async fn of(host: &dyn Probe, upgrading: &Upgrading, component: Component) -> Vec<Found> {
    let path = Cluster::manifest(&component.file_name());
    let bytes = match host.read(&path).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let message = format!("{} does not exist", path.display());
            return vec![error("StaticPodManifest", message, "`rkadm health` says what runs here")];
        }
        Err(fault) => return vec![error("StaticPodManifest", fault.to_string(), "mend that first")],
    };
    let Ok(there) = yaml::from_str::<Pod>(&String::from_utf8_lossy(&bytes)) else {
        let message = format!("{} is not the manifest of a pod", path.display());
        return vec![error("StaticPodManifest", message, "put a manifest that works in its place")];
    };
    // etcd's own version says nothing about the cluster's.
    let version = if component == Component::Etcd { None } else { kubernetes_version(&there) };
    let version = version.unwrap_or_else(|| upgrading.request.from.clone());
    let Some(cluster) = configured(upgrading, &version) else { return vec![] };
    // Patches that cannot be read are told where they are applied.
    let Ok(patches) = patches::found(host, &cluster).await.map(|found| found.patches) else { return vec![] };
    let Ok(expected) = desired_pod(host, &cluster, component, &patches).await else { return vec![] };
    let patched = patches.iter().any(|patch| patch.target == component.into());
    judged(&path, &expected, &there, &bytes, component, patched)
}

/// The lines that would go, and those that would come.
fn judged(
    path: &Path,
    expected: &Pod,
    there: &Pod,
    bytes: &[u8],
    component: Component,
    patched: bool,
) -> Vec<Found> {
    let diff = manifest::diff(expected, bytes);
    let of_sign = |sign: char| -> Vec<String> {
        let lines = diff
            .lines()
            .filter(|line| line.starts_with(sign) && !line.starts_with("---") && !line.starts_with("+++"));
        lines.map(|line| passwords(line[1..].trim().trim_start_matches("- "))).collect()
    };
    let (lost, gained) = (of_sign('-'), of_sign('+'));
    // The new image comes anyway.
    let is_image = |line: &String| line.starts_with("image:");
    let own_image = container(there).and_then(|it| it.image.clone()).unwrap_or_default();
    let mut found = vec![];
    if component != Component::Etcd && lost.iter().any(is_image) {
        let message =
            format!("{} runs {own_image}, which is not of the cluster's imageRepository", path.display());
        let hint = "set imageRepository in the ClusterConfiguration of ConfigMap kube-system/kubeadm-config, or the upgrade pulls from there";
        found.push(warning(DRIFT, message, hint));
    }
    // How patient a probe is comes from a setting that clusters do not keep.
    let is_patience = |line: &String| line.starts_with("failureThreshold:");
    let lost: Vec<_> = lost.into_iter().filter(|line| !is_image(line) && !is_patience(line)).collect();
    let gained: Vec<_> = gained.into_iter().filter(|line| !is_image(line) && !is_patience(line)).collect();
    let name = component.name();
    if !lost.is_empty() && patched {
        // A patch may have been another one when the manifest was written.
        let message = format!(
            "{} was edited by hand, or its patches were: the upgrade writes it anew, without {}",
            path.display(),
            some_of(&lost)
        );
        found.push(warning(
            DRIFT,
            message,
            "see that it is in the configuration or in a patch, where it is to stay",
        ));
    } else if !lost.is_empty() {
        let message = format!(
            "{} was edited by hand, and the upgrade writes it anew: it would lose {}",
            path.display(),
            some_of(&lost)
        );
        let proxies = if lost.iter().any(|line| line.to_lowercase().contains("_proxy")) {
            "run it with the same proxy variables as `init` was; otherwise "
        } else {
            ""
        };
        let hint = format!(
            "{proxies}bring it into the configuration (kubectl -n kube-system edit configmap kubeadm-config: {}.extraArgs, extraVolumes, \
             extraEnvs) or into a patch (--patches, {name}.yaml); --ignore-preflight-errors={DRIFT} gives it up",
            section(component)
        );
        found.push(error(DRIFT, message, &hint));
    } else if !gained.is_empty() {
        let message = format!(
            "{}: the configuration has what the manifest has not, and the upgrade brings it: {}",
            path.display(),
            some_of(&gained)
        );
        found.push(warning(DRIFT, message, "see that it is meant to come"));
    }
    found
}

fn some_of(lines: &[String]) -> String {
    let more = lines.len().saturating_sub(LINES);
    let shown: Vec<_> = lines.iter().take(LINES).map(String::as_str).collect();
    let rest = if more > 0 { format!(" and {more} more lines") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

fn section(component: Component) -> &'static str {
    match component {
        Component::Etcd => "etcd.local",
        Component::ApiServer => "apiServer",
        Component::ControllerManager => "controllerManager",
        Component::Scheduler => "scheduler",
    }
}

/// The kubelet runs every file of the directory that does not begin with a dot, whatever its name ends with.
async fn strays(host: &dyn Probe) -> Vec<Found> {
    let dir = Cluster::manifests();
    let mut found = vec![];
    for name in host.list(&dir).await.unwrap_or_default() {
        let own = Component::ALL.iter().any(|component| component.file_name() == name);
        if own || name.starts_with('.') {
            continue;
        }
        let path = dir.join(&name);
        if !matches!(host.stat(&path).await, Ok(Some(stat)) if stat.kind == FileKind::File) {
            continue;
        }
        let bytes = host.read(&path).await.ok().flatten().unwrap_or_default();
        let pod = yaml::from_str::<Pod>(&String::from_utf8_lossy(&bytes)).ok();
        let component = pod.as_ref().and_then(|pod| {
            let name = pod.metadata.name.as_deref()?;
            Component::ALL.into_iter().find(|component| component.name() == name)
        });
        match component {
            Some(component) => {
                let message = format!(
                    "{} is a second manifest of {component}: the kubelet runs it too",
                    path.display()
                );
                found.push(error(STRAY, message, &format!("move it away: mv {} /root/", path.display())));
            }
            None if pod.is_none() => {
                let message =
                    format!("{} is no pod: the kubelet complains of it every few seconds", path.display());
                found.push(warning(STRAY, message, "move it away"));
            }
            None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: kube-scheduler}, spec: {containers: [{name: kube-scheduler, \
        image: 'r/kube-scheduler:v1.36.4', command: [kube-scheduler, --v=2]}]}}";

    fn messages(there: &str) -> Vec<(bool, String)> {
        judged_as(there, false)
    }

    fn judged_as(there: &str, patched: bool) -> Vec<(bool, String)> {
        let expected: Pod = yaml::from_str(POD).unwrap();
        let pod: Pod = yaml::from_str(there).unwrap();
        judged("/m.yaml".as_ref(), &expected, &pod, there.as_bytes(), Component::Scheduler, patched)
            .into_iter()
            .map(|(severity, finding)| (severity == crate::preflight::Severity::Error, finding.message))
            .collect()
    }

    #[test]
    fn what_a_hand_added_is_told_before_it_is_lost() {
        assert!(messages(POD).is_empty());
        let edited = POD.replace("--v=2", "--v=2, --profiling=false");
        assert_eq!(
            messages(&edited),
            [(
                true,
                "/m.yaml was edited by hand, and the upgrade writes it anew: it would lose --profiling=false"
                    .into()
            )]
        );
        // With patches it may be one of before, which the operator took away.
        let told = "/m.yaml was edited by hand, or its patches were: the upgrade writes it anew, without --profiling=false";
        assert_eq!(judged_as(&edited, true), [(false, told.into())]);
        let behind = POD.replace(", --v=2", "");
        assert_eq!(
            messages(&behind),
            [(
                false,
                "/m.yaml: the configuration has what the manifest has not, and the upgrade brings it: --v=2"
                    .into()
            )]
        );
        let image = POD.replace("r/kube", "mirror/kube");
        assert_eq!(
            messages(&image),
            [(
                false,
                "/m.yaml runs mirror/kube-scheduler:v1.36.4, which is not of the cluster's imageRepository"
                    .into()
            )]
        );
    }
}
