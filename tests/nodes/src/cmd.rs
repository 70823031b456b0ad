//! Running programs: every failure carries the command line and what it printed.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

/// What a program printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; 128 plus the signal's number if a signal ended it, as in a shell.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Its stdout, or an error that shows all of it.
    pub fn ok(self, what: &str) -> Result<String> {
        if self.success() {
            return Ok(self.stdout);
        }
        let mut message = format!("{what}: exit code {}", self.status);
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.trim().is_empty() {
                write!(message, "\n--- {name}\n{}", text.trim_end())?;
            }
        }
        bail!(message)
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            status: code(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Runs to the end, without stdin, and returns whatever came of it.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", line(command)))?;
    Ok(output.into())
}

/// Runs to the end and returns stdout; anything but exit code 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    output(command)?.ok(&line(command))
}

/// `run` for a program and its arguments.
pub(crate) fn call(argv: &[&str]) -> Result<String> {
    run(Command::new(argv[0]).args(&argv[1..]))
}

/// The command line, for messages.
pub(crate) fn line(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
