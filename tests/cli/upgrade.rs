//! `upgrade` where it cannot begin: what is said, and that nothing is changed. That it works is proved on real nodes.

use insta::assert_snapshot;
use serde_json::json;

use crate::{
    machine::{CONFIG, Machine, is_root},
    server::{Mood, Server},
};

#[test]
fn a_version_is_needed_that_exists() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.refuses("upgrade apply v1.99.0 --yes", 2, &["version v1.99.0 is not supported", "v1.37.2"]);
    machine.refuses("upgrade apply latest --yes", 2, &["cannot be resolved without asking the internet"]);
    machine.refuses("upgrade apply 1.37 --yes", 2, &["\"1.37\" is not a version"]);
    machine.refuses("upgrade plan v1.33.0", 2, &["version v1.33.0 is not supported"]);
}

#[test]
fn a_machine_without_a_node_is_told() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.refuses("upgrade node", 3, &["there is no Kubernetes node on this machine", "rkadm join"]);
    machine.refuses(
        "upgrade apply v1.37.2 --yes --kubeconfig /etc/kubernetes/admin.conf",
        3,
        &["there is no Kubernetes node on this machine"],
    );
    machine.refuses("upgrade plan", 3, &["there is no Kubernetes node on this machine"]);
    machine.refuses("upgrade diff", 3, &["there is no Kubernetes node on this machine"]);
}

#[test]
fn a_configuration_of_another_kind_is_refused_with_the_place_where_the_cluster_has_its_own() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write_here("c.yaml", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n");
    machine.refuses(
        "upgrade apply v1.37.2 --yes --config c.yaml",
        4,
        &["no UpgradeConfiguration was found", "ConfigMap kube-system/kubeadm-config"],
    );
    let bad =
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: UpgradeConfiguration\napply: {forceUpgrades: true}\n";
    machine.write_here("c.yaml", bad);
    machine.refuses(
        "upgrade apply v1.37.2 --yes --config c.yaml",
        4,
        &["c.yaml:3", "apply.forceUpgrades", "did you mean `forceUpgrade`?"],
    );
}

#[test]
fn phases_and_skips_that_do_not_exist_are_named() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.refuses("upgrade apply phase control-planes", 2, &["control-plane"]);
    machine.refuses("upgrade node --certificate-renewal=maybe", 2, &["invalid value 'maybe'"]);
}

/// A control plane of v1.35 beside others, and what its cluster keeps.
fn control_planes(names: &[&str]) -> (Machine, Server) {
    let (machine, server) = (Machine::new(), Server::start(Mood::Willing));
    machine
        .with_config("init phase control-plane apiserver", CONFIG.replace("v1.37.2", "v1.35.8"))
        .succeeds();
    server.admin_of(&machine);
    let cluster =
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.35.8\n";
    let kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    for (name, key, text) in
        [("kubeadm-config", "ClusterConfiguration", cluster), ("kubelet-config", "kubelet", kubelet)]
    {
        server.put(json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}}));
    }
    for node in names {
        server.put(json!({
            "kind": "Node", "metadata": {"name": node, "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.35.8"}},
        }));
        let image = "registry.k8s.io/kube-apiserver:v1.35.8";
        server.put(json!({
            "kind": "Pod",
            "metadata": {
                "name": format!("kube-apiserver-{node}"),
                "labels": {"component": "kube-apiserver", "tier": "control-plane"},
            },
            "spec": {"nodeName": node, "containers": [{"name": "kube-apiserver", "image": image}]},
        }));
    }
    (machine, server)
}

/// API servers may be one minor apart: all of them take a step before the first takes the next.
#[test]
fn several_control_planes_are_not_brought_over_several_minors_one_by_one() {
    if !is_root() {
        return;
    }
    let upgrade = "upgrade apply v1.37.2 --kubeconfig /etc/kubernetes/admin.conf";
    let (machine, server) = control_planes(&["cp1", "cp2"]);
    assert_snapshot!(machine.refuses(&format!("{upgrade} --yes"), 3, &[]).report(), @r#"
exit 3
--- stderr
Warning: [EtcdVersion] the step to v1.37.2 asks for etcd 3.6.11 or newer, and what comes before it brings 3.6.8 unless its image holds a newer one: set etcd.local.imageTag to 3.6.11-0 or newer in ConfigMap kube-system/kubeadm-config before that step
Error: from v1.35.8 to v1.37.2 there are 2 steps, and each is to be taken by all control planes (cp1, cp2) before the next
  Nothing was changed.
Hint: here `rkadm upgrade apply v1.36.4`, then on each other control plane `rkadm upgrade node`
Hint: here `rkadm upgrade apply v1.37.2`, then on each other control plane `rkadm upgrade node`
"#);
    assert!(!server.was_written_to());
    // One step is up to each of them, and one alone goes over both: only somebody who says yes is missing.
    let unconfirmed = "nobody is there to confirm";
    machine.refuses(&upgrade.replace("v1.37.2", "v1.36.4"), 3, &[unconfirmed]);
    let (alone, _server) = control_planes(&["cp1"]);
    alone.refuses(upgrade, 3, &[unconfirmed]);
}
