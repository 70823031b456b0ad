//! A program that is started, waited for, and quoted when it ends.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::health::{BackOff, Delays};

/// How many of the last lines of a log are quoted.
const LINES: usize = 3;
/// So much of a line.
const WIDTH: usize = 400;

/// Why a program is not ready, and never will be.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It has ended.
    #[error("{text}")]
    Ended {
        /// How, and the end of its log.
        text: String,
        /// Its log says why it gave up, and it is not for want of room.
        gave_up: bool,
    },
    /// It took too long.
    #[error("{0}")]
    Slow(String),
}

/// Is ended when dropped.
pub struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
    began: Instant,
    delays: Delays,
    patience: Duration,
}

impl Program {
    /// Starts it in `dir`, where its log goes too. It may take `patience` until it is ready.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        dir: &Path,
        patience: Duration,
    ) -> io::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { name, child, log, began: Instant::now(), delays: BackOff::LOCAL.delays(), patience })
    }

    /// Milliseconds since its start.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits a little before it is asked again.
    ///
    /// # Errors
    /// It has ended, or it takes too long; with the end of its log.
    pub async fn not_yet(&mut self, why: &str) -> Result<(), NotReady> {
        if let Ok(Some(status)) = self.child.try_wait() {
            let log = self.log();
            let text = format!("{} ended ({status}): {}", self.name, quote(&log));
            return Err(NotReady::Ended { text, gave_up: gave_up(&log) });
        }
        if self.began.elapsed() > self.patience {
            let waited = self.patience.as_secs();
            return Err(NotReady::Slow(format!(
                "{} was not ready after {waited} s: {why}; its log ends: {}",
                self.name,
                quote(&self.log())
            )));
        }
        tokio::time::sleep(self.delays.next_delay()).await;
        Ok(())
    }

    fn log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Whether a log of etcd tells that it ends by itself, and not because the disk is full.
fn gave_up(log: &str) -> bool {
    let fatal = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap_or_default();
        matches!(entry["level"].as_str(), Some("fatal" | "panic"))
    };
    let panicked = log.lines().any(|line| fatal(line) || line.starts_with("panic: "));
    panicked && !log.contains("no space left on device")
}

/// The end of a log as a person reads it: of etcd's lines of JSON, the message and the error of those that tell of one.
fn quote(log: &str) -> String {
    let line = |line: &str| -> Option<(bool, String)> {
        let Ok(entry) = serde_json::from_str::<Value>(line) else {
            let short: String = line.trim().chars().take(WIDTH).collect();
            return (!short.is_empty()).then_some((false, short));
        };
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let told = [text("msg"), text("error")].into_iter().filter(|part| !part.is_empty());
        let bad = matches!(text("level"), "error" | "fatal" | "panic");
        Some((bad, told.collect::<Vec<_>>().join(": ")))
    };
    let lines: Vec<_> = log.lines().filter_map(line).collect();
    let any_bad = lines.iter().any(|(bad, _)| *bad);
    let chosen: Vec<_> =
        lines.into_iter().filter(|(bad, _)| *bad || !any_bad).map(|(_, text)| text).collect();
    let last = &chosen[chosen.len().saturating_sub(LINES)..];
    if last.is_empty() { "it logged nothing".into() } else { last.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_quoted_for_people() {
        let log = "{\"level\":\"info\",\"msg\":\"opened\"}\n\
                   {\"level\":\"fatal\",\"msg\":\"discovery failed\",\"error\":\"no\",\"stacktrace\":\"a\\nb\"}\n";
        assert_eq!(quote(log), "discovery failed: no");
        assert_eq!(quote("E1125 one\n\nE1125 two\n"), "E1125 one; E1125 two");
        assert_eq!(quote(""), "it logged nothing");
    }

    #[test]
    fn a_full_disk_is_no_verdict() {
        assert!(gave_up("{\"level\":\"panic\",\"msg\":\"failed to open database\"}\n"));
        assert!(gave_up("panic: freepages: failed to get all reachable pages\n\ngoroutine 1\n"));
        assert!(!gave_up("{\"level\":\"fatal\",\"error\":\"write wal: no space left on device\"}\n"));
        assert!(!gave_up("{\"level\":\"error\",\"msg\":\"x\"}\n"));
        assert!(!gave_up(""));
    }
}
