//! What each rkadm command does: workflows as lists of phases.
//!
//! A phase plans: it looks at the host and answers with steps. The engine of `rkadm-core` carries them out.

pub mod backup;
pub mod csr;
mod files;
pub mod init;
pub mod join;
mod objects;
mod patches;
mod preflight;
pub mod renew;
pub mod reset;
pub mod restore;
pub mod static_pods;

use rkadm_core::engine::ActionRegistry;

/// The undo of every action that any phase uses.
pub fn actions() -> ActionRegistry {
    ActionRegistry::default()
        .with(init::KUBELET_ACTION, init::UndoKubelet)
        .with(renew::RESTART_ACTION, renew::UndoRestart)
        .with(reset::LEAVE_ACTION, reset::UndoLeave)
        .with(join::ADD_MEMBER_ACTION, join::UndoMember)
        .with(join::PROMOTE_MEMBER_ACTION, join::UndoMember)
        .with(join::REMOVE_MEMBER_ACTION, join::UndoRemoval)
        .with(join::TELL_ACTION, join::UndoTell)
        .with(join::TELL_END_ACTION, join::UndoTellEnd)
        .with(restore::TRIAL_ACTION, restore::UndoTrial)
        .with(restore::STOP_ACTION, restore::UndoStop)
        .with(restore::SWAP_ACTION, restore::UndoSwap)
        .with(restore::MEND_ACTION, restore::UndoMend)
}
