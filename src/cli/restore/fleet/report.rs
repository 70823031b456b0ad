//! How a restore of several machines has ended.

use std::path::PathBuf;

use jiff::Timestamp;
use rkadm_core::fleet::Ended;
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{came_back::CameBack, confirm::age},
    backup::Backup,
    plan::Plan,
};
use crate::cli::{
    Session,
    exit::{CommandError, ExitKind},
    fleet::why,
};

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    file: PathBuf,
    backup_created_at: Option<Timestamp>,
    backup_revision: i64,
    /// Which the new cluster began with.
    raised_to: i64,
    machines: Vec<MachineResult>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MachineResult {
    machine: String,
    member: String,
    /// It serves the restored data.
    restored: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What `rkadm restore etcd` said there.
    #[serde(skip_serializing_if = "Value::is_null")]
    result: Value,
}

/// Prints it.
///
/// # Errors
/// Not all machines serve the restored data: what has become of each.
pub fn finished(
    session: &Session,
    backup: &Backup,
    plan: &Plan,
    ended: &[Ended],
) -> Result<(), CommandError> {
    let machines = ended.iter().zip(&plan.machines).map(|(ended, (_, answer))| MachineResult {
        machine: ended.machine.clone(),
        member: answer.name.clone(),
        restored: ended.is_good(),
        why: (!ended.is_good()).then(|| why(&ended.ending)),
        result: if ended.is_good() {
            serde_json::from_str(&ended.ending.stdout).unwrap_or_default()
        } else {
            Value::Null
        },
    });
    let result = Restored {
        file: backup.shown.clone(),
        backup_created_at: backup.source.created_at,
        backup_revision: backup.source.revision,
        raised_to: plan.raise_to,
        machines: machines.collect(),
    };
    let good = ended.iter().filter(|ended| ended.is_good()).count();
    if good > 0 {
        session.printer.result("FleetRestore", &result, || text(&result));
    }
    if good == ended.len() { Ok(()) } else { Err(failure(&result, ended, good)) }
}

fn text(result: &Restored) -> String {
    let restored: Vec<_> = result.machines.iter().filter(|machine| machine.restored).collect();
    let names: Vec<_> = restored.iter().map(|machine| machine.machine.as_str()).collect();
    let from = result.backup_created_at.map(|at| format!(", {} old", age(Timestamp::now(), at)));
    let mut out = format!(
        "Restored {} from {}{}: revision {} of the backup, which goes on above {}.\n",
        names.join(", "),
        result.file.display(),
        from.unwrap_or_default(),
        result.backup_revision,
        result.raised_to
    );
    let Some(first) = restored.first() else { return out };
    out += &CameBack::of(&first.result).text();
    for machine in &restored {
        let old = machine.result["oldData"].as_str().unwrap_or("beside the new");
        out += &format!("The old data of {} is in {old}\n", machine.machine);
    }
    out += "Nodes that no longer exist become NotReady within a minute: `kubectl delete node NAME` removes them.\n\
            When all is well, remove the old data.\n";
    out
}

/// The worst that happened to one is what the exit code says.
fn failure(result: &Restored, ended: &[Ended], good: usize) -> CommandError {
    let codes: Vec<_> =
        ended.iter().filter(|ended| !ended.is_good()).map(|ended| ended.ending.code).collect();
    let is = |kind: ExitKind| codes.contains(&Some(kind as i32));
    let kind = if is(ExitKind::Stuck) {
        ExitKind::Stuck
    } else if is(ExitKind::Resumable) || is(ExitKind::Interrupted) || codes.contains(&None) {
        ExitKind::Resumable
    } else {
        ExitKind::Failed
    };
    let message = format!("{good} of {} machines were restored", ended.len());
    let mut error = CommandError::new(kind, message);
    error.has_result = good > 0;
    for (ended, machine) in ended.iter().zip(&result.machines).filter(|(ended, _)| !ended.is_good()) {
        let state = left_as(ended);
        let why = machine.why.as_deref().unwrap_or_default();
        error.details.push(format!("{}: {why} ({state})", ended.machine));
    }
    let (mut uncertain, mut back) = (false, false);
    for ended in ended.iter().filter(|ended| !ended.is_good()) {
        let is_back = !ended.through && matches!(ended.ending.code, Some(1..=4 | 7));
        if is_back { back = true } else { uncertain = true }
    }
    if uncertain {
        error = error.hint(
            "look at it before anything else: on each machine `rkadm op list` and `rkadm health`. Reset none of them until it is clear \
             that it is not one of the members that serve",
        );
    }
    match (good > 0, back) {
        (true, true) => error.hint(
            "a machine that is as it was before joins the restored cluster again: there `rkadm reset --force`, then `rkadm join \
             --control-plane …`",
        ),
        (false, true) if !uncertain => {
            error.hint("the same command again begins anew, and takes back first what was cut off")
        }
        _ => error,
    }
}

/// What a machine that did not end well is now.
fn left_as(ended: &Ended) -> &'static str {
    match (ended.through, ended.ending.code) {
        (true, _) => {
            "it was told to finish, and serves the restored data unless `rkadm op show` there says otherwise"
        }
        (false, Some(1..=4 | 7)) => "as it was before",
        (false, Some(6)) => "its rollback failed: there `rkadm op show`",
        (false, Some(_)) => "not finished, its control plane may be stopped: there `rkadm op show`",
        (false, None) => {
            "unknown: where it runs it goes back by itself within a minute of its next gate; after a crash its control plane may be \
             stopped: there `rkadm op show`"
        }
    }
}

#[cfg(test)]
mod tests {
    use rkadm_core::fleet::Ending;

    use super::*;

    fn ended(machine: &str, code: Option<i32>, stdout: &str) -> Ended {
        Ended {
            machine: machine.into(),
            ending: Ending { code, stdout: stdout.into(), ..Ending::default() },
            through: false,
        }
    }

    fn fails(ended: &[Ended]) -> CommandError {
        let machines = ended.iter().map(|ended| MachineResult {
            machine: ended.machine.clone(),
            member: String::new(),
            restored: ended.is_good(),
            why: Some(why(&ended.ending)),
            result: Value::Null,
        });
        let result = Restored {
            file: "/b".into(),
            backup_created_at: None,
            backup_revision: 1,
            raised_to: 2,
            machines: machines.collect(),
        };
        let good = ended.iter().filter(|ended| ended.is_good()).count();
        failure(&result, ended, good)
    }

    #[test]
    fn what_has_become_of_each_is_said_and_the_worst_is_the_exit_code() {
        let went_back = r#"{"kind":"Error","message":"this machine does not go on: cp2 failed"}"#;
        let error = fails(&[ended("cp1", Some(1), went_back), ended("cp2", Some(3), "")]);
        assert_eq!((error.kind, error.message.as_str()), (ExitKind::Failed, "0 of 2 machines were restored"));
        assert_eq!(error.details[0], "cp1: this machine does not go on: cp2 failed (as it was before)");
        assert!(error.hints[0].starts_with("the same command again"));

        let error = fails(&[ended("cp1", Some(0), ""), ended("cp2", Some(6), ""), ended("cp3", None, "")]);
        assert_eq!((error.kind, error.message.as_str()), (ExitKind::Stuck, "1 of 3 machines were restored"));
        assert!(error.has_result && error.hints[0].contains("Reset none of them"), "{:?}", error.hints);
        assert_eq!(error.hints.len(), 1);
        let error = fails(&[ended("cp1", Some(0), ""), ended("cp2", Some(1), "")]);
        assert!(error.hints[0].contains("joins the restored cluster again"), "{:?}", error.hints);
        let through = Ended { through: true, ..ended("cp2", None, "") };
        let error = fails(&[ended("cp1", Some(0), ""), through]);
        assert!(error.details[0].contains("was told to finish"), "{:?}", error.details);
        let error = fails(&[ended("cp1", Some(0), ""), ended("cp2", Some(6), ""), ended("cp3", None, "")]);
        assert!(error.details[1].contains("goes back by itself"), "{:?}", error.details);
        assert_eq!(fails(&[ended("cp1", None, "")]).kind, ExitKind::Resumable);
    }
}
