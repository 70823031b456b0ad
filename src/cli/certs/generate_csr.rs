//! `rkadm certs generate-csr`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use rkadm_core::{
    config::{InitFlags, resolve_init},
    engine::{OnFailure, event::Outcome, operation::Operation},
    host::LocalHost,
};
use rkadm_phases::csr::{self, Requests};
use serde::Serialize;

use crate::cli::{
    Session,
    args::{FailurePolicy, absolute},
    documents,
    exit::CommandError,
    facts,
    operation::{self, Manner},
};

/// Where the requests go, and what they say.
#[derive(Debug, Args)]
pub struct CsrArgs {
    /// Directory for keys and requests [default: that of the configuration, else /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Directory for kubeconfig files and their requests
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes")]
    kubeconfig_dir: PathBuf,
    /// Configuration of the cluster; may be given several times
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// What to do when a step fails
    #[arg(long, value_enum, default_value_t)]
    on_failure: FailurePolicy,
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    operation: String,
    cert_dir: PathBuf,
    kubeconfig_dir: PathBuf,
    requests: Vec<String>,
}

/// Runs it.
pub async fn run(session: &Session, args: &CsrArgs) -> Result<(), CommandError> {
    if !args.dry_run {
        Session::require_root("certs generate-csr")?;
    }
    let host = session.host(crate::cli::API_TIMEOUT);
    let documents = documents::load(&args.config)?;
    let facts = facts::without_runtime(&host).await.map_err(CommandError::failed)?;
    let config = resolve_init(&documents, &InitFlags::default(), &facts)
        .map_err(|errors| documents::invalid(&errors))?;
    let requests = Requests {
        cert_dir: args.cert_dir.as_ref().map_or_else(|| config.cert_dir().into(), absolute),
        kubeconfig_dir: Some(absolute(&args.kubeconfig_dir)),
        config,
    };
    execute(session, &host, requests, args.on_failure.into(), args.dry_run).await
}

/// Goes on with unfinished work.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    let requests = operation::request(session, operation)?;
    execute(session, &session.host(crate::cli::API_TIMEOUT), requests, OnFailure::Stop, false).await
}

async fn execute(
    session: &Session,
    host: &LocalHost,
    requests: Requests,
    on_failure: OnFailure,
    dry_run: bool,
) -> Result<(), CommandError> {
    let requests = Arc::new(requests);
    let workflow = csr::workflow(&requests);
    let manner = Manner {
        dry_run,
        on_failure,
        key_algorithm: Some(requests.config.key_algorithm()),
        ..Manner::default()
    };
    let done = operation::carry_out(session, host, &workflow, requests.as_ref(), &manner).await?;
    let Some(done) = done else { return Ok(()) };
    let made = done.phases.iter().filter(|line| line.outcome == Some(Outcome::Done));
    let result = Generated {
        operation: done.operation.clone(),
        cert_dir: requests.cert_dir.clone(),
        kubeconfig_dir: requests.kubeconfig_dir.clone().unwrap_or_default(),
        requests: made.map(|line| line.phase.trim_start_matches("csr/").to_owned()).collect(),
    };
    session.printer.result("SigningRequests", &result, || {
        format!(
            "{} requests are in {} and {}.\nTake the .csr files, not the keys, to the authority: `rkadm certs sign` \
             signs them there. Put each certificate beside its key.\n",
            result.requests.len(),
            result.cert_dir.display(),
            result.kubeconfig_dir.display()
        )
    });
    Ok(())
}
