//! Asks whether the cluster is to be upgraded.

use std::io::IsTerminal;

use rkadm_core::version::KubeVersion;

use crate::{
    cli::{
        confirm,
        exit::{CommandError, ExitKind},
    },
    output,
};

/// Asks on a terminal, and takes an answer from a pipe, as kubeadm does.
///
/// # Errors
/// The answer is not yes, or there is nobody to answer.
pub fn ask(from: &KubeVersion, to: &KubeVersion) -> Result<(), CommandError> {
    if std::io::stdin().is_terminal() {
        output::ask(&format!(
            "This upgrades the control plane on this machine from {from} to {to}. Its API does not answer for some seconds.\n\
             What exactly would be done: --dry-run; what speaks against it: `rkadm upgrade plan {to}`\nUpgrade? [y/N]: "
        ));
    }
    match confirm::answer() {
        Some(true) => Ok(()),
        Some(false) => Err(confirm::denied()),
        None => {
            let message = "nobody is there to confirm the upgrade";
            Err(CommandError::new(ExitKind::Preflight, message)
                .detail("Nothing was changed.")
                .hint("without a terminal: --yes"))
        }
    }
}
