//! Asks whether the machine is to be reset.

use std::io::{BufRead, IsTerminal};

use rkadm_phases::reset::Reset;

use crate::{
    cli::exit::{CommandError, ExitKind},
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
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::ask(&format!(
            "This removes the Kubernetes node on this machine: its pods end, and the files of Kubernetes go.\n{kept}\n\
             What exactly would be done: rkadm reset --dry-run\nReset this machine? [y/N]: "
        ));
    }
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer).unwrap_or(0);
    if read == 0 {
        let message =
            "`rkadm reset` removes the Kubernetes node on this machine, and nobody is there to confirm it";
        return Err(CommandError::new(ExitKind::Preflight, message)
            .detail("Nothing was changed.")
            .hint("without a terminal: --force")
            .hint("what would be done: `rkadm reset --dry-run`"));
    }
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(CommandError::new(ExitKind::Failed, "not confirmed").detail("Nothing was changed."))
}
