//! `rkadm backup prune`.

use clap::Args;
use rkadm_core::backup::BackupError;
use serde::Serialize;

use super::{
    DirArg, KeepArgs, failed,
    place::{expire, whole},
};
use crate::{
    cli::{
        Session,
        exit::{CommandError, ExitKind},
    },
    output::text,
};

/// What stays.
#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    dir: DirArg,
    #[command(flatten)]
    keep: KeepArgs,
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pruned {
    dry_run: bool,
    removed: Vec<String>,
    kept: usize,
}

/// Runs it.
pub async fn run(session: &Session, args: &PruneArgs) -> Result<(), CommandError> {
    if !args.dry_run {
        Session::require_root("backup prune")?;
    }
    let policy = args.keep.policy();
    if policy.is_empty() {
        let error = CommandError::new(ExitKind::Usage, "no rule says what to keep");
        return Err(error.hint("give at least one, for example --keep-daily 7 --keep-weekly 4"));
    }
    let place = args.dir.place(session)?;
    let (kept, removed) = expire(&place, &policy, args.dry_run).await?;
    if kept == 0 && removed.is_empty() {
        // A wrong prefix would be cleaned up in vain, day after day.
        return Err(failed(BackupError::None(whole(&*place))).detail("Nothing was removed."));
    }
    let result = Pruned { dry_run: args.dry_run, kept, removed };
    session.printer.result("BackupPrune", &result, || {
        let verb = if result.dry_run { "would remove" } else { "removed" };
        let lines = result.removed.iter().fold(String::new(), |out, file| out + verb + " " + file + "\n");
        lines + &format!("{} kept\n", text::count(result.kept, "backup"))
    });
    Ok(())
}
