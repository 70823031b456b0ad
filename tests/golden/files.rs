//! Static pod manifests and the kubelet's files.

use crate::fixture;
use rkadm_core::kubelet::{self, KubeletFlags};
use rkadm_core::manifest::{self, Component};
use rkadm_core::yaml;
use serde_json::Value;

fn parsed(text: &str) -> Value {
    yaml::from_str(text).unwrap()
}

#[test]
fn static_pods_are_those_of_kubeadm() {
    for scenario in fixture::all() {
        for component in Component::ALL {
            let Some(recorded) = scenario.recorded(&component.file_name()) else {
                assert!(component == Component::Etcd && scenario.init.cluster.etcd.external.is_some());
                continue;
            };
            let pod = manifest::static_pod(component, &scenario.static_pods()).unwrap();
            let difference = manifest::diff(&pod, recorded.as_bytes());
            assert!(difference.is_empty(), "{} {component}\n{difference}", scenario.name);
            // Stricter than what the kubelet would notice: the order of volumes and the status are kubeadm's too.
            assert_eq!(parsed(&manifest::to_yaml(&pod)), parsed(&recorded), "{} {component}", scenario.name);
        }
    }
}

#[test]
fn kubelet_files_are_those_of_kubeadm() {
    for scenario in fixture::all() {
        let registration = &scenario.init.node_registration;
        let own = kubelet::node_config(&scenario.init.node_kubelet(), &registration.cri_socket);
        assert_eq!(own, parsed(&scenario.recorded("config.yaml").unwrap()), "{}", scenario.name);

        let instance = kubelet::instance_config(&registration.cri_socket);
        assert_eq!(Some(instance), scenario.recorded("instance-config.yaml"), "{}", scenario.name);

        let flags = kubelet::flags_env(&KubeletFlags {
            node_name: &registration.name,
            hostname: "the-recording-machine",
            cri_socket: None,
            sandbox_image: None,
            register_taints: &[],
            extra_args: &registration.kubelet_extra_args,
        });
        assert_eq!(Some(flags), scenario.recorded("kubeadm-flags.env"), "{}", scenario.name);
    }
}
