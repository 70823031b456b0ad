//! The only code that writes to stdout or stderr: results on stdout, everything else on stderr.
pub mod progress;
pub mod text;

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::cli::exit::CommandError;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    #[value(alias = "text")]
    Human,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Of `rkadm version`, as with kubeadm: one word.
    #[value(hide = true)]
    Short,
}

/// A result document: what programs read with `-o json` and `-o yaml`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, T: Serialize> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

/// The API version of every result document.
pub const API_VERSION: &str = "output.rkadm.io/v1alpha1";

/// Writes results and errors.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    format: Format,
}

impl Printer {
    /// A printer of this format.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Writes the result: `human` for people, `body` with its kind for programs.
    pub fn result<T: Serialize>(self, kind: &'static str, body: &T, human: impl FnOnce() -> String) {
        let document = Document { api_version: API_VERSION, kind, body };
        let text = match self.format {
            Format::Human | Format::Short => human(),
            Format::Json => serde_json::to_string_pretty(&document).unwrap_or_default() + "\n",
            Format::Yaml => rkadm_core::yaml::to_string(&document),
        };
        write_stdout(&text);
    }

    /// Writes why a command failed: for people on stderr, for programs as a document on stdout.
    pub fn error(self, error: &CommandError) {
        write_stderr(&text::error(error));
        if !matches!(self.format, Format::Human | Format::Short) && !error.has_result {
            self.result("Error", error, String::new);
        }
    }
}

/// Writes a result that has one form only, such as a script for a shell.
pub fn plain(text: &str) {
    write_stdout(text);
}

/// Writes a line for people to stderr.
pub fn note(text: &str) {
    write_stderr(&format!("{text}\n"));
}

/// Writes a question to stderr; the answer follows on the same line.
pub fn ask(question: &str) {
    write_stderr(question);
}

/// Whether a person may be watching.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether a person may be reading the result.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Standard output for data that is no result. From here on, whatever else would be written there goes to stderr: a result
/// in the middle of the data would damage it.
pub fn take_stdout() -> std::io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    let data = std::io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(std::io::stderr())?;
    Ok(data.into())
}

/// A reader that went away (`rkadm … | head`) is no fault of ours; a result that is lost otherwise is worth a word.
fn write_stdout(text: &str) {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            note(&format!("Warning: the result could not be written to stdout: {error}"));
        }
        _ => {}
    }
}

/// An operation goes on when nobody reads its progress (`rkadm … 2>&1 | head`): `eprintln!` would end the process.
fn write_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
