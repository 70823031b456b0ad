//! Static pod manifests and the kubelet's files.

use crate::fixture::{self, Scenario};
use rkadm_core::kubelet::{self, KubeletConfigInputs, KubeletFlags};
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
                assert!(component == Component::Etcd && scenario.cluster.etcd.external.is_some());
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

fn kubelet_inputs(scenario: &Scenario) -> KubeletConfigInputs<'_> {
    KubeletConfigInputs { cluster: &scenario.cluster, own: scenario.kubelet.as_ref(), resolv_conf: None }
}

#[test]
fn kubelet_files_are_those_of_kubeadm() {
    for scenario in fixture::all() {
        let registration = &scenario.init.node_registration;
        let shared = kubelet::cluster_config(&kubelet_inputs(&scenario)).unwrap();
        let own = kubelet::node_config(&shared, &registration.cri_socket);
        assert_eq!(own, parsed(&scenario.recorded("config.yaml").unwrap()), "{}", scenario.name);

        let instance = kubelet::instance_config(&registration.cri_socket);
        assert_eq!(Some(instance), scenario.recorded("instance-config.yaml"), "{}", scenario.name);

        let flags = kubelet::flags_env(&KubeletFlags {
            node_name: &registration.name,
            hostname: "the-recording-machine",
            register_taints: &[],
            extra_args: &registration.kubelet_extra_args,
        });
        assert_eq!(Some(flags), scenario.recorded("kubeadm-flags.env"), "{}", scenario.name);
    }
}

#[test]
fn kubelet_settings_of_the_operator_win_but_rotation_stays_on() {
    let mut scenario = fixture::all().remove(0);
    scenario.kubelet = Some(serde_json::json!({
        "rotateCertificates": false, "healthzPort": 0, "authorization": {"mode": "AlwaysAllow"},
        "readOnlyPort": 10255, "resolvConf": "/a",
    }));
    let inputs = KubeletConfigInputs {
        resolv_conf: Some(kubelet::SYSTEMD_RESOLVED_CONF),
        ..kubelet_inputs(&scenario)
    };
    let config = kubelet::cluster_config(&inputs).unwrap();
    assert_eq!(config["rotateCertificates"], true);
    assert_eq!(config["resolvConf"], "/a");
    assert_eq!(config["authorization"]["mode"], "AlwaysAllow");
    let unusual: Vec<_> = kubelet::unusual(&inputs).unwrap().into_iter().map(|(path, ..)| path).collect();
    assert_eq!(unusual, ["authorization.mode", "healthzPort", "readOnlyPort"]);
}
