//! `rkadm init`: from flags and files to a running control plane.

mod args;
mod finished;
mod report;

use std::{sync::Arc, time::Duration};

use clap::{ArgMatches, Args, Command};
use rkadm_core::{
    config::{GoDuration, ResolvedInit, resolve_init},
    engine::{Event, OnFailure, operation::Operation},
    host::LocalHost,
    text::sha256_hex,
};
use rkadm_phases::init::{self, Environment};
use serde::{Deserialize, Serialize};

use self::args::{InitArgs, PhaseFlags};
use super::{
    API_TIMEOUT, Session, documents,
    exit::CommandError,
    facts,
    operation::{self, Failure, Manner},
    phase_tree::{self, Selected},
    typed,
};
pub use report::Join;

/// The subcommand with its phases.
pub fn command() -> Command {
    let command = InitArgs::augment_args(Command::new("init"))
        .about("Run this command in order to set up the Kubernetes control plane");
    phase_tree::with_phases(command, &init::metas(), args::of_phase)
}

/// Phases that have nothing to do with a container runtime: that there are several is no reason to ask which.
fn makes_files_only(phase: &str) -> bool {
    ["certs", "kubeconfig"].iter().any(|group| phase.split('/').next() == Some(group))
}

/// Runs `rkadm init` or one of its phases.
pub async fn run(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    let (only, matches) = phase_tree::chosen(matches)?;
    let args: InitArgs = typed(matches)?;
    let documents = documents::load(&args.config)?;
    let version_given = args.kubernetes_version.is_some() || documents::names_version(&documents);
    let mut facts =
        facts::gather(&session.host(API_TIMEOUT), !version_given).await.map_err(CommandError::failed)?;
    if only.as_deref().is_some_and(makes_files_only) {
        facts.cri_sockets.clear();
    }
    let flags = PhaseFlags::of(matches);
    let config = resolve_init(&documents, &args.flags(&flags), &facts)
        .map_err(|errors| documents::invalid(&errors))?;
    if !config.dry_run && !flags.print_manifest {
        Session::require_root("init")?;
    }
    for warning in &config.warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    let host = session.host(api_timeout(&config));
    let environment = Environment {
        proxies: proxies(),
        whole: only.is_none(),
        joins: false,
        kubeconfig: flags.kubeconfig,
        kubeconfig_dir: flags.kubeconfig_dir,
    };
    let request = Request { only, config, environment };
    if let (true, Some(phase)) = (flags.print_manifest, &request.only) {
        return report::manifests(session, &host, Arc::new(request.config), &request.environment, phase)
            .await;
    }
    let selected = request.selected()?;
    if let (None, false) = (&request.only, request.config.dry_run)
        && finished::already(session, &host, &request.config).await?
    {
        return Ok(());
    }
    execute(session, &host, request, selected, args.on_failure.into()).await
}

/// Goes on with an unfinished `init`, as it was asked for.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    Session::require_root("op resume")?;
    let request: Request = operation::request(session, operation)?;
    let selected = request.selected()?;
    let host = session.host(api_timeout(&request.config));
    execute(session, &host, request, selected, OnFailure::Stop).await
}

fn api_timeout(config: &ResolvedInit) -> Duration {
    config.timeouts.kubernetes_api_call.map_or(API_TIMEOUT, GoDuration::as_std)
}

/// What was asked for, kept with the operation.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    /// Only this phase, or the phases below this name.
    only: Option<String>,
    config: ResolvedInit,
    /// Proxy variables, which may hold a password, and paths: a resume uses what the operation began with.
    environment: Environment,
}

impl Request {
    fn selected(&self) -> Result<Selected, CommandError> {
        let whole = init::workflow(Arc::new(self.config.clone()), self.environment.clone());
        Selected::of("init", whole, &self.config.skip_phases, self.only.as_deref())
    }

    /// What a resume must have the same of: the configuration, and where a single phase works.
    fn digest(&self) -> String {
        let paths = [&self.environment.kubeconfig, &self.environment.kubeconfig_dir];
        let paths: Vec<_> = paths.into_iter().flatten().map(|path| path.display().to_string()).collect();
        if paths.is_empty() {
            return self.config.digest();
        }
        sha256_hex(format!("{} {}", self.config.digest(), paths.join(" ")).as_bytes())
    }
}

/// What phases find by name.
pub fn secrets(config: &ResolvedInit) -> Vec<(String, String)> {
    let mut secrets = vec![];
    for (index, token) in config.bootstrap_tokens.iter().enumerate() {
        let given = token.token.as_ref().map(|token| token.expose().to_owned());
        secrets.extend(given.map(|token| (init::token_secret_name(index), token)));
    }
    let key = config.certificate_key.as_ref().map(|key| key.expose().to_owned());
    secrets.extend(key.map(|key| (init::CERTIFICATE_KEY.to_owned(), key)));
    secrets
}

async fn execute(
    session: &Session,
    host: &LocalHost,
    request: Request,
    selected: Selected,
    on_failure: OnFailure,
) -> Result<(), CommandError> {
    let Selected { workflow, skip } = selected;
    let config = &request.config;
    let manner = Manner {
        dry_run: config.dry_run,
        on_failure,
        key_algorithm: Some(config.key_algorithm()),
        skip,
        digest: Some(request.digest()),
        // Without the environment: proxies may have passwords.
        config: serde_json::to_value(config).ok(),
        secrets: secrets(config),
    };
    let done = operation::carry_out(session, host, &workflow, &request, &manner).await;
    let done = done.map_err(|failure| match failure {
        Failure::Run(error) => finished::explain(error, config),
        Failure::Refused(error) => error,
    })?;
    match done {
        Some(done) if request.only.is_none() => report::finished(session, config, &done),
        Some(done) => report::phase_finished(session, config, &done),
        None => {}
    }
    Ok(())
}

/// The proxy variables of this process.
pub fn proxies() -> Vec<(String, String)> {
    // Not `vars`, which panics when any variable, also one that does not matter here, is not UTF-8.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter(|(name, _)| rkadm_core::manifest::env::is_proxy(name)).collect()
}
