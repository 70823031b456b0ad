//! Asks whether the data of etcd is to be replaced.

use std::io::IsTerminal;

use jiff::Timestamp;
use rkadm_phases::restore::{Restore, Survey};

use crate::{
    cli::{
        confirm,
        exit::{CommandError, ExitKind},
    },
    output,
};

/// Refuses where there is nobody to ask.
///
/// # Errors
/// There is no terminal.
pub fn possible(command: &str, what: &str) -> Result<(), CommandError> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    let message = format!("`rkadm {command}` {what}, and there is no terminal to confirm it on");
    Err(CommandError::new(ExitKind::Usage, message)
        .detail("Nothing was changed.")
        .hint("without a terminal: --yes")
        .hint("what would be done: --dry-run"))
}

/// Asks.
///
/// # Errors
/// The answer is not yes.
pub fn ask(restore: &Restore, survey: &Survey) -> Result<(), CommandError> {
    output::ask(&question(restore, survey, Timestamp::now()));
    if confirm::answer() == Some(true) { Ok(()) } else { Err(confirm::denied()) }
}

fn question(restore: &Restore, survey: &Survey, now: Timestamp) -> String {
    let source = &restore.source;
    if restore.survivor {
        return format!(
            "This makes a cluster of one member of what is left of etcd on this machine:\n\
             \x20 data      {}\n\
             \x20 revision  {}; what only the lost members had is lost\n\
             The other control planes must be off, or reset; they join again later. The old data is kept in {}.\n\
             Go on? [y/N]: ",
            restore.node.data_dir.display(),
            survey.revision.unwrap_or(source.revision),
            restore.aside().display(),
        );
    }
    let taken = source.created_at.map(|at| {
        let on = source.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        format!("taken {} ago{on} ({})", age(now, at), at.strftime("%Y-%m-%d %H:%M UTC"))
    });
    let lost = match survey.revision {
        Some(live) if live > source.revision => {
            format!("etcd is at {live} now: the {} changes since are lost", live - source.revision)
        }
        Some(live) => format!("etcd is at {live} now: this is not the past of this data"),
        None => "etcd does not answer: whatever was written since is lost".into(),
    };
    format!(
        "This replaces the data of etcd on this machine:\n\
         \x20 backup    {}, {}\n\
         \x20 revision  {}; {lost}\n\
         \x20 keys      {}\n\
         The API server is down meanwhile. The old data is kept in {}.\n\
         Restore it? [y/N]: ",
        source.file.display(),
        taken.unwrap_or_else(|| "of unknown age".into()),
        source.revision,
        source.keys,
        restore.aside().display(),
    )
}

/// In the two largest units.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let minutes = now.duration_since(then).as_secs() / 60;
    match minutes {
        ..0 => "less than no time (the clocks differ)".into(),
        0..60 => format!("{minutes} min"),
        60..1440 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_says_what_is_lost() {
        let then: Timestamp = "2026-11-24T22:30:00Z".parse().unwrap();
        let mut restore = Restore { id: "1".into(), ..Restore::default() };
        restore.node.data_dir = "/var/lib/etcd".into();
        restore.source.file = "/b.tar.gz".into();
        restore.source.created_at = Some(then);
        restore.source.node = Some("cp1".into());
        restore.source.revision = 100;
        let survey = Survey { revision: Some(130), ..Survey::default() };
        let text = question(&restore, &survey, "2026-11-25T01:00:00Z".parse().unwrap());
        assert!(text.contains("/b.tar.gz, taken 2 h 30 min ago on cp1 (2026-11-24 22:30 UTC)"), "{text}");
        assert!(text.contains("the 30 changes since are lost"), "{text}");
        assert!(text.contains("kept in /var/lib/etcd.before-1"), "{text}");
    }

    #[test]
    fn the_question_about_a_survivor_says_what_must_be_off() {
        let mut restore = Restore { id: "1".into(), survivor: true, ..Restore::default() };
        restore.node.data_dir = "/var/lib/etcd".into();
        let survey = Survey { revision: Some(130), ..Survey::default() };
        let text = question(&restore, &survey, Timestamp::UNIX_EPOCH);
        assert!(text.contains("revision  130; what only the lost members had is lost"), "{text}");
        assert!(text.contains("must be off, or reset"), "{text}");
        assert!(text.contains("kept in /var/lib/etcd.before-1"), "{text}");
    }

    #[test]
    fn ages_have_two_units() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-25T12:00:00Z");
        assert_eq!(age(now, at("2026-11-25T11:59:30Z")), "0 min");
        assert_eq!(age(now, at("2026-11-22T09:00:00Z")), "3 d 3 h");
        assert_eq!(age(now, at("2026-11-25T12:05:00Z")), "less than no time (the clocks differ)");
    }
}
