use rkadm_core::{
    etcd::Member,
    host::fake::{FakeHost, World},
};

use super::*;

const ETCD: &str = "spec: {containers: [{name: etcd, command: [etcd, '--listen-client-urls=https://127.0.0.1:2379'], \
                    livenessProbe: {httpGet: {host: 127.0.0.1, port: 2381, path: /readyz}}}]}";

fn member(id: u64, name: &str) -> Member {
    Member {
        id,
        name: name.into(),
        peer_urls: vec![format!("https://10.0.0.{id}:2380")],
        client_urls: vec![if id == 1 {
            "https://127.0.0.1:2379".into()
        } else {
            format!("https://10.0.0.{id}:2379")
        }],
        is_learner: false,
    }
}

fn machine(members: Vec<Member>) -> FakeHost {
    let mut world = World::ready();
    for dir in ["/etc/kubernetes", "/etc/kubernetes/manifests"] {
        world.paths.insert(dir.into(), rkadm_core::host::fake::Node::Dir(0o700));
    }
    world = world.with_file("/etc/kubernetes/manifests/etcd.yaml", ETCD);
    for unit in world.services.values_mut() {
        unit.active = "active".into();
    }
    world.members = members;
    world.others_serve = true;
    FakeHost::new(world)
}

async fn messages(host: &FakeHost, component: &str) -> Vec<(State, String)> {
    let report = look(host).await;
    let of_it = report.checks.into_iter().filter(|check| check.component == component);
    of_it.map(|check| (check.state, check.message)).collect()
}

#[tokio::test]
async fn a_machine_without_a_kubelet_fails_and_says_so() {
    let host = FakeHost::new(World::ready());
    let found = messages(&host, "kubelet").await;
    assert_eq!(found, [(State::Failed, "its unit is inactive (0 restarts)".into())]);
    assert_eq!(look(&host).await.worst(), State::Failed);
}

#[tokio::test]
async fn without_a_quorum_the_data_that_is_here_comes_before_a_backup() {
    let host = machine(vec![member(1, "node1"), member(2, "cp2"), member(3, "cp3")]);
    host.edit(|world| world.quorum_lost = true);
    let report = look(&host).await;
    let check = report.failed().find(|check| check.component == "etcd").unwrap();
    assert!(check.message.contains("this member answers, but the cluster has no quorum"), "{check:?}");
    let hint = check.hint.clone().unwrap();
    let places = ["restore etcd --from-survivor", "restore etcd latest"].map(|command| hint.find(command));
    assert!(places[0].is_some() && places[0] < places[1], "{hint}");
}

#[tokio::test]
async fn a_manifest_that_is_missing_is_named_with_the_command_that_writes_it() {
    let report = look(&machine(vec![member(1, "cp1")])).await;
    let check = report.failed().find(|check| check.component == "kube-scheduler").unwrap();
    assert!(check.message.contains("/etc/kubernetes/manifests/kube-scheduler.yaml is missing"), "{check:?}");
    assert_eq!(check.hint.as_deref(), Some("write it anew: rkadm init phase control-plane scheduler"));
}

#[tokio::test]
async fn learners_and_members_that_never_started_are_found() {
    let learner = Member { is_learner: true, ..member(2, "cp2") };
    let unborn = Member { name: String::new(), client_urls: vec![], ..member(3, "") };
    let found = messages(&machine(vec![member(1, "cp1"), learner, unborn]), "etcd").await;
    let says =
        |state: State, text: &str| found.iter().any(|(its, message)| *its == state && message.contains(text));
    assert!(says(State::Warning, "member cp2 (2) is a learner"), "{found:?}");
    assert!(says(State::Failed, "https://10.0.0.3:2380 (3) has never started"), "{found:?}");
}
