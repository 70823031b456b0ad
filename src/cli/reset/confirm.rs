//! Asks whether the machine is to be reset.

use std::io::IsTerminal;

use rkadm_phases::reset::Reset;

use crate::{
    cli::{
        confirm,
        exit::{CommandError, ExitKind},
    },
    output,
};

/// Asks on a terminal, and takes an answer from a pipe (`yes | rkadm reset`), as kubeadm does.
///
/// # Errors
/// The answer is not yes, or there is nobody to answer.
pub fn ask(reset: &Reset) -> Result<(), CommandError> {
    let kept = match &reset.archive_dir {
        Some(dir) => format!("An archive of the files is written to {} first.", dir.display()),
        None => "Nothing of it is kept (--no-archive).".into(),
    };
    if std::io::stdin().is_terminal() {
        output::ask(&format!(
            "This removes the Kubernetes node on this machine: its pods end, and the files of Kubernetes go.\n{kept}\n\
             What exactly would be done: rkadm reset --dry-run\nReset this machine? [y/N]: "
        ));
    }
    match confirm::answer() {
        Some(true) => Ok(()),
        Some(false) => Err(confirm::denied()),
        None => {
            let message = "`rkadm reset` removes the Kubernetes node on this machine, and nobody is there to confirm it";
            Err(CommandError::new(ExitKind::Preflight, message)
                .detail("Nothing was changed.")
                .hint("without a terminal: --force")
                .hint("what would be done: `rkadm reset --dry-run`"))
        }
    }
}
