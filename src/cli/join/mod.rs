//! `rkadm join`: from flags and files to one more node of a cluster.

mod args;
mod report;

use std::{path::Path, sync::Arc, time::Duration};

use clap::{ArgMatches, Args, Command};
use rkadm_core::{
    config::{GoDuration, ResolvedJoin, contradictions, resolve_join},
    discovery::{self, DiscoveryError},
    engine::{Event, OnFailure, journal::JournalDir, operation::Operation},
};
use rkadm_phases::{
    init::Environment,
    join::{self, JoinRequest, Joining},
};

use self::args::JoinArgs;
use super::{
    API_TIMEOUT, Session, documents,
    exit::{CommandError, ExitKind},
    facts,
    init::proxies,
    operation::{self, Manner},
    phase_tree::{self, Selected},
    typed,
};

/// The subcommand with its phases.
pub fn command() -> Command {
    let command = JoinArgs::augment_args(Command::new("join"))
        .about("Run this on any machine you wish to join an existing cluster");
    phase_tree::with_phases(command, &join::metas(), |_, command| JoinArgs::augment_args(command))
}

/// Runs `rkadm join` or one of its phases.
pub async fn run(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    let (only, matches) = phase_tree::chosen(matches)?;
    let args: JoinArgs = typed(matches)?;
    let documents = documents::load(&args.config)?;
    let host = session.host(API_TIMEOUT);
    let facts = facts::gather(&host, false).await.map_err(CommandError::failed)?;
    let join =
        resolve_join(&documents, &args.flags(), &facts).map_err(|errors| documents::invalid(&errors))?;
    if !join.dry_run {
        Session::require_root("join")?;
    }
    for warning in &join.warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    let on_failure = args.on_failure.into();
    if !join.dry_run {
        // What was begun goes on from what was known then: by now the token may have expired.
        if let Some(operation) = unfinished(session, &join, only.as_deref()) {
            let mut request: JoinRequest = operation::request(session, &operation)?;
            request.join.ignore_preflight_errors.clone_from(&join.ignore_preflight_errors);
            request.join.skip_phases.clone_from(&join.skip_phases);
            request.join.timeouts.clone_from(&join.timeouts);
            request.replace_member |= args.replace_member.is_some();
            request.replaced = args.replaced().or(request.replaced);
            return execute(session, request, on_failure).await;
        }
        if only.is_none() && report::already(session, &host, &join).await {
            return Ok(());
        }
    }
    let environment = Environment { proxies: proxies(), whole: only.is_none(), ..Environment::default() };
    let (replace_member, replaced) = (args.replace_member.is_some(), args.replaced());
    let request = JoinRequest { replace_member, replaced, ..ask(session, join, environment, only).await? };
    for message in contradictions(&documents, &request.settings.cluster) {
        session.reporter.report(Event::Warning { message });
    }
    execute(session, request, on_failure).await
}

/// Goes on with an unfinished `join`.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    Session::require_root("op resume")?;
    execute(session, operation::request(session, operation)?, OnFailure::Stop).await
}

/// The same command, cut off.
fn unfinished(session: &Session, join: &ResolvedJoin, only: Option<&str>) -> Option<Operation> {
    let operations = JournalDir::below(&session.root).load_all().ok()?;
    let name = phase_tree::workflow_name("join", only);
    operations.into_iter().rev().find(|operation| {
        operation.status.is_resumable()
            && operation.workflow() == name
            && operation.begun().is_some_and(|begun| begun.digest == join.digest())
    })
}

/// Finds the cluster and asks it for its settings.
async fn ask(
    session: &Session,
    join: ResolvedJoin,
    environment: Environment,
    only: Option<String>,
) -> Result<JoinRequest, CommandError> {
    let tell = |missing: &str| {
        let (phase, missing) = ("discovery".to_owned(), missing.to_owned());
        session.reporter.report(Event::Waiting { phase, missing });
    };
    let root = session.root.clone();
    let read = move |path: &str| {
        let path = Path::new(path);
        std::fs::read(root.join(path.strip_prefix("/").unwrap_or(path))).map_err(|error| error.to_string())
    };
    let with_certs = join.control_plane.as_ref().is_some_and(|it| it.certificate_key.is_some());
    let limit = join.timeouts.discovery.map_or(Duration::from_mins(5), GoDuration::as_std);
    let work = async {
        let found = discovery::find(&join, &read, &tell).await?;
        let settings = discovery::settings::read(&found, join.node_name(), with_certs, limit, &tell).await?;
        Ok((found, settings))
    };
    let (found, settings) = tokio::select! {
        found = work => found.map_err(|error| not_found(&error))?,
        signal = session.cancel.cancelled() => {
            return Err(CommandError::new(ExitKind::Interrupted, format!("stopped by {signal}"))
                .detail("Nothing was changed on this machine."));
        }
    };
    if let Some(url) = &found.elsewhere {
        let message = format!(
            "the discovery file names {}, and the cluster says that it is at {url}: this node will use what the file names",
            found.server
        );
        session.reporter.report(Event::Warning { message });
    }
    Ok(JoinRequest { join, found, settings, environment, only, ..JoinRequest::default() })
}

fn not_found(error: &DiscoveryError) -> CommandError {
    let mut answer = CommandError::failed(error).detail("Nothing was changed on this machine.");
    answer.hints = error.hints();
    answer
}

async fn execute(session: &Session, request: JoinRequest, on_failure: OnFailure) -> Result<(), CommandError> {
    let joining = Arc::new(Joining::new(request.clone()).map_err(|error| {
        CommandError::failed(format!("the settings of the cluster cannot be used: {error}"))
            .detail("Nothing was changed on this machine.")
            .hint("on a control plane, `kubectl -n kube-system edit configmap` mends them; a cluster of another minor needs another rkadm")
    })?);
    let config = &joining.cluster.config;
    let whole = join::workflow(&joining);
    let Selected { workflow, skip } =
        Selected::of("join", whole, &config.skip_phases, request.only.as_deref())?;
    let manner = Manner {
        dry_run: config.dry_run,
        on_failure,
        key_algorithm: joining.is_control_plane().then(|| config.key_algorithm()),
        skip,
        digest: Some(request.join.digest()),
        // Without the environment: proxies may have passwords.
        config: serde_json::to_value(&request.join).ok(),
        ..Manner::default()
    };
    let host = session.host(config.timeouts.kubernetes_api_call.map_or(API_TIMEOUT, GoDuration::as_std));
    let done = operation::carry_out(session, &host, &workflow, &request, &manner).await?;
    if let Some(done) = done {
        report::finished(session, &joining, &done);
    }
    Ok(())
}
