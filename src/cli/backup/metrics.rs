//! What monitoring wants to know of the last backup.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use rkadm_core::{backup::take::Made, host::Actuator};

use crate::cli::{exit::CommandError, metrics::replace};

/// Kept from run to run: a failure must not make the last success forgotten.
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

fn text(before: &str, made: Option<&Made>, elapsed: Duration, now: Timestamp) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: String| text += &gauge(name, help, value);
    let last = earlier(before, SUCCESS);
    let success = match made {
        Some(made) => Some(made.manifest.created_at.as_second().to_string()),
        None => last.map(str::to_owned),
    };
    gauge(
        "rkadm_backup_last_run_timestamp_seconds",
        "When the last backup ended.",
        now.as_second().to_string(),
    );
    gauge("rkadm_backup_last_run_success", "1 when it went well.", u8::from(made.is_some()).to_string());
    gauge(
        "rkadm_backup_last_run_duration_seconds",
        "How long it took.",
        format!("{:.3}", elapsed.as_secs_f64()),
    );
    if let Some(success) = success {
        gauge(SUCCESS, "When the newest good backup was made.", success);
    }
    if let Some(made) = made {
        gauge("rkadm_backup_size_bytes", "Size of its archive.", made.bytes.to_string());
        gauge(
            "rkadm_backup_revision",
            "Revision of etcd in it.",
            made.manifest.snapshot.revision.to_string(),
        );
        gauge("rkadm_backup_keys", "Keys of etcd in it.", made.manifest.snapshot.keys.to_string());
        let compared = u8::from(made.manifest.verified.live_hash).to_string();
        gauge("rkadm_backup_compared_with_member", "1 when it has the hash of the live member.", compared);
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
        let before = format!("# HELP {SUCCESS} x\n{SUCCESS} 1000\n");
        let text = text(&before, None, Duration::from_millis(1500), now);
        assert!(text.contains("rkadm_backup_last_run_success 0\n"), "{text}");
        assert!(text.contains(&format!("{SUCCESS} 1000\n")), "{text}");
        assert!(text.contains("rkadm_backup_last_run_duration_seconds 1.500\n"), "{text}");
    }
}
