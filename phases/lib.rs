//! What each rkadm command does: workflows as lists of phases.
//!
//! A phase plans: it looks at the host and answers with steps. The engine of `rkadm-core` carries them out.

pub mod backup;
pub mod csr;
pub mod expiration;
mod files;
pub mod health;
pub mod init;
pub mod join;
mod objects;
mod patches;
pub mod preflight;
pub mod renew;
pub mod reset;
pub mod restore;
pub mod static_pods;
pub mod upgrade;

use rkadm_core::engine::{ActionRegistry, action::NoUndo};

/// The undo of every action that any phase uses.
pub fn actions() -> ActionRegistry {
    ActionRegistry::default()
        .with(init::KUBELET_ACTION, init::UndoKubelet)
        // A component that cannot work with the new files is started again and again, and so finds the old ones when they
        // are back.
        .with(renew::RESTART_ACTION, NoUndo)
        // A member that left cannot come back with its data. A commit point says so.
        .with(reset::LEAVE_ACTION, NoUndo)
        .with(reset::TIDY_ACTION, NoUndo)
        .with(join::ADD_MEMBER_ACTION, join::UndoMember)
        .with(join::PROMOTE_MEMBER_ACTION, join::UndoMember)
        // A member whose machine is gone cannot come back, and nobody misses it.
        .with(join::REMOVE_MEMBER_ACTION, NoUndo)
        .with(join::TELL_ACTION, join::UndoTell)
        // The undo of what was said before is enough.
        .with(join::TELL_END_ACTION, NoUndo)
        .with(restore::TRIAL_ACTION, restore::UndoTrial)
        // The kubelet starts the pods again, once it runs and has their manifests.
        .with(restore::STOP_ACTION, NoUndo)
        .with(restore::SWAP_ACTION, restore::UndoSwap)
        .with(restore::TOGETHER_ACTION, NoUndo)
        // A backup is never taken back.
        .with(upgrade::BACKUP_ACTION, NoUndo)
        // Pods that moved away are at home elsewhere.
        .with(upgrade::kubelet::DRAIN_ACTION, NoUndo)
        .with(upgrade::TAKE_ACTION, upgrade::UndoTake)
        .with(upgrade::GIVE_BACK_ACTION, upgrade::UndoGiveBack)
        .with(upgrade::GUARD_ACTION, upgrade::UndoGuard)
        .with(upgrade::ETCD_MANIFEST_ACTION, upgrade::UndoEtcdManifest)
        .with(upgrade::SWITCH_ACTION, upgrade::UndoSwitch)
        // The way back is the old data.
        .with(restore::CLEAR_ACTION, NoUndo)
        .with(restore::MEND_ACTION, NoUndo)
}
