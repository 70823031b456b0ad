//! Looks whether the cluster is well after an upgrade, before anything else is upgraded.

use std::time::Duration;

use rkadm_core::engine::Event;
use rkadm_phases::{
    preflight::is_ignored,
    upgrade::{Upgrading, findings, gate},
};

use crate::cli::{
    Session,
    exit::{CommandError, ExitKind},
};

/// What does not answer within this time does not work, for whoever waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The upgrade stays, whatever is found.
///
/// # Errors
/// Something is broken, and the operator did not say that it may be.
pub async fn pass(session: &Session, upgrading: &Upgrading, operation: &str) -> Result<(), CommandError> {
    let host = session.host(PATIENCE);
    let ill = session.unless_stopped(gate::ill(&host, upgrading)).await;
    let ill = ill.map_err(|error| {
        error
            .detail("The upgrade is done; only the look at the health of the cluster was cut short.")
            .after_result()
    })?;
    if ill.is_empty() {
        return Ok(());
    }
    let message = format!("the upgrade is done, but not everything is well: {}", ill.join("; "));
    if is_ignored(&upgrading.request.config.ignore_preflight_errors, findings::HEALTH) {
        session.reporter.report(Event::Warning { message });
        return Ok(());
    }
    // Not `Failed`, which says that all is as it was before.
    Err(CommandError::new(ExitKind::Resumable, message)
        .hint("`rkadm health` tells more; the same command looks again")
        .hint(format!("to take the upgrade back: `rkadm op rollback {operation}`"))
        .after_result())
}
