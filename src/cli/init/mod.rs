//! `rkadm init`: from flags and files to a running control plane.

mod args;
mod finished;
mod report;

pub use self::report::plan_failed;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use clap::{ArgMatches, Args, Command};
use rkadm_core::{
    config::{GoDuration, ResolvedInit, resolve_init, secret},
    engine::{
        Event, RunOptions, Runner, Workflow, journal::JournalDir, operation::Operation, plan, runner::Header,
        store::Store, workflow::SelectionError,
    },
    host::LocalHost,
    text::sha256_hex,
};
use rkadm_phases::init::{self, Environment};

use self::args::{InitArgs, PhaseFlags};
use super::{
    API_TIMEOUT, Session, documents,
    exit::{CommandError, ExitKind},
    facts, phase_tree, plan as planned, typed,
};

/// Name of the private copy of the resolved configuration, which a resume without flags works from.
const CONFIGURATION: &str = "configuration";
/// Name of the private copy of what the phases are given besides: proxy variables, which may hold a password, and paths.
const ENVIRONMENT: &str = "environment";

/// The subcommand with its phases.
pub fn command() -> Command {
    let metas = init::metas();
    let phase = phase_tree::command("init", &metas, args::of_phase);
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
    let args: InitArgs = typed(matches)?;
    let documents = documents::load(&args.config)?;
    let version_given = args.kubernetes_version.is_some() || documents::names_version(&documents);
    let facts =
        facts::gather(&session.host(API_TIMEOUT), !version_given).await.map_err(CommandError::failed)?;
    let config =
        resolve_init(&documents, &args.flags(), &facts).map_err(|errors| documents::invalid(&errors))?;
    let flags = PhaseFlags::of(matches);
    if !config.dry_run && !flags.print_manifest {
        Session::require_root("init")?;
    }
    for warning in &config.warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    let host = session.host(api_timeout(&config));
    let config = Arc::new(config);
    let environment = Environment {
        proxies: proxies(),
        whole: only.is_none(),
        joins: false,
        kubeconfig: flags.kubeconfig,
        kubeconfig_dir: flags.kubeconfig_dir,
    };
    let request = Request { only, on_failure: args.on_failure.into(), environment };
    if let (true, Some(phase)) = (flags.print_manifest, &request.only) {
        return report::manifests(session, &host, config, &request.environment, phase).await;
    }
    let selected = Selected::of(&config, &request)?;
    if let (None, false) = (&request.only, config.dry_run)
        && finished::already(session, &host, &config).await?
    {
        return Ok(());
    }
    execute(session, &host, &config, &request, selected).await
}

/// Goes on with an unfinished `init`, from the configuration that it began with.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    Session::require_root("op resume")?;
    if !operation.status.is_resumable() {
        let status = operation.status.name();
        return Err(CommandError::new(ExitKind::Failed, format!("operation {} is {status}", operation.id))
            .hint(format!("look at it: `rkadm op show {}`", operation.id)));
    }
    let private = JournalDir::below(&session.root).private(&operation.id);
    let store = Store::new(Some(private), std::collections::BTreeMap::new());
    let config = store.secret(CONFIGURATION).ok().flatten().and_then(|text| serde_json::from_str(&text).ok());
    let config: ResolvedInit = config.ok_or_else(|| {
        CommandError::new(
            ExitKind::Failed,
            format!("the configuration of operation {} cannot be read", operation.id),
        )
        .hint("run the command again with the same configuration, which resumes it too")
    })?;
    let only = operation.workflow().strip_prefix("init phase ").map(str::to_owned);
    let began_with =
        store.secret(ENVIRONMENT).ok().flatten().and_then(|text| serde_json::from_str(&text).ok());
    let whole = only.is_none();
    let request = Request {
        only,
        on_failure: rkadm_core::engine::OnFailure::Stop,
        environment: began_with.unwrap_or_else(|| Environment {
            proxies: proxies(),
            whole,
            ..Environment::default()
        }),
    };
    let config = Arc::new(config);
    let selected = Selected::of(&config, &request)?;
    execute(session, &session.host(api_timeout(&config)), &config, &request, selected).await
}

fn api_timeout(config: &ResolvedInit) -> Duration {
    config.timeouts.kubernetes_api_call.map_or(API_TIMEOUT, GoDuration::as_std)
}

/// What to run, and how.
struct Request {
    /// Only this phase, or the phases below this name.
    only: Option<String>,
    on_failure: rkadm_core::engine::OnFailure,
    /// A resume uses what the operation began with.
    environment: Environment,
}

/// The phases to run and to leave out.
struct Selected {
    workflow: Workflow,
    skip: BTreeSet<&'static str>,
}

impl Selected {
    fn of(config: &Arc<ResolvedInit>, request: &Request) -> Result<Self, CommandError> {
        let mut workflow = init::workflow(Arc::clone(config), request.environment.clone());
        let mut skip = workflow.skips(&config.skip_phases).map_err(|error| selection(&error, "init"))?;
        if let Some(only) = &request.only {
            // A phase that is asked for by name is run, whatever the configuration leaves out of a whole init.
            skip.clear();
            workflow =
                workflow.only(std::slice::from_ref(only)).map_err(|error| selection(&error, "init"))?;
            workflow.name = format!("init phase {only}");
        }
        Ok(Self { workflow, skip })
    }
}

async fn execute(
    session: &Session,
    host: &LocalHost,
    config: &Arc<ResolvedInit>,
    request: &Request,
    selected: Selected,
) -> Result<(), CommandError> {
    let Selected { workflow, skip } = selected;
    if config.dry_run {
        return match plan::dry_run(&workflow, host, &skip, session.reporter.as_ref()).await {
            Ok(phases) => {
                planned::print(session, phases);
                Ok(())
            }
            Err((phase, error)) => Err(plan_failed(&phase, error)),
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
    let options =
        RunOptions { skip, on_failure: request.on_failure, key_algorithm: Some(config.key_algorithm()) };
    let outcome = runner.run(&workflow, header(session, config, request)?, &options).await;
    match outcome {
        Ok(done) => {
            if request.only.is_none() {
                report::finished(session, config, &done);
            } else {
                report::phase_finished(session, config, &done);
            }
            Ok(())
        }
        Err(error) => Err(finished::explain(error, config)),
    }
}

/// The proxy variables of this process.
pub fn proxies() -> Vec<(String, String)> {
    // Not `vars`, which panics when any variable, also one that does not matter here, is not UTF-8.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter(|(name, _)| rkadm_core::manifest::env::is_proxy(name)).collect()
}

fn header(session: &Session, config: &ResolvedInit, request: &Request) -> Result<Header, CommandError> {
    let bug = |error: serde_json::Error| CommandError::new(ExitKind::Bug, error.to_string());
    let mut secrets =
        vec![(CONFIGURATION.to_owned(), secret::exposed(|| serde_json::to_string(config)).map_err(bug)?)];
    secrets.push((ENVIRONMENT.to_owned(), serde_json::to_string(&request.environment).map_err(bug)?));
    for (index, token) in config.bootstrap_tokens.iter().enumerate() {
        let given = token.token.as_ref().map(|token| token.expose().to_owned());
        secrets.extend(given.map(|token| (init::token_secret_name(index), token)));
    }
    let key = config.certificate_key.as_ref().map(|key| key.expose().to_owned());
    secrets.extend(key.map(|key| (init::CERTIFICATE_KEY.to_owned(), key)));
    Ok(Header {
        command: session.command.clone(),
        config: serde_json::to_value(config).map_err(bug)?,
        digest: digest(config, &request.environment),
        secrets,
    })
}

/// What a resume must have the same of: the configuration, and where a single phase works.
fn digest(config: &ResolvedInit, environment: &Environment) -> String {
    let paths = [&environment.kubeconfig, &environment.kubeconfig_dir];
    let paths: Vec<_> = paths.into_iter().flatten().map(|path| path.display().to_string()).collect();
    if paths.is_empty() {
        return config.digest();
    }
    sha256_hex(format!("{} {}", config.digest(), paths.join(" ")).as_bytes())
}

/// A phase that the workflow of this verb does not have, or that cannot be left out.
pub fn selection(error: &SelectionError, verb: &str) -> CommandError {
    let mut command_error = CommandError::new(ExitKind::Usage, error.to_string());
    if let SelectionError::Unknown { nearest: Some(nearest), .. } = error {
        command_error = command_error.hint(format!("did you mean {nearest:?}?"));
    }
    command_error.hint(format!("`rkadm {verb} --help` lists the phases"))
}
