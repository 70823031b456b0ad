//! What monitoring wants to know of the last backup.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use rkadm_core::{backup::take::Made, engine::Event, host::Actuator};

use crate::cli::{Session, exit::CommandError, metrics::replace};

const SUCCESS: &str = "rkadm_backup_last_success_timestamp_seconds";
const DRILL_SUCCESS: &str = "rkadm_backup_last_good_drill_timestamp_seconds";

/// Replaces the file at once: the collector never sees half of it.
pub async fn write(
    host: &dyn Actuator,
    path: &Path,
    made: Option<&Made>,
    elapsed: Duration,
    now: Timestamp,
) -> Result<(), CommandError> {
    replace(host, path, |before| text(before, made, elapsed, now)).await
}

/// The same for drills.
pub async fn write_drill(
    host: &dyn Actuator,
    path: &Path,
    good: bool,
    now: Timestamp,
) -> Result<(), CommandError> {
    replace(host, path, |before| drill_text(before, good, now)).await
}

/// That they cannot be written must not hide how it went.
pub fn or_warn(session: &Session, written: Result<(), CommandError>) {
    if let Err(error) = written {
        session.reporter.report(Event::Warning { message: format!("no metrics: {}", error.message) });
    }
}

fn gauge(name: &str, help: &str, value: impl std::fmt::Display) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
}

/// The value that a metric had.
fn earlier<'a>(before: &'a str, name: &str) -> Option<&'a str> {
    before.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

fn drill_text(before: &str, good: bool, now: Timestamp) -> String {
    let now = now.as_second().to_string();
    let success = if good { Some(now.as_str()) } else { earlier(before, DRILL_SUCCESS) };
    let last = gauge("rkadm_backup_last_drill_timestamp_seconds", "When the last drill ended.", &now);
    let went = gauge("rkadm_backup_last_drill_success", "1 when it went well.", u8::from(good));
    let success = success.map(|at| gauge(DRILL_SUCCESS, "When a backup last proved to work.", at));
    last + &went + &success.unwrap_or_default()
}

type Of = fn(&Made) -> String;

/// What is told of the newest good backup: names, meaning, and where it is from.
const NEWEST: [(&str, &str, Of); 5] = [
    (SUCCESS, "When the newest good backup was made.", |made| {
        made.manifest.created_at.as_second().to_string()
    }),
    ("rkadm_backup_size_bytes", "Size of its archive.", |made| made.bytes.to_string()),
    ("rkadm_backup_revision", "Revision of etcd in it.", |made| made.manifest.snapshot.revision.to_string()),
    ("rkadm_backup_keys", "Keys of etcd in it.", |made| made.manifest.snapshot.keys.to_string()),
    ("rkadm_backup_compared_with_member", "1 when it has the hash of the live member.", |made| {
        u8::from(made.manifest.verified.live_hash).to_string()
    }),
];

fn text(before: &str, made: Option<&Made>, elapsed: Duration, now: Timestamp) -> String {
    let now = now.as_second();
    let took = format!("{:.3}", elapsed.as_secs_f64());
    let mut text = gauge("rkadm_backup_last_run_timestamp_seconds", "When the last backup ended.", now);
    text += &gauge("rkadm_backup_last_run_success", "1 when it went well.", u8::from(made.is_some()));
    text += &gauge("rkadm_backup_last_run_duration_seconds", "How long it took.", took);
    for (name, help, of) in NEWEST {
        // The backup before is there still when this one failed.
        let value = made.map_or_else(|| earlier(before, name).map(str::to_owned), |made| Some(of(made)));
        text += &value.map(|value| gauge(name, help, value)).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_drill_does_not_make_the_last_good_one_forgotten() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let good = drill_text("", true, at(1000));
        assert!(good.contains(&format!("{DRILL_SUCCESS} 1000\n")), "{good}");
        let failed = drill_text(&good, false, at(2000));
        assert!(failed.contains(&format!("{DRILL_SUCCESS} 1000\n")), "{failed}");
        assert!(failed.contains("rkadm_backup_last_drill_success 0\n"), "{failed}");
    }

    #[test]
    fn a_failure_does_not_make_the_last_success_forgotten() {
        let now = Timestamp::from_second(2000).unwrap();
        let before = format!("# HELP {SUCCESS} x\n{SUCCESS} 1000\nrkadm_backup_size_bytes 77\n");
        let text = text(&before, None, Duration::from_millis(1500), now);
        assert!(text.contains("rkadm_backup_last_run_success 0\n"), "{text}");
        assert!(text.contains(&format!("{SUCCESS} 1000\n")), "{text}");
        assert!(text.contains("rkadm_backup_size_bytes 77\n"), "{text}");
        assert!(!text.contains("rkadm_backup_keys"), "{text}");
        assert!(text.contains("rkadm_backup_last_run_duration_seconds 1.500\n"), "{text}");
    }
}
