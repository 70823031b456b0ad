//! A reset that is taken back after it has finished.

use rkadm_core::{
    engine::operation::{Operation, Status},
    host::LocalHost,
};
use rkadm_phases::reset::{ARCHIVES_OUTPUT, MEMBER_OUTPUT, archives, made_since};

use crate::cli::exit::{CommandError, ExitKind};

/// Refuses to take back a finished reset where something was made since, or where it is past its commit point. `later` are
/// the operations that began after it.
pub async fn may_roll_back(
    host: &LocalHost,
    operation: &Operation,
    later: &[Operation],
) -> Result<(), CommandError> {
    if operation.status != Status::Finished || !operation.workflow().starts_with("reset") {
        return Ok(());
    }
    let outputs = operation.outputs();
    let kept = archives(outputs.get(ARCHIVES_OUTPUT));
    let refuse = |message: String| {
        let mut error = CommandError::new(ExitKind::Failed, message);
        for archive in &kept {
            error = error.hint(format!("what it removed is in {}: `tar -tzf` lists it", archive.display()));
        }
        error
    };
    if !operation.can_be_rolled_back() {
        let why = operation.commit_point().unwrap_or("it removed nothing");
        return Err(refuse(format!(
            "operation {} is finished and cannot be taken back: {why}",
            operation.id
        )));
    }
    let mut made = made_since(host, outputs.get(MEMBER_OUTPUT)).await.map_err(CommandError::failed)?;
    // Another reset that found nothing to remove, but perhaps a kubelet that the boot had started, has made nothing.
    let removed_nothing = |other: &&Operation| {
        other.workflow().starts_with("reset")
            && other.status == Status::Finished
            && !other.can_be_rolled_back()
            && other.commit_point().is_none()
    };
    let others = later.iter().filter(|other| other.status != Status::RolledBack && !removed_nothing(other));
    made.extend(
        others.map(|other| format!("operation {} (rkadm {}) came after it", other.id, other.workflow())),
    );
    if made.is_empty() {
        return Ok(());
    }
    let message = format!("operation {} cannot be taken back: something was made since", operation.id);
    let mut error = refuse(message);
    error.details = made;
    Err(error)
}
