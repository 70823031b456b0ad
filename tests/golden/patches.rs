//! The files in `patches/`, applied by rkadm and by kubeadm.

use crate::fixture;
use rkadm_core::kube::objects::{self, CoreDnsInputs};
use rkadm_core::kubelet;
use rkadm_core::manifest::patch::{self, PatchTarget, Patches};
use rkadm_core::manifest::{self, Component};
use rkadm_core::yaml;
use serde_json::Value;
use std::path::Path;

fn patches() -> Patches {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/patches");
    let files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    patch::read(&files).unwrap()
}

#[test]
fn patched_static_pods_are_those_of_kubeadm() {
    let patches = patches();
    assert_eq!(patches.ignored.len(), 1);
    for scenario in fixture::patched() {
        for component in Component::ALL {
            let pod = manifest::static_pod(component, &scenario.static_pods()).unwrap();
            let pod = patch::patched_pod(component, &pod, &patches.patches).unwrap();
            let recorded = scenario.recorded(&component.file_name()).unwrap();
            // Order counts for containers; kubeadm prints `resources: {}` for a container without any.
            let difference = manifest::diff(&pod, recorded.as_bytes());
            assert!(difference.is_empty(), "{} {component}\n{difference}", scenario.name);
        }
    }
}

#[test]
fn patched_kubelet_and_coredns_are_those_of_kubeadm() {
    let patches = patches().patches;
    for scenario in fixture::patched() {
        let cluster = &scenario.init.cluster;
        let cri_socket = &scenario.init.node_registration.cri_socket;
        let mut own = kubelet::node_config(&scenario.init.node_kubelet(), cri_socket);
        patch::apply(&mut own, PatchTarget::KubeletConfiguration, &patches).unwrap();
        let recorded: Value = yaml::from_str(&scenario.recorded("config.yaml").unwrap()).unwrap();
        assert_eq!(own, recorded, "{}", scenario.name);

        let inputs = CoreDnsInputs { cluster, row: scenario.row, replicas: None, corefile: None };
        let is_deployment = |object: &Value| object["kind"] == "Deployment";
        let mut ours = objects::coredns(&inputs).unwrap().into_iter().find(is_deployment).unwrap();
        patch::apply(&mut ours, PatchTarget::CoreDnsDeployment, &patches).unwrap();
        let mut recorded = scenario.recorded_objects().into_iter().find(is_deployment).unwrap();
        // The server owns the status.
        recorded.as_object_mut().unwrap().remove("status");
        assert_eq!(ours, recorded, "{}", scenario.name);
    }
}
