//! Upgrades that were cut off on one of the machines.

use rkadm_core::engine::phase::Finding;

use super::{
    super::args::ApplyArgs,
    State, act,
    seat::{Seat, Unfinished},
    seats,
};
use crate::cli::{
    Session, confirm,
    exit::{CommandError, ExitKind},
    fleet::{Fleet, stoppable},
};

/// Which they are, and where.
pub fn unfinished(machines: &[(String, Seat)]) -> impl Iterator<Item = (&str, &Unfinished)> {
    machines.iter().filter_map(|(machine, seat)| Some((machine.as_str(), seat.unfinished.as_ref()?)))
}

/// What is cut off and no upgrade, or on its way back, is for the operator.
///
/// # Errors
/// There is such a one.
pub fn refuse_unfinished(machines: &[(String, Seat)]) -> Result<(), CommandError> {
    let others = unfinished(machines).filter(|(_, unfinished)| !unfinished.resumable);
    let findings: Vec<_> = others
        .map(|(machine, unfinished)| Finding {
            check: "Unfinished".into(),
            message: format!(
                "{machine}: operation {} (rkadm {}) is not finished",
                unfinished.id, unfinished.workflow
            ),
            hint: Some("there: `rkadm op show`, then `rkadm op resume` or `rkadm op rollback`".into()),
        })
        .collect();
    if findings.is_empty() {
        return Ok(());
    }
    let error = CommandError::new(ExitKind::Preflight, "this cluster cannot be upgraded as a whole now");
    Err(CommandError { findings, ..error }.detail("Nothing was changed."))
}

/// Upgrades that were cut off go on first: what they have not done yet is in no plan, since the versions are new already. What all
/// machines are then.
///
/// # Errors
/// One of them cannot go on, or nobody wants it to.
pub async fn go_on(
    session: &Session,
    args: &ApplyArgs,
    fleet: &Fleet,
) -> Result<Vec<(String, Seat)>, CommandError> {
    let machines = stoppable(session, seats(fleet)).await?;
    let begun: Vec<_> = unfinished(&machines).collect();
    if begun.is_empty() || args.common.dry_run {
        return Ok(machines);
    }
    if !args.yes && !args.force {
        let lines: Vec<_> = begun
            .iter()
            .map(|(machine, unfinished)| {
                format!("  on {machine}: operation {} (rkadm {})\n", unfinished.id, unfinished.workflow)
            })
            .collect();
        let lines = lines.concat();
        let question = format!("These upgrades were cut off:\n{lines}Go on with them first? [y/N]: ");
        if stoppable(session, async { Ok(confirm::ask_in_peace(question).await) }).await? != Some(true) {
            return Err(confirm::denied());
        }
    }
    for (place, (machine, seat)) in machines.iter().enumerate() {
        let Some(unfinished) = &seat.unfinished else { continue };
        let words = ["--progress", "json", "-o", "json", "op", "resume", &unfinished.id].map(str::to_owned);
        if let State::Failed { why, .. } = act(session, &fleet.machines[place], &words).await {
            let message = format!("operation {} on {machine} cannot go on: {why}", unfinished.id);
            let hint = format!(
                "on {machine}: `rkadm op show {0}`, then `rkadm op resume {0}` or `rkadm op rollback {0}`",
                unfinished.id
            );
            return Err(CommandError::new(ExitKind::Resumable, message).hint(hint));
        }
        if let Some(signal) = session.cancel.signal() {
            return Err(CommandError::new(ExitKind::Interrupted, format!("stopped by {signal}")));
        }
    }
    stoppable(session, seats(fleet)).await
}
