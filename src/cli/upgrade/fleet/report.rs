//! What an upgrade of several machines will do, and what it has done.

use serde::Serialize;

use super::{super::args::ApplyArgs, Plan, order::Job};
use crate::cli::{
    Session,
    exit::{CommandError, ExitKind},
};

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// As it should.
    Done,
    /// With this exit code, or nobody knows how.
    Failed { code: Option<i32>, why: String },
}

/// A job that was begun.
#[derive(Debug, Clone)]
pub struct Done {
    /// The place of the job in the order: the same words may come for the same machine again.
    pub place: usize,
    pub state: State,
}

/// The result, also of a dry run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upgraded {
    from: String,
    to: String,
    steps: Vec<Step>,
    /// Nodes that were not named, and have their old kubelet.
    left: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    machine: String,
    node: String,
    command: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// There is nothing to do.
pub fn nothing(session: &Session, plan: &Plan) {
    let result = result(plan, &[]);
    session.printer.result("FleetUpgrade", &result, || {
        let left = left(&result);
        format!("Nothing to do: these machines have {} already.\n{left}", result.to)
    });
}

/// For a dry run.
pub fn planned(session: &Session, plan: &Plan, args: &ApplyArgs) {
    let result = result(plan, &[]);
    session
        .printer
        .result("FleetUpgrade", &result, || steps(plan, args) + &left(&result) + "Nothing was changed.\n");
}

/// For the operator, before it begins.
pub fn steps(plan: &Plan, args: &ApplyArgs) -> String {
    let mut out =
        format!("This upgrades the cluster from {} to {}:\n", plan.planned.cluster, plan.planned.target);
    let line = |job: &Job| format!("  on {}: {}\n", plan.machines[job.machine].0, command(job));
    plan.order.control_planes.iter().for_each(|job| out += &line(job));
    let several = args.fleet.max_unavailable.get();
    if several > 1 && plan.order.workers.len() > 1 {
        out += &format!(" and then, {several} at the same time:\n");
    }
    plan.order.workers.iter().for_each(|job| out += &line(job));
    out
}

/// Prints it.
///
/// # Errors
/// Not all was done: what became of each machine.
pub fn finished(session: &Session, plan: &Plan, done: &[Done]) -> Result<(), CommandError> {
    let result = result(plan, done);
    session.printer.result("FleetUpgrade", &result, || text(&result));
    let Some(error) = failure(&result, done) else { return Ok(()) };
    let signal = session.cancel.signal().map(|signal| format!("stopped by {signal}"));
    Err(CommandError { message: signal.unwrap_or(error.message.clone()), ..error }.after_result())
}

fn result(plan: &Plan, done: &[Done]) -> Upgraded {
    let step = |(place, job): (usize, &Job)| {
        let (machine, seat) = &plan.machines[job.machine];
        let state = done.iter().find(|done| done.place == place).map(|done| &done.state);
        Step {
            machine: machine.clone(),
            node: seat.node.clone(),
            command: command(job),
            state: match state {
                None => "to-do",
                Some(State::Done) => "done",
                Some(State::Failed { .. }) => "failed",
            },
            why: match state {
                Some(State::Failed { code, why }) => Some(format!("{why} ({})", left_as(*code))),
                _ => None,
            },
        }
    };
    Upgraded {
        from: plan.planned.cluster.clone(),
        to: plan.planned.target.clone(),
        steps: plan.order.jobs().enumerate().map(step).collect(),
        left: plan.order.left.clone(),
    }
}

fn command(job: &Job) -> String {
    format!("rkadm {}{}", job.words.join(" "), if job.kubelet { " --kubelet" } else { "" })
}

/// What its exit code says of the machine.
fn left_as(code: Option<i32>) -> &'static str {
    match code {
        Some(1..=4) => "it is as it was before",
        Some(7) => "another rkadm is at work there",
        Some(6) => "its rollback failed: there `rkadm op show`",
        Some(_) => "it is not finished: there `rkadm op show`",
        None => "how it ended is not known, it may be at work still: there `rkadm op show`",
    }
}

fn text(result: &Upgraded) -> String {
    let mut out = String::new();
    for step in &result.steps {
        let why = step.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let state = if step.state == "to-do" { "not begun" } else { step.state };
        out += &format!("{:<10} {:<12} {}{why}\n", state, step.machine, step.command);
    }
    out + &left(result)
}

fn left(result: &Upgraded) -> String {
    if result.left.is_empty() {
        return String::new();
    }
    format!("Not named, and left with the kubelet that they have: {}\n", result.left.join(", "))
}

fn failure(result: &Upgraded, done: &[Done]) -> Option<CommandError> {
    let good = result.steps.iter().filter(|step| step.state == "done").count();
    if good == result.steps.len() {
        return None;
    }
    let failed = done.iter().filter_map(|done| match &done.state {
        State::Failed { code, .. } => Some(match code {
            Some(6) => ExitKind::Stuck,
            Some(1..=4 | 7) => ExitKind::Failed,
            _ => ExitKind::Resumable,
        }),
        State::Done => None,
    });
    // The worst.
    let kind = failed.max_by_key(|kind| *kind as i32).unwrap_or(ExitKind::Interrupted);
    let message = format!("{good} of {} steps were done", result.steps.len());
    let error = CommandError::new(kind, message);
    Some(
        error.hint(
            "when the cause is gone, the same command goes on from there: what is done is not done again",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            order::{Order, Planned},
            seat::Seat,
        },
        *,
    };

    fn plan() -> Plan {
        let job = |machine, words: &str| Job {
            machine,
            words: words.split(' ').map(str::to_owned).collect(),
            kubelet: machine == 1,
        };
        Plan {
            planned: Planned { cluster: "v1.36.4".into(), target: "v1.37.2".into(), ..Planned::default() },
            machines: ["cp1", "w1"]
                .map(|name| (name.to_owned(), Seat { node: name.into(), ..Seat::default() }))
                .to_vec(),
            order: Order {
                control_planes: vec![job(0, "upgrade apply v1.37.2")],
                workers: vec![job(1, "upgrade node")],
                left: vec!["w2".into()],
            },
        }
    }

    #[test]
    fn what_failed_and_what_was_not_begun_is_told() {
        let plan = plan();
        let failed = State::Failed { code: Some(1), why: "no".into() };
        let done = [Done { place: 0, state: failed }];
        let result = result(&plan, &done);
        assert_eq!(
            text(&result),
            "failed     cp1          rkadm upgrade apply v1.37.2: no (it is as it was before)\n\
             not begun  w1           rkadm upgrade node --kubelet\n\
             Not named, and left with the kubelet that they have: w2\n"
        );
        let error = failure(&result, &done).unwrap();
        assert_eq!((error.kind, error.message.as_str()), (ExitKind::Failed, "0 of 2 steps were done"));
    }

    /// Over two minors a machine gets the same command twice.
    #[test]
    fn the_same_command_done_once_is_not_done_twice() {
        let mut plan = plan();
        let job = plan.order.control_planes[0].clone();
        plan.order = Order { control_planes: vec![job.clone(), job], ..Order::default() };
        let failed = State::Failed { code: Some(1), why: String::new() };
        let done = [Done { place: 0, state: State::Done }, Done { place: 1, state: failed }];
        let result = result(&plan, &done);
        assert_eq!(result.steps.iter().map(|step| step.state).collect::<Vec<_>>(), ["done", "failed"]);
        assert!(failure(&result, &done).is_some());
    }

    #[test]
    fn the_exit_code_says_what_the_machine_that_failed_is() {
        let plan = plan();
        let kind = |code| {
            let state = State::Failed { code, why: String::new() };
            let done = [Done { place: 0, state }];
            failure(&result(&plan, &done), &done).unwrap().kind
        };
        assert_eq!(kind(Some(6)), ExitKind::Stuck);
        assert_eq!(kind(Some(3)), ExitKind::Failed);
        let both = [
            Done { place: 0, state: State::Failed { code: Some(1), why: String::new() } },
            Done { place: 1, state: State::Failed { code: Some(6), why: String::new() } },
        ];
        assert_eq!(failure(&result(&plan, &both), &both).unwrap().kind, ExitKind::Stuck);
        assert_eq!((kind(Some(5)), kind(None)), (ExitKind::Resumable, ExitKind::Resumable));
        let done: Vec<_> = (0..2).map(|place| Done { place, state: State::Done }).collect();
        assert!(failure(&result(&plan, &done), &done).is_none());
    }
}
