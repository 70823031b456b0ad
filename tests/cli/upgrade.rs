//! `upgrade` where it cannot begin: what is said, and that nothing is changed. That it works is proved on real nodes.

use crate::machine::{Machine, is_root};

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
    machine.refuses("upgrade apply v1.37.2 --yes", 3, &["there is no Kubernetes node on this machine"]);
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
