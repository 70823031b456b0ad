//! A restore that is taken back after it has finished.

use rkadm_core::{
    engine::operation::{Operation, Status},
    etcd::Member,
    host::{LocalHost, Probe},
};
use rkadm_phases::restore::{Restore, WORKFLOW};

use crate::cli::exit::{CommandError, ExitKind};

/// Refuses to take back a finished restore whose old data is gone, or on which something was built. `later` are the operations
/// that began after it.
pub async fn may_roll_back(
    host: &LocalHost,
    operation: &Operation,
    later: &[Operation],
) -> Result<(), CommandError> {
    if operation.status != Status::Finished || operation.workflow() != WORKFLOW {
        return Ok(());
    }
    let config = operation.begun().map(|begun| begun.config.clone()).unwrap_or_default();
    let refuse = |why: String| {
        let message = format!("operation {} cannot be taken back: {why}", operation.id);
        Err(CommandError::new(ExitKind::Failed, message).detail("Nothing was changed."))
    };
    let Ok(restore) = serde_json::from_value::<Restore>(config) else {
        return refuse("its journal does not say what was restored".into());
    };
    let aside = restore.aside();
    if host.stat(&aside).await.map_err(CommandError::failed)?.is_none() {
        return refuse(format!("the old data is no longer in {}", aside.display()));
    }
    // Control planes that joined since hold the restored data: going back here alone would split the cluster in two.
    // An etcd that does not answer, such as for want of the others, has them on its disk.
    let members = match host.etcd_members(&restore.node.access).await {
        Ok(members) => members,
        Err(_) => match host.etcd_stored(&restore.node.data_dir).await {
            Ok((members, _)) => members,
            // There is nothing by which others could live.
            Err(_) => vec![],
        },
    };
    if members.len() > 1 {
        let names: Vec<_> = members.iter().map(Member::describe).collect();
        return refuse(format!("etcd has {} members by now: {}", members.len(), names.join(", ")));
    }
    let others: Vec<_> = later
        .iter()
        .filter(|other| !matches!(other.status, Status::RolledBack | Status::New))
        // They change nothing that the restore has changed.
        .filter(|other| !other.workflow().starts_with("certs ") && !other.workflow().starts_with("backup "))
        .map(|other| format!("operation {} (rkadm {}) came after it", other.id, other.workflow()))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    refuse(others.join("; "))
}
