//! The command line: what can be typed, and what is called for it.

pub mod args;
pub mod backup;
pub mod certs;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod confirm;
pub mod documents;
pub mod exit;
pub mod facts;
pub mod fleet;
pub mod health;
pub mod init;
pub mod join;
pub mod kubeconfig;
pub mod man;
pub mod metrics;
pub mod op;
pub mod operation;
pub mod phase_tree;
pub mod plan;
pub mod pull;
#[cfg(test)]
mod reference;
pub mod reset;
pub mod restore;
pub mod token;
pub mod upgrade;
mod version;

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use rkadm_core::{
    engine::{Cancel, Reporter},
    host::LocalHost,
};

use crate::output::{Format, Printer, progress};
use args::Global;
use exit::{CommandError, ExitKind};

/// How long a call to the API server may take, with its retries, where the configuration says nothing.
const API_TIMEOUT: Duration = Duration::from_mins(1);

/// What every command is given.
pub struct Session {
    /// Writes results and errors.
    pub printer: Printer,
    /// Shows progress.
    pub reporter: Box<dyn Reporter>,
    /// Ctrl-C.
    pub cancel: Cancel,
    /// File system root of the machine.
    pub root: PathBuf,
    /// The command as typed, without values of secret flags.
    pub command: Vec<String>,
}

impl Session {
    /// This machine. `api_timeout` bounds a call to the API server with its retries.
    pub fn host(&self, api_timeout: Duration) -> LocalHost {
        LocalHost::new(&self.root, api_timeout)
    }

    /// Work that a signal ends on the spot. What it leaves, the caller removes.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, CommandError> {
        tokio::select! {
            done = work => Ok(done),
            signal = self.cancel.cancelled() => {
                Err(CommandError::new(ExitKind::Interrupted, format!("stopped by {signal}")))
            }
        }
    }

    /// Refuses to go on without root's rights.
    pub fn require_root(command: &str) -> Result<(), CommandError> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        Err(CommandError::new(ExitKind::Preflight, format!("`rkadm {command}` must be run as root"))
            .hint(format!("sudo rkadm {command}")))
    }
}

/// The whole command line.
pub fn command() -> Command {
    // Flags first: their doc comments would replace the descriptions.
    Global::augment_args(Command::new("rkadm"))
        .about("Bootstrap, grow, upgrade, back up and restore Kubernetes control planes")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(100)
        .subcommand(init::command())
        .subcommand(join::command())
        .subcommand(group::<backup::BackupCommand>(
            "backup",
            "Back up etcd with keys and settings; list, check, try and remove backups",
        ))
        .subcommand(group::<restore::RestoreCommand>("restore", "Bring back what a backup holds"))
        .subcommand(reset::command())
        .subcommand(upgrade::command())
        .subcommand(group::<certs::CertsCommand>("certs", "Handle certificates and their keys"))
        .subcommand(group::<kubeconfig::KubeconfigCommand>("kubeconfig", "Make kubeconfig files"))
        .subcommand(token::TokenArgs::augment_args(Command::new("token")).about("Handle bootstrap tokens"))
        .subcommand(
            config::ConfigArgs::augment_args(Command::new("config"))
                .about("Check, print and look at configurations"),
        )
        .subcommand(group::<op::OpCommand>(
            "op",
            "List, show, resume and roll back operations of this machine",
        ))
        .subcommand(health::command())
        .subcommand(completion::command())
        .subcommand(man::command())
        .subcommand(version::command())
}

/// A subcommand that only has subcommands.
fn group<C: Subcommand>(name: &'static str, about: &'static str) -> Command {
    C::augment_subcommands(Command::new(name))
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// What was typed below a [`group`].
fn typed<C: FromArgMatches>(matches: &ArgMatches) -> Result<C, CommandError> {
    C::from_arg_matches(matches).map_err(|error| CommandError::new(ExitKind::Usage, error.to_string()))
}

/// Parses, runs, and gives the exit code.
pub fn run(typed: Vec<std::ffi::OsString>) -> i32 {
    let typed = args::join_verbosity(typed);
    let command_line = args::redact(&typed);
    let matches = match command().try_get_matches_from(typed) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let global = match Global::from_arg_matches(&matches) {
        Ok(global) => global,
        Err(error) => return usage(&error),
    };
    args::start_tracing(global.verbose);
    let session = Session {
        printer: Printer::new(global.output),
        reporter: progress::reporter(global.progress),
        cancel: Cancel::default(),
        root: global.rootfs,
        command: command_line,
    };
    // Most of the time is spent waiting; two threads keep key generation from delaying it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(async {
                args::watch_signals(&session.cancel);
                dispatch(&session, &matches, global.output == Format::Short).await
            });
            // Nobody waits for keys that nobody took.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CommandError::new(ExitKind::Bug, format!("cannot start: {error}"))),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            session.printer.error(&error);
            error.kind as i32
        }
    }
}

async fn dispatch(session: &Session, matches: &ArgMatches, short: bool) -> Result<(), CommandError> {
    if short && matches.subcommand_name() != Some("version") {
        let message = "`-o short` is there for `rkadm version` only";
        return Err(CommandError::new(ExitKind::Usage, message).hint("use human, json or yaml"));
    }
    match matches.subcommand() {
        Some(("init", matches)) => init::run(session, matches).await,
        Some(("join", matches)) => join::run(session, matches).await,
        Some(("backup", matches)) => backup::run(session, &typed(matches)?).await,
        Some(("restore", matches)) => restore::run(session, &typed(matches)?).await,
        Some(("reset", matches)) => reset::run(session, matches).await,
        Some(("upgrade", matches)) => upgrade::run(session, matches).await,
        Some(("certs", matches)) => certs::run(session, &typed(matches)?).await,
        Some(("kubeconfig", matches)) => kubeconfig::run(session, &typed(matches)?).await,
        Some(("token", matches)) => token::run(session, &typed(matches)?).await,
        Some(("config", matches)) => config::run(session, &typed(matches)?).await,
        Some(("op", matches)) => op::run(session, typed(matches)?).await,
        Some(("health", matches)) => health::run(session, &typed(matches)?).await,
        Some(("man", matches)) => man::run(session, matches),
        Some(("completion", matches)) => completion::run(matches),
        Some(("version", _)) => {
            version::run(session, short);
            Ok(())
        }
        _ => Err(CommandError::new(ExitKind::Usage, "no command given").hint("rkadm --help")),
    }
}

/// clap writes help to stdout and mistakes to stderr.
fn usage(error: &clap::Error) -> i32 {
    let _ = error.print();
    if error.use_stderr() { ExitKind::Usage as i32 } else { 0 }
}
