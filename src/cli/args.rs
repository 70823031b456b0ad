//! What all commands share: global flags, redaction, signals, tracing.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Args};
use rkadm_core::{config::validate::names::is_token, engine::Cancel};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::{Format, note, progress::Mode};

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// How the result is written to stdout
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// How progress is shown on stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    pub progress: Mode,
    /// Log what rkadm does to stderr; twice for more. kubeadm's -v=N is taken too
    #[arg(short, long, alias = "v", global = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "1",
          default_value_t = 0, require_equals = true, value_name = "N", hide_default_value = true)]
    pub verbose: u8,
    /// Taken for kubeadm's sake; rkadm's log has one level
    #[arg(long, global = true, value_name = "PATTERN=N,…", hide = true)]
    pub vmodule: Option<String>,
    /// Taken for kubeadm's sake; results have no managed fields
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub show_managed_fields: Option<bool>,
    /// Taken for kubeadm's sake; rkadm has no templates
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub allow_missing_template_keys: Option<bool>,
    /// Work on the machine whose file system is mounted at DIR; its programs and sockets are looked for there too
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide = true, value_parser = existing_dir)]
    pub rootfs: PathBuf,
}

/// A path of the user's, which is relative to where the command runs. An empty one stays, to be refused.
pub fn absolute(typed: impl AsRef<Path>) -> PathBuf {
    let typed = typed.as_ref();
    std::path::absolute(typed).unwrap_or_else(|_| typed.to_owned())
}

fn existing_dir(typed: &str) -> Result<PathBuf, String> {
    let path = std::path::absolute(typed).map_err(|error| error.to_string())?;
    match path.metadata() {
        Ok(meta) if meta.is_dir() => Ok(path),
        Ok(_) => Err("not a directory".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Takes `-v 5` and `-v5` for `-v=5`, as kubeadm does: to clap, `-v` alone is complete, and a number that follows it is a
/// word of its own.
pub fn join_verbosity(typed: Vec<OsString>) -> Vec<OsString> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut words: Vec<OsString> = Vec::with_capacity(typed.len());
    let mut after_flag = false;
    for word in typed {
        let text = word.to_string_lossy();
        if after_flag && is_number(&text) {
            after_flag = false;
            if let Some(flag) = words.last_mut() {
                flag.push("=");
                flag.push(&word);
            }
            continue;
        }
        after_flag = text == "-v" || text == "--v";
        match text.strip_prefix("-v").filter(|number| is_number(number)) {
            Some(number) => words.push(format!("-v={number}").into()),
            None => words.push(word),
        }
    }
    words
}

/// Flags whose values never reach journals, logs or lock files.
const SECRET_FLAGS: [&str; 4] =
    ["--token", "--certificate-key", "--discovery-token", "--tls-bootstrap-token"];

/// The command as typed, without values of secret flags, and without bootstrap tokens wherever they stand: some commands
/// take them as plain words, where a mistyped one is not known by its form.
pub fn redact(typed: &[OsString]) -> Vec<String> {
    let mut words: Vec<String> = Vec::with_capacity(typed.len());
    let mut hide_next = false;
    for word in typed {
        let word = word.to_string_lossy();
        let positional = names_tokens(&words) && !word.starts_with('-');
        if std::mem::take(&mut hide_next) || positional || is_token(&word) {
            words.push("<redacted>".to_owned());
        } else if let Some((flag, _)) = word.split_once('=').filter(|(flag, _)| SECRET_FLAGS.contains(flag)) {
            words.push(format!("{flag}=<redacted>"));
        } else {
            hide_next = SECRET_FLAGS.contains(&word.as_ref());
            words.push(word.into_owned());
        }
    }
    words
}

/// Whether plain words that follow these are tokens, or at most values of flags that nobody misses.
fn names_tokens(words: &[String]) -> bool {
    words.windows(2).any(|pair| pair[0] == "token" && (pair[1] == "create" || pair[1] == "delete"))
}

/// The first Ctrl-C lets the step at work finish, the second ends the process: the journal covers both.
pub fn watch_signals(cancel: &Cancel) {
    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
    ] {
        let cancel = cancel.clone();
        if kind == SignalKind::hangup() && is_ignored(kind) {
            continue;
        }
        let Ok(mut signals) = signal(kind) else { continue };
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if cancel.count() > 0 {
                    // A terminal that goes away says so twice, by its shell and by the kernel.
                    if kind == SignalKind::hangup() {
                        continue;
                    }
                    abort();
                }
                note(&format!("{name}: stopping after the step at work; once more to stop at once"));
                cancel.cancel(name);
            }
        });
    }
}

/// Whether who started rkadm wants this signal ignored, as `nohup` does.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

#[allow(clippy::exit, reason = "a second Ctrl-C asks for exactly this")]
fn abort() {
    std::process::exit(super::exit::ExitKind::Interrupted as i32);
}

/// Logs for developers; progress for people is not made of these.
pub fn start_tracing(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    // Without internal errors: they are printed with a macro that ends the process when stderr is closed.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_flags_are_hidden() {
        let typed =
            ["rkadm", "init", "--token", "abcdef.0123456789abcdef", "--certificate-key=00ff", "--dry-run"];
        let typed: Vec<_> = typed.into_iter().map(OsString::from).collect();
        let expected =
            ["rkadm", "init", "--token", "<redacted>", "--certificate-key=<redacted>", "--dry-run"];
        assert_eq!(redact(&typed), expected);
    }

    #[test]
    fn verbosity_may_be_written_as_for_kubeadm() {
        let joined = |line: &str| {
            let words = join_verbosity(line.split(' ').map(OsString::from).collect());
            words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        for (typed, expected) in [
            ("rkadm -v 5 version", "rkadm -v=5 version"),
            ("rkadm version --v 10", "rkadm version --v=10"),
            ("rkadm version -v5", "rkadm version -v=5"),
            ("rkadm -v version", "rkadm -v version"),
            ("rkadm version -v=2", "rkadm version -v=2"),
            ("rkadm init --apiserver-bind-port 5", "rkadm init --apiserver-bind-port 5"),
        ] {
            assert_eq!(joined(typed), expected);
        }
    }

    #[test]
    fn tokens_are_hidden_where_they_are_plain_words() {
        let redacted =
            |line: &str| redact(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).join(" ");
        for (typed, expected) in [
            (
                "rkadm token create abcdef.0123456789abcdef --dry-run",
                "rkadm token create <redacted> --dry-run",
            ),
            ("rkadm token create --dry-run ABCDEF.0123456789", "rkadm token create --dry-run <redacted>"),
            ("rkadm token delete abcdef abcdeg.01", "rkadm token delete <redacted> <redacted>"),
            ("rkadm init abcdef.0123456789abcdef", "rkadm init <redacted>"),
            ("rkadm token list --kubeconfig a.conf", "rkadm token list --kubeconfig a.conf"),
        ] {
            assert_eq!(redacted(typed), expected);
        }
    }
}

/// What to do when a phase fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum FailurePolicy {
    /// Undo what was done.
    #[default]
    Rollback,
    /// Leave everything as it is, for a look and a resume.
    Stop,
}

impl From<FailurePolicy> for rkadm_core::engine::OnFailure {
    fn from(policy: FailurePolicy) -> Self {
        match policy {
            FailurePolicy::Rollback => Self::Rollback,
            FailurePolicy::Stop => Self::Stop,
        }
    }
}
