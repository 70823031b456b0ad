//! `rkadm backup list`.

use clap::Args;
use jiff::Timestamp;
use rkadm_core::{backup::BackupError, engine::Event};
use serde::Serialize;

use super::{DirArg, Shown, age, catalog, place::whole, size};
use crate::{
    cli::{Session, exit::CommandError},
    output::text,
};

/// Which.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    dir: DirArg,
}

#[derive(Debug, Serialize)]
struct List<'a> {
    items: Vec<Shown<'a>>,
    /// Files with the name of a backup that cannot be read as one.
    unreadable: Vec<Unreadable<'a>>,
}

#[derive(Debug, Serialize)]
struct Unreadable<'a> {
    file: String,
    why: &'a str,
}

/// Runs it.
pub async fn run(session: &Session, args: &ListArgs) -> Result<(), CommandError> {
    let place = args.dir.place(session)?;
    let catalog = catalog(&place).await?;
    for (_, why) in &catalog.unreadable {
        session.reporter.report(Event::Warning { message: why.clone() });
    }
    let unreadable =
        catalog.unreadable.iter().map(|(path, why)| Unreadable { file: path.display().to_string(), why });
    let list = List {
        items: catalog.backups.iter().map(Shown::of_backup).collect(),
        unreadable: unreadable.collect(),
    };
    session.printer.result("BackupList", &list, || {
        if list.items.is_empty() {
            return format!("{}\n", BackupError::None(whole(&*place)).to_string() + ".");
        }
        let now = Timestamp::now();
        let row = |backup: &Shown<'_>| {
            let verified = match (backup.verified, backup.compared_with_member) {
                (true, true) => "yes, as the member",
                (true, false) => "yes",
                (false, _) => "no",
            };
            let drilled = match &backup.drill {
                None => "-".into(),
                Some(drill) if drill.is_good() => format!("good {} ago", age(drill.at, now)),
                Some(drill) => format!("FAILED {} ago", age(drill.at, now)),
            };
            vec![
                age(backup.created_at, now),
                size(backup.bytes),
                backup.revision.to_string(),
                backup.keys.to_string(),
                backup.node.to_owned(),
                verified.to_owned(),
                if backup.encrypted { "yes" } else { "no" }.to_owned(),
                drilled,
                backup.file.clone(),
            ]
        };
        text::table(
            &["AGE", "SIZE", "REVISION", "KEYS", "NODE", "VERIFIED", "ENCRYPTED", "DRILL", "FILE"],
            list.items.iter().map(row).collect(),
        )
    });
    Ok(())
}
