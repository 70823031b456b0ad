//! Members of etcd that join: they get their vote once they have caught up, and not otherwise.

use std::sync::{Arc, Mutex};

use rkadm_core::{
    config::GoDuration,
    engine::{Event, Reporter, RunError, RunReport, operation::Status, runner::Aftermath},
    host::fake::World,
};
use rkadm_phases::join::{self, Joining};

use crate::{
    joining::{request, world},
    machine::Machine,
};

/// Keeps what was waited for.
#[derive(Default)]
struct Waits(Mutex<Vec<String>>);

impl Reporter for Waits {
    fn report(&self, event: Event) {
        if let Event::Waiting { missing, .. } = event {
            self.0.lock().unwrap().push(missing);
        }
    }
}

/// A machine beside its cluster, after this was done to both.
fn machine(edit: impl FnOnce(&mut World)) -> Machine {
    let mut world = world(Machine::ready().host.world());
    edit(&mut world);
    Machine::from_world(world)
}

/// Joins it as a control plane, with a second's patience.
async fn join(machine: &Machine) -> (Result<RunReport, RunError>, Vec<String>) {
    let mut request = request(true);
    let second = Some(GoDuration::from_secs(1));
    request.join.timeouts.control_plane_component_health_check = second;
    request.join.timeouts.etcd_api_call = second;
    let joining = Arc::new(Joining::new(request).unwrap());
    let waits = Waits::default();
    let result = machine.run_workflow(&join::workflow(&joining), &waits).await;
    (result, waits.0.into_inner().unwrap())
}

/// A member that counts for the quorum and is not there could cost the cluster its etcd.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_never_starts_is_removed_and_gets_no_vote() {
    let machine = machine(|world| world.learner_sleeps = true);
    let before = machine.host.world();
    let (result, _) = join(&machine).await;
    let RunError::Failed { phase, message, aftermath, .. } = result.expect_err("it has joined") else {
        panic!("it has not begun")
    };
    assert_eq!(phase, "etcd-join");
    assert!(message.contains("still missing: the etcd member: it has not started yet"), "{message}");
    assert!(matches!(*aftermath, Aftermath::RolledBack { commit_point: None, .. }));
    assert_eq!(machine.status(), Status::RolledBack);
    let of_members = |change: &String| change.contains(" member ");
    let changes: Vec<_> = machine.host.changes().into_iter().filter(of_members).collect();
    assert_eq!(changes, ["add member https://10.0.0.1:2380", "remove member 10"]);
    assert!(before == machine.host.world(), "not as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_is_behind_says_how_far_and_gets_its_vote_then() {
    let machine = machine(|world| world.catching_up = Some((4, 7)));
    let (result, waits) = join(&machine).await;
    result.unwrap();
    let lag: Vec<_> = waits.iter().filter(|wait| wait.contains("catch up")).collect();
    let told = |revision| format!("the etcd member of this node to catch up: revision {revision} of 7");
    assert_eq!(lag, [&told(5), &told(6)]);
    let world = machine.host.world();
    assert!(world.members.iter().all(|member| !member.is_learner), "{:?}", world.members);
}
