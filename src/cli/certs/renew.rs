//! `rkadm certs renew`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use jiff::Timestamp;
use rkadm_core::{
    config::{InitFlags, ResolvedInit, resolve_init},
    engine::{OnFailure, RunReport, event::Outcome, operation::Operation},
    host::{LocalHost, Probe},
    kubeconfig::Kubeconfig,
    manifest::Component,
    pki::{Certificate, list},
};
use rkadm_phases::{
    init::Cluster,
    renew::{self, Renewal, STRANGE, TARGETS, WITH_ETCD},
    static_pods,
};
use serde::Serialize;

use crate::cli::{
    Session,
    args::{FailurePolicy, absolute},
    documents,
    exit::{CommandError, ExitKind},
    facts,
    operation::{self, Manner},
};

/// Where kubelets find containerd unless they are told otherwise.
const DEFAULT_SOCKET: &str = "unix:///var/run/containerd/containerd.sock";

/// What to renew, and how.
#[derive(Debug, Args)]
pub struct RenewArgs {
    /// What to renew: `all`, or names as `certs check-expiration` shows them
    #[arg(required = true, value_parser = names())]
    names: Vec<String>,
    /// Directory of the certificates [default: that of --config, of this machine's API server, or /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Configuration of the cluster, for the algorithm and the validity of new certificates; may be given several times
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Take subjects and names from the configuration, not from the certificates that are there
    #[arg(long, requires = "config")]
    names_from_config: bool,
    /// Leave the static pods as they are: they use the old certificates until they are restarted
    #[arg(long)]
    no_restart: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// What to do when a step fails
    #[arg(long, value_enum, default_value_t)]
    on_failure: FailurePolicy,
    /// Taken for scripts made for kubeadm; the API server is not asked
    #[arg(long, value_name = "FILE", hide = true)]
    kubeconfig: Option<PathBuf>,
}

fn names() -> Vec<&'static str> {
    std::iter::once("all").chain(TARGETS.iter().map(|target| target.name)).collect()
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    operation: String,
    renewed: Vec<One>,
    not_renewed: Vec<Left>,
    restarted: Vec<&'static str>,
    /// Static pods that still use old certificates.
    restart_needed: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct One {
    name: &'static str,
    #[serde(rename = "expirationDate", skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Left {
    name: &'static str,
    why: String,
}

/// Runs it.
pub async fn run(session: &Session, args: &RenewArgs) -> Result<(), CommandError> {
    if !args.dry_run {
        Session::require_root("certs renew")?;
    }
    let host = session.host(crate::cli::API_TIMEOUT);
    let config = if args.config.is_empty() { None } else { Some(configured(&host, args).await?) };
    let all = args.names.iter().any(|name| name == "all");
    if all && args.names.len() > 1 {
        return Err(CommandError::new(ExitKind::Usage, "`all` is everything: no other name goes with it"));
    }
    let dir = args
        .cert_dir
        .as_ref()
        .map(absolute)
        .or_else(|| config.as_ref().map(|config| config.cert_dir().into()));
    let dir = match dir {
        Some(dir) => dir,
        None => super::own_dir(&host).await,
    };
    let renewal = Renewal {
        names: if all { vec![] } else { args.names.clone() },
        cert_dir: dir,
        config,
        names_from_config: args.names_from_config,
        restart: !args.no_restart,
        cri_socket: static_pods::cri_socket(&host).await.unwrap_or_else(|| DEFAULT_SOCKET.into()),
    };
    let on_failure = match args.on_failure.into() {
        // What nobody accepts any more is not brought back: it would take with it what still lives on old connections.
        OnFailure::Rollback if has_expired(&host, &renewal).await => OnFailure::Stop,
        policy => policy,
    };
    execute(session, &host, renewal, on_failure, args.dry_run).await
}

/// Whether one of those that are to be renewed has ended.
async fn has_expired(host: &dyn Probe, renewal: &Renewal) -> bool {
    for target in TARGETS.iter().filter(|target| renewal.wants(target)) {
        if expires(host, renewal, target.name).await.is_some_and(|end| end <= Timestamp::now()) {
            return true;
        }
    }
    false
}

/// Goes on with an unfinished renewal.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    let renewal = operation::request(session, operation)?;
    execute(session, &session.host(crate::cli::API_TIMEOUT), renewal, OnFailure::Stop, false).await
}

async fn configured(host: &LocalHost, args: &RenewArgs) -> Result<ResolvedInit, CommandError> {
    let documents = documents::load(&args.config)?;
    let facts = facts::without_runtime(host).await.map_err(CommandError::failed)?;
    resolve_init(&documents, &InitFlags::default(), &facts).map_err(|errors| documents::invalid(&errors))
}

async fn execute(
    session: &Session,
    host: &LocalHost,
    renewal: Renewal,
    on_failure: OnFailure,
    dry_run: bool,
) -> Result<(), CommandError> {
    let renewal = Arc::new(renewal);
    let workflow = renew::workflow(&renewal);
    let key_algorithm = renewal.config.as_ref().map(ResolvedInit::key_algorithm);
    let manner = Manner { dry_run, on_failure, key_algorithm, ..Manner::default() };
    let done = operation::carry_out(session, host, &workflow, renewal.as_ref(), &manner).await?;
    if let Some(done) = done {
        let result = result(host, &renewal, &done).await;
        session.printer.result("CertificateRenewal", &result, || text(&result));
        // Such as after the authority was replaced: whoever runs this by the clock must not take it for done.
        if result.renewed.is_empty() && result.not_renewed.iter().any(|left| left.why.starts_with(STRANGE)) {
            let message =
                "nothing was renewed: none of the certificates was signed by the authorities that are here";
            let hint = "where the authorities were replaced: --config FILE --names-from-config";
            return Err(CommandError::failed(message).hint(hint).after_result());
        }
    }
    Ok(())
}

async fn result(host: &dyn Probe, renewal: &Renewal, done: &RunReport) -> Report {
    let mut result = Report {
        operation: done.operation.clone(),
        renewed: vec![],
        not_renewed: vec![],
        restarted: vec![],
        restart_needed: vec![],
    };
    let line = |id: &str| done.phases.iter().find(|line| line.phase == id);
    let mut components = std::collections::BTreeSet::new();
    for target in &TARGETS {
        if done.outputs.contains_key(&target.output()) {
            let expires = expires(host, renewal, target.name).await;
            result.renewed.push(One { name: target.name, expires });
            components.extend(target.used_by);
        } else if let Some(why) = line(target.id).and_then(|line| line.why.clone()) {
            result.not_renewed.push(Left { name: target.name, why });
        }
    }
    let with_etcd = done.outputs.contains_key(WITH_ETCD);
    if with_etcd {
        components.insert(Component::ApiServer);
    }
    for component in components {
        let restarted = line(&format!("restart/{component}")).and_then(|line| line.outcome);
        let here = host.stat(&Cluster::manifest(&component.file_name())).await;
        if restarted == Some(Outcome::Done) || (with_etcd && component == Component::ApiServer) {
            result.restarted.push(component.name());
        } else if !matches!(here, Ok(None)) {
            result.restart_needed.push(component.name());
        }
    }
    result
}

/// When a certificate ends, read from its file.
async fn expires(host: &dyn Probe, renewal: &Renewal, name: &str) -> Option<Timestamp> {
    let certificate = if let Some(entry) = list::entry(name) {
        let pem = host.read(&renewal.cert_dir.join(entry.cert_file())).await.ok()??;
        Certificate::from_pem(&pem).ok()?
    } else {
        let text = host.read(&Cluster::kubeconfig(name)).await.ok()??;
        let file = Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)).ok()?;
        file.current().ok()?.1.certificate().ok()??
    };
    Some(certificate.not_after())
}

fn text(result: &Report) -> String {
    let mut out = String::new();
    for one in &result.renewed {
        let until = one.expires.map(|date| format!(", valid until {}", date.strftime("%b %d, %Y %H:%M UTC")));
        out += &format!("{} renewed{}\n", one.name, until.unwrap_or_default());
    }
    for left in &result.not_renewed {
        out += &format!("{} not renewed: {}\n", left.name, left.why);
    }
    if !result.restarted.is_empty() {
        out += &format!("Restarted, and healthy again: {}\n", result.restarted.join(", "));
    }
    if !result.restart_needed.is_empty() {
        out += &format!(
            "Still with their old certificates until they are restarted: {}\n",
            result.restart_needed.join(", ")
        );
    }
    if result.renewed.iter().any(|one| one.name == "admin.conf") {
        out += "Copies of admin.conf, such as ~/.kube/config, hold the old certificate: copy it again.\n";
    }
    out
}
