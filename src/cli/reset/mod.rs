//! `rkadm reset`: a machine without what `init` or `join` made of it.

mod args;
mod confirm;
mod report;
mod rollback;

pub use rollback::may_roll_back;

use std::{path::PathBuf, sync::Arc};

use clap::{ArgMatches, Args, Command};
use rkadm_core::{
    config::{GoDuration, NodePaths, resolve_reset},
    engine::{
        Event, OnFailure, Workflow,
        event::{Outcome, Silent},
        journal::JournalDir,
        operation::Operation,
        plan,
    },
    host::{LocalHost, Probe},
    text::sha256_hex,
};
use rkadm_phases::{
    reset::{self, ARCHIVE_DIR, Reset},
    static_pods,
};
use serde::{Deserialize, Serialize};

use self::args::ResetArgs;
use super::{
    API_TIMEOUT, Session,
    args::absolute,
    documents,
    exit::CommandError,
    facts,
    operation::{self, Manner},
    phase_tree::{self, Selected},
    typed,
};

/// The subcommand with its phases.
pub fn command() -> Command {
    let command = ResetArgs::augment_args(Command::new("reset"))
        .about("Perform a best effort revert of changes made to this host by 'init' or 'join'")
        .long_about(
            "Remove from this machine what `init` or `join` made of it, by rkadm or kubeadm: this node's etcd leaves its \
             cluster, kubelet and pods end, files and network rules go. An archive of the files is written first, and \
             `rkadm op rollback` brings them back.",
        );
    phase_tree::with_phases(command, &reset::metas(), args::of_phase)
}

/// What was asked for, kept with the operation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    /// Only this phase.
    only: Option<String>,
    reset: Reset,
}

/// Runs `rkadm reset` or one of its phases.
pub async fn run(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    let (only, matches) = phase_tree::chosen(matches)?;
    let args: ResetArgs = typed(matches)?;
    let documents = documents::load(&args.config)?;
    let host = session.host(API_TIMEOUT);
    let facts = facts::gather(&host, false).await.map_err(CommandError::failed)?;
    let here = paths(session, &host).await;
    let (config, warnings) = resolve_reset(&documents, &args.flags(), here, &facts)
        .map_err(|errors| documents::invalid(&errors))?;
    if !config.dry_run {
        Session::require_root("reset")?;
    }
    for warning in &warnings {
        session.reporter.report(Event::Warning { message: warning.to_string() });
    }
    let user_kubeconfigs = if args.remove_kubeconfig { user_kubeconfigs(&host).await } else { vec![] };
    let archive_dir = args.archive_dir.unwrap_or_else(|| ARCHIVE_DIR.into());
    let request = Request {
        only,
        reset: Reset {
            config,
            archive_dir: if args.no_archive { None } else { Some(absolute(archive_dir)) },
            cni: args.remove_cni,
            interfaces: args.remove_interfaces,
            delete_node: args.delete_node,
            kubeconfig: args.kubeconfig.map(absolute),
            user_kubeconfigs,
        },
    };
    execute(session, request, args.on_failure.into(), true).await
}

/// Goes on with an unfinished reset, as it was asked for. That was confirmed when it began.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    Session::require_root("op resume")?;
    let request = operation::request(session, operation)?;
    execute(session, request, OnFailure::Stop, false).await
}

async fn execute(
    session: &Session,
    request: Request,
    on_failure: OnFailure,
    ask: bool,
) -> Result<(), CommandError> {
    let config = &request.reset.config;
    let timeout = config.timeouts.as_ref().and_then(|timeouts| timeouts.kubernetes_api_call);
    let host = session.host(timeout.map_or(API_TIMEOUT, GoDuration::as_std));
    let dry_run = config.dry_run;
    let shared = Arc::new(request.reset.clone());
    let Selected { workflow, skip } =
        Selected::of("reset", shared.workflow(), &config.skip_phases, request.only.as_deref())?;
    let identity = Request { only: request.only.clone(), reset: request.reset.identity() };
    let digest = sha256_hex(serde_json::to_string(&identity).unwrap_or_default().as_bytes());
    let manner = Manner { dry_run, on_failure, skip, digest: Some(digest), ..Manner::default() };
    if !dry_run && ask && !is_unfinished(session) {
        // Looked at before anything is asked or recorded.
        if let Some(why) = nothing_to_do(&host, &workflow, &manner).await {
            report::unchanged(session, request.only.is_none(), &why);
            return Ok(());
        }
        let runs_preflight = workflow
            .phases
            .iter()
            .any(|phase| phase.meta().id == "preflight" && !manner.skip.contains("preflight"));
        if runs_preflight && !config.force {
            confirm::ask(&request.reset)?;
        }
    }
    let done = operation::carry_out(session, &host, &workflow, &request, &manner).await?;
    if let Some(done) = done {
        report::finished(session, &request.reset, request.only.is_none(), &done);
    }
    Ok(())
}

/// What this node uses, as its files say. A reset that was cut off may have removed those, and knows.
async fn paths(session: &Session, host: &LocalHost) -> NodePaths {
    let begun = JournalDir::below(&session.root).unfinished().ok().flatten();
    let begun = begun.filter(|operation| operation.workflow().starts_with("reset"));
    let begun = begun.and_then(|operation| operation::request::<Request>(session, &operation).ok());
    if let Some(Request { reset: Reset { config, .. }, .. }) = begun {
        let known = |text: String| Some(text).filter(|text| !text.is_empty());
        return NodePaths {
            cri_socket: known(config.cri_socket),
            certificates_dir: known(config.certificates_dir),
        };
    }
    NodePaths {
        cri_socket: static_pods::cri_socket(host).await,
        certificates_dir: static_pods::certificates_dir(host).await.map(|dir| dir.display().to_string()),
    }
}

/// Whether an operation is to be gone on with.
fn is_unfinished(session: &Session) -> bool {
    let all = JournalDir::below(&session.root).load_all().unwrap_or_default();
    all.iter().any(|operation| !operation.status.is_settled())
}

/// Why no phase would do anything; `None` where one would, or cannot be planned.
async fn nothing_to_do(host: &dyn Probe, workflow: &Workflow, manner: &Manner) -> Option<Vec<String>> {
    // Seen without a plan: whoever waits for a whole node to go need not wait for two.
    let manifests = host.list("/etc/kubernetes/manifests".as_ref()).await.ok()?;
    if !manifests.is_empty() && workflow.phases.len() > 1 {
        return None;
    }
    let phases = plan::dry_run(workflow, host, &manner.skip, &Silent).await.ok()?;
    let idle = phases.iter().all(|phase| phase.outcome != Outcome::Done);
    idle.then(|| phases.into_iter().filter_map(|phase| phase.why).collect())
}

/// `~/.kube/config` of the user, and of the one who called sudo.
async fn user_kubeconfigs(host: &LocalHost) -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = std::env::var_os("HOME").map(PathBuf::from).into_iter().collect();
    if let Ok(user) = std::env::var("SUDO_USER")
        && let Ok(output) = host.query(&["getent", "passwd", &user]).await
    {
        homes.extend(output.stdout.trim().split(':').nth(5).map(PathBuf::from));
    }
    homes.retain(|home| home.is_absolute());
    homes.sort();
    homes.dedup();
    homes.into_iter().map(|home| home.join(".kube/config")).collect()
}
