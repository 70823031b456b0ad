//! `rkadm init`: from flags and files to a running control plane.

mod args;
mod finished;
mod report;

use std::{io::Read, path::Path, sync::Arc};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use rkadm_core::{
    config::{ConfigError, ConfigErrors, Documents, ResolvedInit, Source, resolve_init, secret},
    engine::{
        Event, RunOptions, Runner, Workflow, journal::JournalDir, operation::Operation, plan, runner::Header,
        store::Store, workflow::SelectionError,
    },
    host::LocalHost,
};
use rkadm_phases::init::{self, Environment};

use self::args::InitArgs;
use super::{
    Session,
    exit::{CommandError, ExitKind},
    facts, phase_tree,
};

/// Name of the private copy of the resolved configuration, which a resume without flags works from.
const CONFIGURATION: &str = "configuration";

/// The subcommand with its phases.
pub fn command() -> Command {
    let metas = init::metas();
    let phase = phase_tree::command("init", &metas, InitArgs::augment_args);
    InitArgs::augment_args(Command::new("init"))
        .about("Run this command in order to set up the Kubernetes control plane")
        .after_help(phase_list(&metas))
        .subcommand(phase)
        .args_conflicts_with_subcommands(true)
}

fn phase_list(metas: &[rkadm_core::engine::PhaseMeta]) -> String {
    let lines: Vec<_> = metas.iter().map(|meta| format!("  {:<44} {}", meta.id, meta.title)).collect();
    format!("Phases, in order:\n{}", lines.join("\n"))
}

/// Runs `rkadm init` or one of its phases.
pub async fn run(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    let (only, matches) = match matches.subcommand() {
        Some(("phase", phase)) => match phase_tree::selected(phase) {
            Some((id, matches)) => (Some(id), matches),
            None => return Err(CommandError::new(ExitKind::Usage, "no phase given")),
        },
        _ => (None, matches),
    };
    let args = InitArgs::from_arg_matches(matches)
        .map_err(|error| CommandError::new(ExitKind::Usage, error.to_string()))?;
    let host = session.host();
    let facts =
        facts::gather(&host).await.map_err(|error| CommandError::new(ExitKind::Failed, error.to_string()))?;
    let documents = load(&args)?;
    let config = resolve_init(&documents, &args.flags(), &facts).map_err(|errors| invalid(&errors))?;
    if !config.dry_run {
        session.require_root("init")?;
    }
    for warning in &config.warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    if let (None, false) = (&only, config.dry_run)
        && finished::already(session, &host, &config).await?
    {
        return Ok(());
    }
    let request = Request { only, on_failure: args.on_failure.into() };
    execute(session, &host, config, &request).await
}

/// Goes on with an unfinished `init`, from the configuration that it began with.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    session.require_root("op resume")?;
    if !operation.status.is_resumable() {
        let status = operation.status.name();
        return Err(CommandError::new(ExitKind::Failed, format!("operation {} is {status}", operation.id))
            .hint(format!("look at it: `rkadm op show {}`", operation.id)));
    }
    let private = JournalDir::below(&session.root).path().join(&operation.id).join("private");
    let stored = Store::new(Some(private), std::collections::BTreeMap::new()).secret(CONFIGURATION);
    let config = stored.ok().flatten().and_then(|text| serde_json::from_str(&text).ok());
    let config: ResolvedInit = config.ok_or_else(|| {
        CommandError::new(
            ExitKind::Failed,
            format!("the configuration of operation {} cannot be read", operation.id),
        )
        .hint("run the command again with the same configuration, which resumes it too")
    })?;
    let only = operation.workflow().strip_prefix("init phase ").map(str::to_owned);
    let request = Request { only, on_failure: rkadm_core::engine::OnFailure::Rollback };
    execute(session, &session.host(), config, &request).await
}

/// What to run, and how.
struct Request {
    /// Only this phase, or the phases below this name.
    only: Option<String>,
    on_failure: rkadm_core::engine::OnFailure,
}

async fn execute(
    session: &Session,
    host: &LocalHost,
    config: ResolvedInit,
    request: &Request,
) -> Result<(), CommandError> {
    let config = Arc::new(config);
    let workflow = workflow(&config, request)?;
    let skip = workflow.skips(&config.skip_phases).map_err(|error| selection(&error))?;
    if config.dry_run {
        return match plan::dry_run(&workflow, host, &skip, session.reporter.as_ref()).await {
            Ok(phases) => {
                report::plan(session, phases);
                Ok(())
            }
            Err((phase, error)) => Err(report::plan_failed(&phase, error)),
        };
    }
    let registry = rkadm_phases::actions();
    let runner = Runner {
        host,
        reporter: session.reporter.as_ref(),
        registry: &registry,
        cancel: &session.cancel,
        root: session.root.clone(),
    };
    let options = RunOptions {
        skip,
        on_failure: request.on_failure,
        key_algorithm: Some(init::key_algorithm(&config)),
    };
    let outcome = runner.run(&workflow, header(session, &config)?, &options).await;
    match outcome {
        Ok(done) => {
            if request.only.is_none() {
                report::finished(session, &config, &done);
            } else {
                report::phase_finished(session, &done);
            }
            Ok(())
        }
        Err(error) => Err(finished::explain(error, &config)),
    }
}

fn workflow(config: &Arc<ResolvedInit>, request: &Request) -> Result<Workflow, CommandError> {
    let proxies = std::env::vars().filter(|(name, _)| rkadm_core::manifest::env::is_proxy(name)).collect();
    let mut workflow =
        init::workflow(Arc::clone(config), Environment { proxies, whole: request.only.is_none() });
    if let Some(only) = &request.only {
        workflow = workflow.only(std::slice::from_ref(only)).map_err(|error| selection(&error))?;
        workflow.name = format!("init phase {only}");
    }
    Ok(workflow)
}

fn header(session: &Session, config: &ResolvedInit) -> Result<Header, CommandError> {
    let bug = |error: serde_json::Error| CommandError::new(ExitKind::Bug, error.to_string());
    let mut secrets =
        vec![(CONFIGURATION.to_owned(), secret::exposed(|| serde_json::to_string(config)).map_err(bug)?)];
    for (index, token) in config.bootstrap_tokens.iter().enumerate() {
        let given = token.token.as_ref().map(|token| token.expose().to_owned());
        secrets.extend(given.map(|token| (init::token_secret_name(index), token)));
    }
    let key = config.certificate_key.as_ref().map(|key| key.expose().to_owned());
    secrets.extend(key.map(|key| (init::CERTIFICATE_KEY.to_owned(), key)));
    Ok(Header {
        command: session.command.clone(),
        config: serde_json::to_value(config).map_err(bug)?,
        digest: config.digest(),
        secrets,
    })
}

fn load(args: &InitArgs) -> Result<Documents, CommandError> {
    if args.config.is_empty() {
        return Ok(Documents::none());
    }
    let mut sources = vec![];
    for path in &args.config {
        let bytes = read(path).map_err(|error| {
            CommandError::new(ExitKind::InvalidConfig, format!("cannot read {}: {error}", path.display()))
                .hint("--config takes the path of a file, or - for stdin")
        })?;
        sources.push(Source::new(path.display().to_string(), bytes));
    }
    Documents::load(&sources).map_err(|errors| invalid(&errors))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = vec![];
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(path)
}

fn invalid(errors: &ConfigErrors) -> CommandError {
    let count = errors.0.len();
    let message = format!("the configuration has {count} error{}", if count == 1 { "" } else { "s" });
    let details = errors.0.iter().map(ConfigError::to_string).collect();
    CommandError { details, ..CommandError::new(ExitKind::InvalidConfig, message) }
}

fn selection(error: &SelectionError) -> CommandError {
    let mut command_error = CommandError::new(ExitKind::Usage, error.to_string());
    if let SelectionError::Unknown { nearest: Some(nearest), .. } = error {
        command_error = command_error.hint(format!("did you mean {nearest:?}?"));
    }
    command_error.hint("`rkadm init --help` lists the phases")
}
