//! `rkadm backup etcd`.

use std::{path::PathBuf, time::Instant};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rkadm_core::{
    backup::{
        BackupError,
        format::Compression,
        place::Location,
        source::{StaticPods, access},
        take::{self, Made, To},
    },
    engine::Event,
    etcd::EtcdAccess,
    host::Probe,
};
use serde::Serialize;

use super::{
    DEFAULT_DIR, DirArg, KeepArgs, Shown, directory, failed, keys::EncryptArgs, metrics, place::expire, size,
};
use crate::{
    cli::{
        API_TIMEOUT, Session,
        args::absolute,
        cluster::ADMIN_CONF,
        exit::{CommandError, ExitKind},
    },
    output::{stdout_is_terminal, take_stdout, text},
};

/// What to back up, where to, and what to keep.
#[derive(Debug, Args)]
pub struct EtcdArgs {
    #[command(flatten)]
    pub dir: DirArg,
    /// Where snapshot and archive lie until they are in s3:// or, with `--dir -`, on standard output [default: /var/lib/rkadm/backups]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// How the archive is compressed
    #[arg(long, value_enum, default_value_t)]
    pub compression: Compress,
    #[command(flatten)]
    pub resources: ResourcesArgs,
    #[command(flatten)]
    pub encrypt: EncryptArgs,
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Write metrics for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Client URLs of etcd [default: this machine's member, else those of its API server]
    #[arg(long, value_name = "URL,…", value_delimiter = ',', requires_all = ["etcd_cacert", "etcd_cert", "etcd_key"])]
    pub etcd_endpoints: Vec<String>,
    /// CA file of etcd
    #[arg(long, value_name = "FILE", requires = "etcd_endpoints")]
    pub etcd_cacert: Option<PathBuf>,
    /// Certificate file of a client of etcd
    #[arg(long, value_name = "FILE", requires = "etcd_endpoints")]
    pub etcd_cert: Option<PathBuf>,
    /// Its key file
    #[arg(long, value_name = "FILE", requires = "etcd_endpoints")]
    pub etcd_key: Option<PathBuf>,
}

/// What people can read of it without etcd.
#[derive(Debug, Args)]
pub struct ResourcesArgs {
    /// Put all API objects into the archive as YAML too, a file for each resource and namespace, as they were at the revision of the
    /// snapshot. Secrets are in it in the clear, also where etcd has them encrypted
    #[arg(long)]
    resources: bool,
    /// By which kubeconfig they are asked for [default: /etc/kubernetes/admin.conf]
    #[arg(long, value_name = "FILE", requires = "resources")]
    kubeconfig: Option<PathBuf>,
}

impl ResourcesArgs {
    fn kubeconfig(&self) -> Option<PathBuf> {
        let given = self.kubeconfig.as_deref().map(absolute);
        self.resources.then(|| given.unwrap_or_else(|| ADMIN_CONF.into()))
    }

    /// Words of a command line with the same.
    pub fn words(&self) -> Vec<String> {
        let given =
            self.kubeconfig.as_deref().map(|path| format!("--kubeconfig={}", absolute(path).display()));
        self.resources.then(|| "--resources".to_owned()).into_iter().chain(given).collect()
    }
}

/// Of the archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Compress {
    /// `.tar.gz`
    #[default]
    Gzip,
    /// `.tar.zst`: smaller, and made in less time
    Zstd,
    /// `.tar`
    None,
}

impl Compress {
    fn of(self) -> Compression {
        match self {
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
            Self::None => Compression::None,
        }
    }
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    #[serde(flatten)]
    backup: Shown<'a>,
    elapsed_ms: u64,
    /// API objects that are in it as YAML.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Runs it.
pub async fn run(session: &Session, args: &EtcdArgs) -> Result<(), CommandError> {
    Session::require_root("backup etcd")?;
    let began = Instant::now();
    let made = match destination(session, args) {
        Ok(to) => make(session, args, to).await.map_err(failed),
        Err(error) => Err(error),
    };
    let elapsed = began.elapsed();
    // Another one at work writes its own metrics.
    let busy = made.as_ref().is_err_and(|error| error.kind == ExitKind::Locked);
    if let (Some(path), false) = (&args.prometheus, busy) {
        let host = session.host(API_TIMEOUT);
        let written = metrics::write(&host, path, made.as_ref().ok(), elapsed, Timestamp::now()).await;
        metrics::or_warn(session, written);
    }
    let made = made?;
    for warning in &made.warnings {
        session.reporter.report(Event::Warning { message: warning.clone() });
    }
    let (removed, unremoved) = match prune(session, args).await {
        Ok(removed) => (removed, None),
        Err(error) => (vec![], Some(error)),
    };
    let report = Report {
        backup: Shown::of(&made.path, made.bytes, made.recipients > 0, &made.manifest),
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        resources: args
            .resources
            .kubeconfig()
            .map(|_| usize::try_from(made.resources()).unwrap_or(usize::MAX)),
        removed,
        warnings: made.warnings.clone(),
    };
    session.printer.result("Backup", &report, || human(&made, &report));
    let Some(mut error) = unremoved else { return Ok(()) };
    error.has_result = true;
    error
        .details
        .push("The new backup is there and good; older ones that no rule keeps are still there.".into());
    error
        .hints
        .push("remove them once that is mended: rkadm backup prune, with the same --keep-… and --dir".into());
    Err(error)
}

fn human(made: &Made, report: &Report<'_>) -> String {
    let manifest = &made.manifest;
    let compared = if manifest.verified.live_hash { " and has the live member's hash" } else { "" };
    let encrypted = match made.recipients {
        0 => String::new(),
        count => format!(", encrypted to {}", text::count(count, "key")),
    };
    let removed = match report.removed.len() {
        0 => String::new(),
        count => format!("; removed {}", text::count(count, "older backup")),
    };
    let resources = match report.resources {
        Some(count) => format!(", {} as YAML", text::count(count, "object")),
        None => String::new(),
    };
    format!(
        "{}: {}, revision {}, {} keys, verified{compared}{encrypted}{resources}, {}{removed}\n",
        made.path.display(),
        size(made.bytes),
        manifest.snapshot.revision,
        manifest.snapshot.keys,
        text::duration(report.elapsed_ms)
    )
}

/// Where the archive goes. What is wrong with that is said before anything is done.
fn destination(session: &Session, args: &EtcdArgs) -> Result<To, CommandError> {
    if args.dir.dir != Location::Stdout {
        return Ok(To::Place(args.dir.place(session)?));
    }
    let refused = |why: &str| CommandError::new(ExitKind::Usage, why);
    if !args.keep.policy().is_empty() {
        return Err(refused("--keep-… has nothing to keep where the archive goes to standard output"));
    }
    if stdout_is_terminal() {
        let error = refused("the archive would go to this terminal");
        return Err(error.hint("send it on: rkadm backup etcd --dir - | ssh HOST 'cat >FILE'"));
    }
    let out = take_stdout()
        .map_err(|error| CommandError::failed(format!("cannot use standard output: {error}")))?;
    Ok(To::Stream(Box::new(out)))
}

/// Where what is not complete lies.
fn scratch(session: &Session, args: &EtcdArgs) -> PathBuf {
    match (&args.scratch, &args.dir.dir) {
        // It becomes the archive by a rename.
        (_, Location::Directory(dir)) | (Some(dir), _) => directory(session, dir),
        (None, _) => directory(session, DEFAULT_DIR.as_ref()),
    }
}

async fn make(session: &Session, args: &EtcdArgs, to: To) -> Result<Made, BackupError> {
    // What was typed, before anything is asked for.
    let recipients = args.encrypt.recipients()?;
    let request = take::Request {
        root: session.root.clone(),
        scratch: scratch(session, args),
        access: source(session, args)?,
        compression: args.compression.of(),
        recipients,
        node: session.host(API_TIMEOUT).hostname().await,
        resources: args.resources.kubeconfig(),
        cancel: session.cancel.clone(),
    };
    take::take(&request, to).await
}

fn source(session: &Session, args: &EtcdArgs) -> Result<EtcdAccess, BackupError> {
    if let (Some(ca), Some(certificate), Some(key)) = (&args.etcd_cacert, &args.etcd_cert, &args.etcd_key) {
        let (ca, certificate, key) = (absolute(ca), absolute(certificate), absolute(key));
        return Ok(EtcdAccess { endpoints: args.etcd_endpoints.clone(), ca, certificate, key });
    }
    access(&StaticPods::read(&session.root)?)
}

/// Only after a backup that went well: a failure never costs an older one.
async fn prune(session: &Session, args: &EtcdArgs) -> Result<Vec<String>, CommandError> {
    let policy = args.keep.policy();
    if policy.is_empty() {
        return Ok(vec![]);
    }
    Ok(expire(&args.dir.place(session)?, &policy, false).await?.1)
}
