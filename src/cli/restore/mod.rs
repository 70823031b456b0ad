//! `rkadm restore`.

mod came_back;
mod cluster;
mod confirm;
mod data;
mod fleet;
mod gate;
mod report;
mod rollback;
mod source;
mod together;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use rkadm_core::{
    backup::{place::Location, trial},
    engine::{
        Event, OnFailure, PhaseError, RunError,
        journal::JournalDir,
        operation::{Operation, Status},
        rollback::Stubborn,
    },
    fleet::Gate,
    text::sha256_hex,
};
use rkadm_phases::{
    restore::{self, NodeEtcd, Restore, Survey, WORKFLOW},
    static_pods,
};

use fleet::FleetArgs;
use gate::{FromStdin, Led};

use super::{
    API_TIMEOUT, Session,
    args::FailurePolicy,
    backup::IdentityArgs,
    exit::{CommandError, ExitKind},
    operation::{self, Failure, Manner},
};
pub use rollback::may_roll_back;
use together::TogetherArgs;

/// Where kubelets find containerd unless they are told otherwise.
const DEFAULT_SOCKET: &str = "unix:///var/run/containerd/containerd.sock";

/// By how much a revision that cannot be known may be ahead: some restores, each of which raises it.
const UNKNOWN: i64 = 20_000_000_000;

/// What can be restored.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Bring the data of this control plane's etcd back from a backup
    ///
    /// The backup is read completely, and restored and verified beside the data in use, before anything is stopped. The old
    /// data is kept: `rkadm op rollback` takes the restore back, also after it has finished. With several control planes:
    /// `--control-planes` restores all of them at the same time.
    ///
    /// `--from-survivor` needs no backup: where so many control planes are gone that etcd has no quorum, it makes a cluster of
    /// one member of what is left on this one. The others join it again. The old data is kept as it is.
    Etcd(EtcdArgs),
    /// Bring a cluster back whose machines are all gone, on this machine, which was never part of it
    ///
    /// Keys, settings and data come from the backup; certificates, kubeconfigs and manifests are made for this machine. It
    /// becomes the only control plane; others join it. Nothing is overwritten, and until it has finished, `rkadm op rollback`
    /// leaves the machine as it was.
    Cluster(Box<cluster::ClusterArgs>),
    /// Make a data directory of a backup, for an etcd that others start
    ///
    /// For an etcd that does not run as a static pod: one of an external cluster, or for a look at old data. What is made is read
    /// again and verified before it gets its name. Run it for each member with the same file, token and list of members; then start
    /// all of them. It needs no etcd, and touches nothing but the directory.
    Data(data::DataArgs),
    /// What this machine says before it is restored together with others; read and written by rkadm itself
    #[command(hide = true)]
    Survey,
}

/// What to restore, and how.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct EtcdArgs {
    /// An archive of `rkadm backup etcd`, a snapshot of `etcdctl snapshot save` whose name ends with .db, or `latest`
    #[arg(value_name = "FILE|latest", required_unless_present = "from_survivor")]
    file: Option<PathBuf>,
    /// Where etcd has lost its quorum for good: make a cluster of one member of what this machine's own member has left
    #[arg(long, conflicts_with_all = ["file", "dir", "no_bump"])]
    from_survivor: bool,
    /// Where `latest` is looked for: a directory or s3://BUCKET/PREFIX [default: /var/lib/rkadm/backups]
    #[arg(long, value_name = "DIR")]
    dir: Option<Location>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Go on although the keys are those of another cluster, or the members of etcd cannot be known
    #[arg(long)]
    force: bool,
    /// Keep the revision of the backup. Whoever watched objects misses changes without knowing it, until it is restarted
    #[arg(long)]
    no_bump: bool,
    #[command(flatten)]
    together: TogetherArgs,
    #[command(flatten)]
    fleet: FleetArgs,
    /// What to do when a step fails
    #[arg(long, value_enum, default_value_t)]
    on_failure: FailurePolicy,
}

impl EtcdArgs {
    /// The same command has the same.
    fn digest(&self) -> String {
        let file = self.file.as_deref().map_or_else(|| "--from-survivor".into(), source::as_named);
        let from = self.dir.as_ref().map(Location::to_string).unwrap_or_default();
        let together = self.together.digest();
        let text = format!("{}\n{from}\n{}\n{}\n{together}", file.display(), self.force, self.no_bump);
        sha256_hex(text.as_bytes())
    }
}

/// Runs it.
pub async fn run(session: &Session, command: &RestoreCommand) -> Result<(), CommandError> {
    match command {
        RestoreCommand::Etcd(args) if !args.fleet.control_planes.is_empty() => {
            fleet::run(session, args).await
        }
        RestoreCommand::Etcd(args) => run_etcd(session, args).await,
        RestoreCommand::Cluster(args) => cluster::run(session, args).await,
        RestoreCommand::Data(args) => data::run(session, args).await,
        RestoreCommand::Survey => fleet::survey(session).await,
    }
}

async fn run_etcd(session: &Session, args: &EtcdArgs) -> Result<(), CommandError> {
    if !args.dry_run {
        Session::require_root("restore etcd")?;
        // What was begun was confirmed, and goes on with the backup that it began with.
        if let Some(operation) = unfinished(session, WORKFLOW, &args.digest())? {
            let mut restore: Restore = operation::request(session, &operation)?;
            // The disk with the key may be mounted elsewhere by now.
            if !args.identity.absolute().is_empty() {
                restore.source.identities = args.identity.absolute();
            }
            return execute(
                session,
                restore,
                args.digest(),
                args.on_failure.into(),
                false,
                args.together.led,
            )
            .await;
        }
    }
    let asks = !args.dry_run && !args.yes;
    if asks {
        confirm::possible("restore etcd", "replaces the data of the cluster")?;
    }
    let host = session.host(API_TIMEOUT);
    let node = NodeEtcd::read(&host).await.map_err(|error| unusable(&error))?;
    // What was fetched for a dry run goes when this does.
    let file = match &args.file {
        Some(file) => {
            Some(source::find(session, file, args.dir.as_ref(), Some(&node.pki), args.dry_run).await?)
        }
        None => None,
    };
    let source = match &file {
        Some(file) => {
            let identity = args.identity.absolute();
            source::read(session, &file.path, &identity, &node.prefix).await?
        }
        None => source::left(&host, &node).await,
    };
    let mut restore = Restore {
        id: Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string(),
        source,
        node,
        force: args.force,
        bump: 0,
        cri_socket: static_pods::cri_socket(&host).await.unwrap_or_else(|| DEFAULT_SOCKET.into()),
        survivor: args.from_survivor,
        ..Restore::default()
    };
    args.together.fill(&mut restore)?;
    let survey = restore::survey(&host, &restore).await.map_err(|error| unusable(&error))?;
    let what = if args.from_survivor {
        "no cluster can be made of what is left here"
    } else {
        "this backup cannot be restored here"
    };
    refuse(&survey, what, args.force)?;
    if !args.no_bump && restore.others.is_empty() {
        // Where nobody knows what was seen, more than anybody can have.
        let seen = survey.revision.unwrap_or(restore.source.revision + UNKNOWN);
        restore.bump = trial::bump_over(restore.source.revision, seen);
    }
    for message in survey.told(args.force) {
        session.reporter.report(Event::Warning { message });
    }
    if asks {
        confirm::ask(&restore, &survey)?;
    }
    execute(session, restore, args.digest(), args.on_failure.into(), args.dry_run, args.together.led).await
}

pub use cluster::resume as resume_cluster;

/// Goes on with an unfinished restore.
pub async fn resume(session: &Session, operation: &Operation) -> Result<(), CommandError> {
    Session::require_root("op resume")?;
    let digest = operation.begun().map(|begun| begun.digest.to_string()).unwrap_or_default();
    execute(session, operation::request(session, operation)?, digest, OnFailure::Stop, false, false).await
}

/// The same command, cut off.
///
/// # Errors
/// Something else was cut off: what is on the machine now is not to be judged.
fn unfinished(session: &Session, workflow: &str, digest: &str) -> Result<Option<Operation>, CommandError> {
    let Some(operation) = JournalDir::below(&session.root).unfinished()? else { return Ok(None) };
    let same_command = operation.workflow() == workflow;
    let same = same_command && operation.begun().is_some_and(|begun| begun.digest == digest);
    if same && operation.status.is_resumable() {
        return Ok(Some(operation));
    }
    let reason = match (operation.status, same_command, same) {
        (Status::Stuck, ..) => "its rollback failed",
        (Status::RollingBack, ..) => "its rollback was cut off",
        (_, false, _) => "this is another command",
        _ => "this backup is another one",
    };
    let error = RunError::Unfinished {
        id: operation.id.clone(),
        workflow: operation.workflow().to_owned(),
        status: operation.status,
        reason: reason.into(),
        config: Box::default(),
    };
    Err(error.into())
}

fn refuse(survey: &Survey, what: &str, force: bool) -> Result<(), CommandError> {
    let findings = survey.against(force);
    if findings.is_empty() {
        return Ok(());
    }
    let error = CommandError::new(ExitKind::Preflight, what);
    Err(CommandError { findings, ..error }.detail("Nothing was changed."))
}

fn unusable(error: &PhaseError) -> CommandError {
    let mut answer = CommandError::failed(error).detail("Nothing was changed.");
    answer.hints = error.hints();
    answer
}

async fn execute(
    session: &Session,
    restore: Restore,
    digest: String,
    on_failure: OnFailure,
    dry_run: bool,
    led: bool,
) -> Result<(), CommandError> {
    let restore = Arc::new(restore);
    let led = led.then(|| Arc::new(Led::listen(&session.cancel)));
    let gate: Arc<dyn Gate> = match &led {
        Some(led) => Arc::clone(led) as _,
        None => Arc::new(FromStdin),
    };
    let workflow = restore::workflow_together(&restore, &gate);
    let manner = Manner { dry_run, on_failure, digest: Some(digest), ..Manner::default() };
    // What cannot be asked after the restore is told, not waited for.
    let host = session.host(std::time::Duration::from_secs(20));
    let done = operation::carry_out(session, &host, &workflow, restore.as_ref(), &manner).await;
    let done = match (done, led.and_then(|led| led.aborted())) {
        (Err(Failure::Run(RunError::Interrupted { operation, .. })), Some(why)) => {
            operation::take_back(session, &host, &operation, Stubborn::Stop).await?;
            return Err(CommandError::failed(why).detail("Rolled back: this machine is as it was before."));
        }
        (done, _) => done?,
    };
    if let Some(done) = done {
        report::finished(session, &restore, &done);
    }
    Ok(())
}
