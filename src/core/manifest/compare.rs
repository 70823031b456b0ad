//! Writing and comparing manifests. Two manifests are the same when the kubelet would run the same pod: text, key
//! order, comments and the order of volumes do not count.

use crate::yaml;
use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};
use serde_json::Value;
use similar::TextDiff;

/// The manifest as kubeadm writes it: sorted keys and an empty status.
pub fn to_yaml(pod: &Pod) -> String {
    let mut pod = pod.clone();
    pod.status.get_or_insert_with(PodStatus::default);
    let mut value = serde_json::to_value(&pod).unwrap_or(Value::Null);
    yaml::sort_keys(&mut value);
    yaml::to_string(&value)
}

/// True when an existing manifest means the same pod. One that is no YAML or no Pod is different, never an error.
///
/// Upgrades that restart a component only because its file was reformatted time out waiting for a change that the
/// kubelet does not make (kubernetes/kubeadm#2957).
pub fn same(pod: &Pod, existing: &[u8]) -> bool {
    let existing = std::str::from_utf8(existing).ok().and_then(|text| yaml::from_str::<Pod>(text).ok());
    existing.is_some_and(|existing| normal(&existing) == normal(pod))
}

/// What changes from an existing manifest to the pod, as a unified diff of their normal forms; empty when they are the
/// same. A file that is no Pod is shown as it is.
pub fn diff(pod: &Pod, existing: &[u8]) -> String {
    if same(pod, existing) {
        return String::new();
    }
    let text = String::from_utf8_lossy(existing);
    let old = yaml::from_str::<Pod>(&text).map_or_else(|_| text.into_owned(), |old| to_yaml(&normal(&old)));
    let new = to_yaml(&normal(pod));
    TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).to_string()
}

/// Drops what carries no meaning in a static pod.
fn normal(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.status = None;
    pod.metadata.creation_timestamp = None;
    pod.metadata.labels = pod.metadata.labels.filter(|labels| !labels.is_empty());
    pod.metadata.annotations = pod.metadata.annotations.filter(|annotations| !annotations.is_empty());
    if let Some(spec) = pod.spec.as_mut() {
        if let Some(volumes) = spec.volumes.as_mut() {
            volumes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        for container in &mut spec.containers {
            container.resources =
                container.resources.take().filter(|resources| *resources != ResourceRequirements::default());
            if let Some(mounts) = container.volume_mounts.as_mut() {
                for mount in mounts.iter_mut() {
                    mount.read_only = mount.read_only.filter(|read_only| *read_only);
                }
                mounts.sort_by(|a, b| a.mount_path.cmp(&b.mount_path));
            }
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: null}\n\
        spec: {containers: [{name: c, command: [x, --a=b]}], volumes: [{name: z}, {name: y}]}\n";

    #[test]
    fn formatting_does_not_count_but_arguments_do() {
        let pod: Pod = yaml::from_str(POD).unwrap();
        assert!(same(&pod, POD.as_bytes()));
        assert!(same(&pod, to_yaml(&pod).as_bytes()));
        assert!(same(&pod, POD.replace("{name: z}, {name: y}", "{name: y}, {name: z}").as_bytes()));
        assert_eq!(diff(&pod, POD.as_bytes()), "");

        let changed = POD.replace("--a=b", "--a=c");
        assert!(!same(&pod, changed.as_bytes()));
        let shown = diff(&pod, changed.as_bytes());
        assert!(shown.contains("-    - --a=c\n+    - --a=b\n"), "{shown}");
        assert!(!same(&pod, b"\xff"));
        assert!(!same(&pod, b"kind: ["));
    }
}
