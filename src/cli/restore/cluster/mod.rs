//! `rkadm restore cluster`: all machines are gone, and this one was never part of the cluster.

mod report;
mod settings;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use futures::future::join_all;
use jiff::Timestamp;
use rkadm_core::{
    backup::{
        crypt::Identities,
        lost::{self, Lost},
        place::Location,
        scratch::Scratch,
        source::below,
        trial,
    },
    engine::{Event, OnFailure, journal::JournalDir, operation::Operation},
    text::sha256_hex,
};
use rkadm_phases::{
    init::Environment,
    restore::{self, CLUSTER_WORKFLOW, ClusterRestore, Encryption, RemoveNodes, Source},
};

use super::{UNKNOWN, confirm, refuse, source, unfinished};
use crate::{
    cli::{
        API_TIMEOUT, Session,
        args::{FailurePolicy, absolute},
        backup::IdentityArgs,
        confirm as answers,
        exit::{CommandError, ExitKind},
        init,
        operation::{self, Manner},
    },
    output,
};

/// How long a machine of the lost cluster has to answer, if it is not lost after all.
const ANSWER: Duration = Duration::from_secs(3);

/// What to bring back, and as what.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct ClusterArgs {
    /// An archive of `rkadm backup etcd`, or `latest`. A snapshot of `etcdctl snapshot save` whose name ends with .db, where the
    /// cluster's keys are in /etc/kubernetes/pki already
    #[arg(value_name = "FILE|latest")]
    file: PathBuf,
    /// Where `latest` is looked for: a directory or s3://BUCKET/PREFIX [default: /var/lib/rkadm/backups]
    #[arg(long, value_name = "DIR")]
    dir: Option<Location>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Settings of this machine (InitConfiguration, kubeadm.k8s.io/v1beta4), and others in place of those in the backup
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Name of this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The IP address the API Server will advertise it's listening on; the default interface's when not set
    #[arg(long, value_name = "IP", conflicts_with = "config")]
    apiserver_advertise_address: Option<IpAddr>,
    /// Another stable address of the control plane than the cluster had
    #[arg(long, value_name = "HOST[:PORT]")]
    control_plane_endpoint: Option<String>,
    /// Upload the control-plane certificates, encrypted, for control planes that join
    #[arg(long)]
    upload_certs: bool,
    /// Whose Node objects are removed: pods of removed Nodes are made elsewhere at once. A machine that is not lost after all
    /// stays in the cluster by its Node
    #[arg(long, value_enum, default_value_t)]
    remove_nodes: WhichNodes,
    /// Preflight checks whose errors become warnings; `all` ignores every one
    #[arg(long, value_name = "CHECK,…", value_delimiter = ',')]
    ignore_preflight_errors: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Go on although a machine of the lost cluster answers, its objects could not be read here, or they are too many for etcd's quota
    #[arg(long)]
    force: bool,
    /// What to do when a step fails
    #[arg(long, value_enum, default_value_t)]
    on_failure: FailurePolicy,
}

/// As typed.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum WhichNodes {
    /// Those of other control planes
    #[default]
    ControlPlanes,
    /// Those of all other machines
    All,
    /// None
    None,
}

impl From<WhichNodes> for RemoveNodes {
    fn from(which: WhichNodes) -> Self {
        match which {
            WhichNodes::ControlPlanes => Self::ControlPlanes,
            WhichNodes::All => Self::All,
            WhichNodes::None => Self::None,
        }
    }
}

impl ClusterArgs {
    /// The same command has the same.
    fn digest(&self) -> String {
        let file = source::as_named(&self.file);
        let from = self.dir.as_ref().map(Location::to_string).unwrap_or_default();
        // What they say, not where they are: a corrected file is another request.
        let said =
            |path: &PathBuf| (absolute(path), std::fs::read(path).map(|bytes| sha256_hex(&bytes)).ok());
        let config: Vec<_> = self.config.iter().map(said).collect();
        let text = format!(
            "{}\n{from}\n{config:?}\n{:?}\n{:?}\n{:?}\n{}\n{:?}\n{:?}",
            file.display(),
            self.node_name,
            self.apiserver_advertise_address,
            self.control_plane_endpoint,
            self.upload_certs,
            self.remove_nodes,
            self.ignore_preflight_errors,
        );
        sha256_hex(text.as_bytes())
    }
}

/// Runs it.
pub async fn run(session: &Session, args: &ClusterArgs) -> Result<(), CommandError> {
    let digest = args.digest();
    if !args.dry_run {
        Session::require_root("restore cluster")?;
        if let Some(operation) = unfinished(session, CLUSTER_WORKFLOW, &digest)? {
            let identities = args.identity.absolute();
            return go_on(session, &operation, digest, args.on_failure.into(), identities).await;
        }
        if report::already(session, &digest).await? {
            return Ok(());
        }
    }
    let asks = !args.dry_run && !args.yes;
    if asks {
        confirm::possible(
            "restore cluster",
            "makes a control plane of this machine, with all keys of the lost cluster",
        )?;
    }
    // What was fetched for a dry run goes when this does.
    let file = source::find(session, &args.file, args.dir.as_ref(), None, args.dry_run).await?;
    let lost = read(session, &file.path, &args.identity.absolute()).await?;
    let config = settings::of(session, args, &lost).await?;
    let bump = trial::bump_over(lost.revision, lost.revision + UNKNOWN);
    let request = ClusterRestore {
        id: Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string(),
        source: describe(&file.path, &args.identity, &lost),
        environment: Environment { proxies: init::proxies(), whole: true, ..Environment::default() },
        // Nobody knows what was seen of the lost cluster: more than anybody can have.
        bump,
        remove: args.remove_nodes.into(),
        files: lost.files.clone(),
        config,
    };
    let host = session.host(API_TIMEOUT);
    let survey = restore::fits(&host, &request.restore(), &request.files).await;
    refuse(&survey, "the cluster of this backup cannot be restored here", args.force)?;
    for message in survey.told(args.force) {
        session.reporter.report(Event::Warning { message });
    }
    let elsewhere: Vec<_> =
        request.files_elsewhere().into_iter().map(|path| path.display().to_string()).collect();
    if !elsewhere.is_empty() {
        let message =
            format!("files of the backup outside /etc/kubernetes come too: {}", elsewhere.join(", "));
        session.reporter.report(Event::Warning { message });
    }
    let own: Vec<_> = lost.files.iter().filter_map(|file| restore::own_static_pod(&file.path)).collect();
    if !own.is_empty() {
        let message = format!(
            "static pods of your own are not brought, because they are made for one machine: {}. Put what the endpoint needs \
             into /etc/kubernetes/manifests of this one first; they are in the archive",
            own.join(", ")
        );
        session.reporter.report(Event::Warning { message });
    }
    still_alive(session, &lost, args.force).await?;
    if asks {
        output::ask(&report::question(&request, &lost, Timestamp::now()));
        if answers::answer() != Some(true) {
            return Err(answers::denied());
        }
    }
    let dry_run = args.dry_run || request.config.dry_run;
    execute(session, request, digest, args.on_failure.into(), dry_run).await
}

/// Goes on with an unfinished one.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    Session::require_root("op resume")?;
    let digest = operation.begun().map(|begun| begun.digest.to_string()).unwrap_or_default();
    go_on(session, operation, digest, OnFailure::Stop, vec![]).await
}

async fn go_on(
    session: &Session,
    operation: &Operation,
    digest: String,
    on_failure: OnFailure,
    identities: Vec<PathBuf>,
) -> Result<(), CommandError> {
    let mut request: ClusterRestore = operation::request(session, operation)?;
    // A stick may be mounted somewhere else by now.
    if !identities.is_empty() {
        request.source.identities = identities;
    }
    // Keys are not kept beside the journal.
    let lost = read(session, &request.source.file, &request.source.identities).await?;
    if lost.sha256 != request.source.sha256 {
        let message = format!("{} changed since the operation began", request.source.file.display());
        return Err(
            CommandError::failed(message).hint("put the file back, or take it back: `rkadm op rollback`")
        );
    }
    request.files = lost.files;
    execute(session, request, digest, on_failure, false).await
}

async fn execute(
    session: &Session,
    request: ClusterRestore,
    digest: String,
    on_failure: OnFailure,
    dry_run: bool,
) -> Result<(), CommandError> {
    let request = Arc::new(request);
    let workflow = restore::cluster_workflow(&request);
    let manner = Manner {
        dry_run,
        on_failure,
        key_algorithm: Some(request.config.key_algorithm()),
        digest: Some(digest),
        // Without the environment: proxies may have passwords.
        config: serde_json::to_value(&request.config).ok(),
        secrets: init::secrets(&request.config),
        ..Manner::default()
    };
    let host = session.host(API_TIMEOUT);
    if let Some(done) = operation::carry_out(session, &host, &workflow, request.as_ref(), &manner).await? {
        report::finished(session, &request, &done);
    }
    Ok(())
}

/// Reads all of the backup.
async fn read(session: &Session, file: &Path, identities: &[PathBuf]) -> Result<Lost, CommandError> {
    let (file, identities) = (file.to_owned(), identities.to_owned());
    // It has to have room for the data anyway.
    let parent = below(&session.root, "/var/lib");
    let parent = if rustix::process::geteuid().is_root() { parent } else { std::env::temp_dir() };
    // Here and not where it is used: what a signal interrupts must not leave it.
    let scratch = Scratch::make(&parent).map_err(|error| source::refused(&error))?;
    let dir = scratch.path().to_owned();
    source::stoppable(session, move || lost::read(&file, &Identities::read(&identities)?, &dir)).await
}

fn describe(file: &Path, identity: &IdentityArgs, lost: &Lost) -> Source {
    let (created_at, node) = lost.taken.clone().unzip();
    Source {
        file: file.to_owned(),
        plain: lost.plain,
        unhashed: lost.unhashed,
        identities: identity.absolute(),
        sha256: lost.sha256.clone(),
        bytes: lost.size,
        size: lost.size,
        created_at,
        node,
        revision: lost.revision,
        keys: lost.keys,
        objects: lost.objects.clone(),
        storage_version: lost.storage_version.clone(),
        fingerprints: lost.fingerprints.clone(),
        // Whether its content is the same is not in question: it comes from the backup, too.
        encryption: lost.encryption.clone().map(|path| Encryption { path, sha256: String::new() }),
    }
}

/// Two clusters with the same keys would take each other's nodes and tokens for their own.
async fn still_alive(session: &Session, lost: &Lost, force: bool) -> Result<(), CommandError> {
    let answers = lost.client_urls.iter().map(|url| async move {
        let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest.trim_end_matches('/'));
        let tried = tokio::time::timeout(ANSWER, tokio::net::TcpStream::connect(authority)).await;
        matches!(tried, Ok(Ok(_))).then_some(url.as_str())
    });
    let alive: Vec<_> = join_all(answers).await.into_iter().flatten().collect();
    if alive.is_empty() {
        return Ok(());
    }
    let message = format!("the cluster is not lost: etcd answers at {}", alive.join(", "));
    if force {
        session.reporter.report(Event::Warning { message });
        return Ok(());
    }
    Err(CommandError::new(ExitKind::Preflight, message)
        .detail("Nothing was changed.")
        .hint("with one member left: `rkadm restore etcd --from-survivor` there; with a majority, `rkadm join` replaces the others")
        .hint("where somebody else has that address now: --force"))
}

/// The journals of this machine.
fn journals(session: &Session) -> JournalDir {
    JournalDir::below(&session.root)
}
