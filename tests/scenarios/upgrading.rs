//! A control plane of the minor before, and what an upgrade of it works from.

use std::{path::Path, sync::Arc};

use rkadm_core::{
    config::{StoredSettings, UpgradedNode, types::Kind as _, upgraded},
    engine::{OnFailure, RunError, operation::Status, runner::Aftermath},
    etcd::Member,
    host::fake::{Fault, Node, World},
    version::KubeVersion,
    yaml,
};
use rkadm_phases::{
    init::Environment,
    upgrade::{Scope, Upgrade, Upgrading},
};
use tokio::sync::OnceCell;

use crate::machine::{Machine, config_of, workflows};

const OLD: &str = "v1.36.4";
const NEW: &str = "v1.37.2";

/// After `init` of the old version, with the images of both.
pub async fn world() -> World {
    static FINISHED: OnceCell<World> = OnceCell::const_new();
    let finished = FINISHED.get_or_init(|| async {
        let config = config_of(OLD);
        let machine = Machine::ready_for(&config);
        let init = workflows().remove(0).of_version(OLD);
        machine.run(&init).await.unwrap();
        machine.host.edit(|world| {
            world.images.extend(config_of(NEW).images());
            world.members = vec![Member {
                id: 1,
                name: "node1".into(),
                peer_urls: vec!["https://10.0.0.1:2380".into()],
                client_urls: vec!["https://10.0.0.1:2379".into()],
                is_learner: false,
            }];
        });
        machine.host.world()
    });
    finished.await.clone()
}

/// The upgrade of that.
pub fn of(scope: Scope) -> Arc<Upgrading> {
    Arc::new(Upgrading::new(request(scope)))
}

/// What is asked for by that.
pub fn request(scope: Scope) -> Upgrade {
    let old = config_of(OLD);
    let version: KubeVersion = NEW.parse().unwrap();
    let stored = StoredSettings {
        cluster: yaml::to_string(&old.cluster.to_document()),
        kubelet: yaml::to_string(&old.kubelet),
        kubelet_generated: true,
        kube_proxy: Some(yaml::to_string(&old.kube_proxy)),
        kube_proxy_generated: true,
    };
    let node = UpgradedNode {
        name: "node1".into(),
        cri_socket: "unix:///run/containerd/containerd.sock".into(),
        endpoint: old.local_api_endpoint.clone(),
        timeouts: old.timeouts.clone(),
        // The machine in memory has no health to speak of.
        ignore_preflight_errors: vec!["all".into()],
        ..UpgradedNode::default()
    };
    Upgrade {
        scope,
        config: upgraded(&stored, &node, &version).unwrap(),
        stored,
        from: OLD.parse().unwrap(),
        control_plane: true,
        // One of them is enough: the scenarios make thousands of runs.
        certificate_renewal: scope == Scope::Cluster,
        etcd_upgrade: true,
        backup_dir: "/var/lib/rkadm/backups".into(),
        environment: Environment::default(),
        ..Upgrade::default()
    }
}

fn etcd_image(world: &World) -> bool {
    let Some(Node::File(text, _)) = world.paths.get(Path::new("/etc/kubernetes/manifests/etcd.yaml")) else {
        return false;
    };
    String::from_utf8_lossy(text).contains("/etcd:3.7")
}

/// etcd's new server has raised the version of the data by then: the old one would not open it as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_upgrade_is_taken_back_with_etcds_data() {
    let upgrade = workflows().into_iter().find(|it| it.name == "upgrade apply").unwrap();
    let machine = upgrade.machine().await;
    let before = machine.host.world();
    machine.run(&upgrade).await.unwrap();
    let after = machine.host.world();
    assert!(etcd_image(&after) && after.etcd_storage == Some((3, 7)));
    machine.roll_back().await.unwrap();
    let back = machine.host.world();
    assert_eq!(back.etcd_storage, Some((3, 6)));
    assert_eq!(before, back);
    assert!(machine.roll_back().await.is_err(), "there is nothing more to take back");
}

/// A control plane that does not come up: everything is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_after_the_switch_is_taken_back() {
    let upgrade = workflows().into_iter().find(|it| it.name == "upgrade apply").unwrap();
    let machine = upgrade.machine().await;
    let before = machine.host.world();
    let changes = upgrade.changes().await;
    machine.host.inject(changes - 1, Fault::Refuse);
    let error = machine.run_with(&upgrade, OnFailure::Rollback).await.expect_err("swallowed");
    let RunError::Failed { aftermath, .. } = error else { panic!("{error}") };
    assert!(matches!(*aftermath, Aftermath::RolledBack { commit_point: None, .. }));
    assert_eq!(machine.status(), Status::RolledBack);
    assert_eq!(before, machine.host.world());
}

/// A new control plane that has served, and then died for good: what it holds can only be taken back once the old one is there.
#[tokio::test(flavor = "multi_thread")]
async fn objects_wait_for_the_control_plane_that_comes_back() {
    let upgrade = workflows().into_iter().find(|it| it.name == "upgrade apply").unwrap();
    let machine = upgrade.machine().await;
    let before = machine.host.world();
    machine.run(&upgrade).await.unwrap();
    machine.host.edit(|world| {
        world.paths.remove(Path::new("/etc/kubernetes/manifests/kube-apiserver.yaml"));
    });
    machine.roll_back().await.unwrap();
    assert_eq!(machine.status(), Status::RolledBack);
    assert_eq!(before, machine.host.world());
}

/// An upgrade that was killed anywhere and finished by another run has steps of both in its journal.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_was_killed_and_resumed_is_taken_back() {
    let upgrade = workflows().into_iter().find(|it| it.name == "upgrade apply").unwrap();
    for change in 0..upgrade.changes().await {
        let machine = upgrade.machine().await;
        let before = machine.host.world();
        machine.host.inject(change, Fault::CrashAfter);
        if !machine.crashes(&upgrade).await {
            continue;
        }
        machine.run(&upgrade).await.unwrap();
        machine.roll_back().await.unwrap_or_else(|error| panic!("killed at change {change}: {error}"));
        assert_eq!(machine.status(), Status::RolledBack, "killed at change {change}");
        let after = machine.host.world();
        assert!(before == after, "killed at change {change}");
    }
}

/// One that holds the lease keeps others out.
#[tokio::test(flavor = "multi_thread")]
async fn two_upgrades_of_a_cluster_keep_out_of_each_others_way() {
    let upgrade = workflows().into_iter().find(|it| it.name == "upgrade node").unwrap();
    let machine = upgrade.machine().await;
    let now = jiff::Timestamp::now().to_string();
    machine.host.edit(|world| {
        let lease = serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "rkadm-upgrade", "namespace": "kube-system"},
            "spec": {"holderIdentity": "cp2", "renewTime": now, "leaseDurationSeconds": 600},
        });
        world.objects.insert("Lease kube-system/rkadm-upgrade".into(), lease);
    });
    let before = machine.host.world();
    let error = machine.run(&upgrade).await.expect_err("two at once");
    assert!(error.to_string().contains("another upgrade of this cluster is under way, on cp2"), "{error}");
    assert_eq!(before, machine.host.world());
}
