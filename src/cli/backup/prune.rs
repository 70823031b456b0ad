//! `rkadm backup prune`.

use clap::Args;
use jiff::Timestamp;
use rkadm_core::backup::{Catalog, catalog::remove};
use serde::Serialize;

use super::{DirArg, KeepArgs, failed};
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
pub fn run(session: &Session, args: &PruneArgs) -> Result<(), CommandError> {
    if !args.dry_run {
        Session::require_root("backup prune")?;
    }
    let policy = args.keep.policy();
    if policy.is_empty() {
        let error = CommandError::new(ExitKind::Usage, "no rule says what to keep");
        return Err(error.hint("give at least one, for example --keep-daily 7 --keep-weekly 4"));
    }
    let catalog = Catalog::read(&args.dir.real(session)).map_err(failed)?;
    let gone = catalog.expendable(&policy, Timestamp::now());
    if !args.dry_run {
        for backup in &gone {
            remove(backup).map_err(failed)?;
        }
    }
    let result = Pruned {
        dry_run: args.dry_run,
        kept: catalog.backups.len() - gone.len(),
        removed: gone.iter().map(|backup| backup.path.display().to_string()).collect(),
    };
    session.printer.result("BackupPrune", &result, || {
        let verb = if result.dry_run { "would remove" } else { "removed" };
        let lines = result.removed.iter().fold(String::new(), |out, file| out + verb + " " + file + "\n");
        lines + &format!("{} kept\n", text::count(result.kept, "backup"))
    });
    Ok(())
}
