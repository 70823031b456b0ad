//! A join that has not come to its end, as the cluster shows it to those who look from another machine.

use std::sync::Mutex;

use rkadm_core::{
    engine::{Event, OnFailure, Reporter},
    host::fake::{Fault, World},
    kube::objects::unfinished_join_of,
};
use serde_json::{Value, json};

use crate::machine::{Scenario, workflows};

const NODE: &str = "Node node1";

fn scenario(name: &str) -> Scenario {
    workflows().into_iter().find(|scenario| scenario.name == name).unwrap()
}

fn told(world: &World) -> Option<(String, String)> {
    let condition = unfinished_join_of(world.objects.get(NODE)?)?;
    let text = |field: &str| condition[field].as_str().unwrap().to_owned();
    Some((text("reason"), text("message")))
}

/// The number of the first change of an undisturbed run that begins with this.
async fn change(scenario: &Scenario, what: &str) -> usize {
    let machine = scenario.machine().await;
    machine.run(scenario).await.unwrap();
    let changes = machine.host.changes();
    changes.iter().position(|change| change.starts_with(what)).unwrap_or_else(|| panic!("{changes:#?}"))
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}, "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_was_cut_off_is_shown_by_its_node_until_it_has_joined() {
    let join = scenario("join (control plane)");
    let at = change(&join, "patch the status of Node").await;
    let machine = join.machine().await;
    machine.host.inject(at, Fault::CrashAfter);
    assert!(machine.crashes(&join).await);
    let (reason, message) = told(&machine.host.world()).expect("nothing is told");
    assert_eq!(reason, "Joining");
    let operation = machine.newest();
    assert!(message.contains(&format!("rkadm join on node1 (operation {operation})")), "{message}");
    assert!(message.contains("`rkadm op resume` there"), "{message}");
    machine.run(&join).await.unwrap();
    assert_eq!(told(&machine.host.world()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_there_before_says_that_the_join_was_taken_back() {
    let join = scenario("join (control plane)");
    let at = change(&join, "patch the status of Node").await;
    let machine = join.machine().await;
    machine.host.inject(at + 1, Fault::CrashBefore);
    assert!(machine.crashes(&join).await);
    // Cut off while it takes it back: the last word has to be true all the same.
    machine.host.inject(1, Fault::CrashBefore);
    assert!(machine.crashes_in_rollback().await);
    let (reason, message) = told(&machine.host.world()).expect("nothing is told");
    assert_eq!(reason, "RolledBack");
    assert!(message.contains("kubectl delete node node1"), "{message}");
    machine.roll_back().await.unwrap();
    assert!(!machine.host.world().objects.contains_key(NODE), "a control plane's Node goes");
}

/// After a power loss the rollback is there before the API server is.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_taken_back_while_the_api_server_of_the_machine_itself_is_silent() {
    let join = scenario("join (control plane)");
    let at = change(&join, "patch Node").await;
    let machine = join.machine().await;
    machine.host.inject(at + 1, Fault::CrashBefore);
    assert!(machine.crashes(&join).await);
    machine.host.edit(|world| world.own_is_silent = true);
    machine.roll_back().await.unwrap();
    assert!(!machine.host.world().objects.contains_key(NODE), "a control plane's Node goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_a_warning() {
    let join = scenario("join (control plane)");
    let machine = join.machine().await;
    machine.host.edit(|world| world.refuses_status = true);
    let heard = Heard::default();
    machine.run_watched(&join, OnFailure::Rollback, &heard).await.unwrap();
    let warnings = heard.0.into_inner().unwrap();
    let expected = "Node node1 does not say that its join is not finished: patch the status of";
    assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_taken_back_leaves_its_node_with_what_to_do() {
    let join = scenario("join (worker)");
    let total = join.changes().await;
    let machine = join.machine().await;
    machine.host.inject(total - 1, Fault::CrashBefore);
    assert!(machine.crashes(&join).await);
    machine.host.edit(|world| {
        world.objects.insert(NODE.into(), node());
    });
    let heard = Heard::default();
    machine.roll_back_watched(&heard).await.unwrap();
    let (reason, message) = told(&machine.host.world()).expect("nothing is told");
    assert_eq!(reason, "RolledBack");
    assert!(message.contains("kubectl delete node node1"), "{message}");
    let conditions = &machine.host.world().objects[NODE]["status"]["conditions"];
    assert!(conditions.as_array().unwrap().iter().any(|one| one["type"] == "Ready"), "others' are gone");
    let warnings = heard.0.into_inner().unwrap();
    assert_eq!(
        warnings,
        [
            "Node node1 stays in the cluster, because a worker may not delete its own Node; on a control plane: kubectl delete node node1"
        ]
    );
    // The next join is a worker like any other.
    let node1 = scenario("join (worker)");
    machine.run(&node1).await.unwrap();
    assert_eq!(told(&machine.host.world()), None);
}

/// Keeps the warnings.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        if let Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}
