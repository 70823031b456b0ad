//! What is special about `reset`: it can be taken back after its end, and what others rely on cannot.

use std::{path::Path, sync::Arc};

use rkadm_core::{
    engine::{OnFailure, RunError, operation::Status, rollback::RollbackError},
    etcd::Member,
    host::fake::{Fault, Node},
};
use rkadm_phases::reset::Reset;

use crate::{
    machine::{Machine, reset, workflows},
    unfinished::Heard,
};

/// A machine with a control plane.
async fn control_plane() -> Machine {
    let scenario = workflows().into_iter().find(|scenario| scenario.name == "reset").unwrap();
    scenario.machine().await
}

fn member(id: u64, name: &str) -> Member {
    let url = |port| vec![format!("https://10.0.0.{id}:{port}")];
    Member { id, name: name.into(), peer_urls: url(2380), client_urls: url(2379), is_learner: false }
}

/// One of three.
async fn one_of_three() -> Machine {
    let machine = control_plane().await;
    machine.host.edit(|world| {
        world.members = vec![member(1, "node1"), member(2, "node2"), member(3, "node3")];
        world.others_serve = true;
    });
    machine
}

fn with(change: impl FnOnce(&mut Reset)) -> Arc<Reset> {
    let mut changed = (*reset()).clone();
    change(&mut changed);
    Arc::new(changed)
}

fn left(machine: &Machine) -> Vec<String> {
    let world = machine.host.world();
    let files = world.paths.iter().filter(|(_, node)| matches!(node, Node::File(..)));
    let names = files.map(|(path, _)| path.display().to_string());
    names.filter(|path| path.starts_with("/etc/kubernetes") || path.starts_with("/var/lib")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_reset_can_be_taken_back_once() {
    let machine = control_plane().await;
    let before = machine.host.world();
    machine.run_reset(&reset()).await.unwrap();
    assert_eq!(left(&machine), Vec::<String>::new());
    assert!(machine.host.world().sandboxes.is_empty());
    machine.roll_back().await.unwrap();
    assert_eq!(machine.status(), Status::RolledBack);
    assert!(before == machine.host.world(), "the machine is not as it was");
    assert!(matches!(machine.roll_back().await, Err(RollbackError::Settled { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_kept_is_nothing_to_take_back() {
    let machine = control_plane().await;
    machine.run_reset(&with(|reset| reset.archive_dir = None)).await.unwrap();
    assert!(machine.host.world().archives.is_empty());
    assert!(matches!(machine.roll_back().await, Err(RollbackError::Settled { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_leaves_through_the_others_and_does_not_come_back() {
    let machine = one_of_three().await;
    machine.run_reset(&reset()).await.unwrap();
    let names: Vec<_> = machine.host.world().members.into_iter().map(|member| member.name).collect();
    assert_eq!(names, ["node2", "node3"]);
    assert_eq!(left(&machine), Vec::<String>::new());
    assert!(matches!(machine.roll_back().await, Err(RollbackError::Settled { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_member_left_is_taken_back_to_there() {
    let machine = one_of_three().await;
    machine.host.inject(5, Fault::Refuse);
    let error = machine.run_reset(&reset()).await.expect_err("swallowed");
    let RunError::Failed { aftermath, .. } = error else { panic!("{error}") };
    let text = format!("{aftermath:?}");
    assert!(text.contains("etcd member node1 (1) was asked to leave its cluster"), "{text}");
    assert_eq!(machine.host.world().members.len(), 2);
}

/// Its etcd would begin a new and empty cluster behind the address of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_whose_large_data_are_not_kept_never_starts_again() {
    let large = async || {
        let machine = one_of_three().await;
        machine.host.edit(|world| world.tree_bytes = 1 << 30);
        machine
    };
    let undisturbed = large().await;
    undisturbed.run_reset(&reset()).await.unwrap();
    let changes = undisturbed.host.changes();
    let removal = changes.iter().position(|change| change.starts_with("rm -r")).unwrap();
    for (change, what) in changes.iter().enumerate().skip(removal) {
        let machine = large().await;
        machine.host.inject(change, Fault::CrashAfter);
        assert!(machine.crashes_in_reset(&reset()).await);
        let _ = machine.roll_back().await;
        let world = machine.host.world();
        let has = |path: &str| world.paths.contains_key(Path::new(path));
        assert!(
            !has("/etc/kubernetes/manifests/etcd.yaml") || has("/var/lib/etcd/member"),
            "after {what}: a control plane without its data"
        );
        assert_eq!(world.archives.len(), 1, "what else was removed is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_member_that_may_not_have_left_are_kept() {
    let machine = one_of_three().await;
    machine.host.edit(|world| world.tree_bytes = 1 << 30);
    machine.run_reset(&with(|reset| reset.config.force = true)).await.unwrap();
    let archives = machine.host.world().archives;
    assert!(
        archives.values().all(|kept| kept.paths.keys().any(|path| path.starts_with("/var/lib/etcd/member")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_control_plane_of_a_cluster_that_has_others_is_not_reset_by_a_slip() {
    let machine = control_plane().await;
    machine.host.edit(|world| {
        world.members = vec![member(1, "node1")];
        let other = serde_json::json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node7"}, "spec": {}});
        world.objects.insert("Node node7".into(), other);
    });
    let before = machine.host.world();
    let error = machine.run_reset(&reset()).await.expect_err("the cluster has ended");
    let text = format!("{error:?}");
    assert!(text.contains("with it ends the cluster that node7 still belongs to"), "{text}");
    assert!(before == machine.host.world(), "something was changed");
    machine.run_reset(&with(|reset| reset.config.force = true)).await.unwrap();
}

/// A log on a disk of its own goes like the data, and a file system inside them stays, which is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_apart_goes_as_well_and_what_is_mounted_inside_stays() {
    let machine = one_of_three().await;
    machine.host.edit(|world| {
        let manifest = world.paths.get_mut(Path::new("/etc/kubernetes/manifests/etcd.yaml")).unwrap();
        let Node::File(text, _) = manifest else { panic!("no file") };
        let data = "- --data-dir=/var/lib/etcd\n";
        let with_log = format!("- --wal-dir=/var/lib/etcd-log\n    {data}");
        let mount = "    volumeMounts:\n";
        let with_mount = format!("{mount}    - mountPath: /var/lib/etcd-log\n      name: log\n");
        let volume = "  volumes:\n";
        let with_volume = format!("{volume}  - hostPath:\n      path: /var/lib/etcd-log\n    name: log\n");
        let edited = String::from_utf8_lossy(text).replacen(data, &with_log, 1);
        *text = edited.replacen(mount, &with_mount, 1).replacen(volume, &with_volume, 1).into_bytes();
        world.paths.insert("/var/lib/etcd-log".into(), Node::Dir(0o700));
        world.paths.insert("/var/lib/etcd-log/0.wal".into(), Node::File(b"log".to_vec(), 0o600));
        world.mounts.insert("/var/lib/etcd/member/snap".into());
    });
    let scenario = workflows().into_iter().find(|scenario| scenario.name == "reset").unwrap();
    let heard = Heard::default();
    machine.run_watched(&scenario, OnFailure::Rollback, &heard).await.unwrap();
    assert_eq!(left(&machine), Vec::<String>::new());
    let archives = machine.host.world().archives;
    assert!(archives.values().any(|kept| kept.paths.contains_key(Path::new("/var/lib/etcd-log/0.wal"))));
    let warnings = heard.0.into_inner().unwrap();
    let told = "/var/lib/etcd/member/snap is a file system of its own in what is removed: it stays";
    assert!(warnings.iter().any(|warning| warning.starts_with(told)), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_in_what_is_removed_is_refused() {
    let machine = one_of_three().await;
    let before = machine.host.world();
    let inside = with(|reset| reset.archive_dir = Some("/var/lib/etcd/archives".into()));
    let error = machine.run_reset(&inside).await.expect_err("the archive would be removed");
    assert!(error.to_string().contains("would be removed with /var/lib/etcd"), "{error}");
    assert!(before == machine.host.world(), "something was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn quorum_is_not_given_up_without_a_word() {
    let machine = one_of_three().await;
    machine.host.edit(|world| world.members[2].client_urls.clear());
    let before = machine.host.world();
    let error = machine.run_reset(&reset()).await.expect_err("quorum was given up");
    let expected = "without this one, etcd has 2 voting members, of which 2 must be up for it to take writes, and 1 is: \
                    node3 (3) does not answer";
    assert!(error.to_string().contains(expected), "{error}");
    assert!(before == machine.host.world(), "something was changed");
    machine.run_reset(&with(|reset| reset.config.force = true)).await.unwrap();
    assert_eq!(machine.host.world().members.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_that_cannot_be_asked_stops_it_unless_forced() {
    let machine = control_plane().await;
    machine.host.edit(|world| world.services.get_mut("kubelet").unwrap().active = "inactive".into());
    let error = machine.run_reset(&reset()).await.expect_err("nobody said that it is alone");
    assert!(error.to_string().contains("etcd cannot be asked for its members"), "{error}");
    machine.run_reset(&with(|reset| reset.config.force = true)).await.unwrap();
    assert_eq!(left(&machine), Vec::<String>::new());
}

/// The kubelet starts at boot, and the archive is of before.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_after_an_interruption_is_kept_as_well() {
    let machine = control_plane().await;
    let changes = {
        let undisturbed = control_plane().await;
        undisturbed.run_reset(&reset()).await.unwrap();
        undisturbed.host.changes()
    };
    let removal = changes.iter().position(|change| change.starts_with("rm -r")).unwrap();
    machine.host.inject(removal + 8, Fault::CrashBefore);
    assert!(machine.crashes_in_reset(&reset()).await);
    let came = Path::new("/var/lib/kubelet/state");
    machine.host.edit(|world| {
        world.services.get_mut("kubelet").unwrap().active = "active".into();
        world.paths.insert(came.to_owned(), Node::File(b"new".into(), 0o600));
    });
    machine.run_reset(&reset()).await.unwrap();
    let world = machine.host.world();
    assert_eq!(world.archives.len(), 2, "{:?}", world.archives.keys());
    machine.roll_back().await.unwrap();
    let world = machine.host.world();
    assert!(world.paths.contains_key(came));
    assert!(world.paths.contains_key(Path::new("/etc/kubernetes/manifests/etcd.yaml")));
    assert!(world.archives.is_empty());
}
