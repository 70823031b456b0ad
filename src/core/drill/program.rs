//! A program that is started, waited for, and quoted when it ends.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

use crate::health::{BackOff, Delays};

/// How many of the last lines of a log are quoted.
const LINES: usize = 5;

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
    pub async fn not_yet(&mut self, why: &str) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("{} ended ({status}): {}", self.name, self.last_lines()));
        }
        if self.began.elapsed() > self.patience {
            let waited = self.patience.as_secs();
            return Err(format!(
                "{} was not ready after {waited} s: {why}; its log ends: {}",
                self.name,
                self.last_lines()
            ));
        }
        tokio::time::sleep(self.delays.next_delay()).await;
        Ok(())
    }

    fn last_lines(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
