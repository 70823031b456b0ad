//! `rkadm restore data`: a data directory for an etcd that others start, say a service of its own on a machine without Kubernetes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;
use rkadm_core::{
    backup::{
        BackupError,
        place::Location,
        take,
        trial::{self, Peer, Trial},
    },
    etcd::snapshot::{DEFAULT_BUMP, NewMember, check_members},
    kube::storage,
};
use rkadm_phases::restore::Source;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;

use super::{source, together};
use crate::{
    cli::{
        Session,
        backup::IdentityArgs,
        exit::{CommandError, ExitKind},
    },
    output::text,
};

/// What of, where, and for which member.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// An archive of `rkadm backup etcd`, a snapshot of `etcdctl snapshot save` whose name ends with .db, or `latest`
    #[arg(value_name = "FILE|latest")]
    file: PathBuf,
    /// Where `latest` is looked for: a directory or s3://BUCKET/PREFIX [default: /var/lib/rkadm/backups]
    #[arg(long, value_name = "DIR")]
    dir: Option<Location>,
    #[command(flatten)]
    identity: IdentityArgs,
    /// The data directory to make. There must be nothing yet
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Name of the member that it is for
    #[arg(long, value_name = "NAME")]
    name: String,
    /// All members of the new cluster, this one among them: `NAME=PEER-URL,…`, the same for each
    #[arg(long, value_name = "NAME=URL,…")]
    initial_cluster: String,
    /// Makes the ids of the new cluster: the same for each member, and one that was never used before [default, for one member: made
    /// of the time]
    #[arg(long, value_name = "TEXT")]
    cluster_token: Option<String>,
    /// The revision that the new cluster begins with, the same for each member and above all that was ever served [default: a thousand
    /// million above that of the backup]
    #[arg(long, value_name = "REVISION", conflicts_with = "no_bump")]
    raise_to: Option<i64>,
    /// Keep the revision of the backup. Whoever watched keys misses changes without knowing it, until it is restarted
    #[arg(long)]
    no_bump: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    file: String,
    data_dir: String,
    name: String,
    members: usize,
    cluster_token: String,
    backup_revision: i64,
    revision: i64,
    keys: u64,
}

/// Runs it.
pub async fn run(session: &Session, args: &DataArgs) -> Result<(), CommandError> {
    let usage = |message: String| CommandError::new(ExitKind::Usage, message).detail("Nothing was changed.");
    let peers = together::parse(&args.initial_cluster).map_err(usage)?;
    let member = |peer: &Peer| NewMember { name: peer.name.clone(), peer_urls: peer.peer_urls.clone() };
    let members: Vec<_> = peers.iter().map(member).collect();
    check_members(&members, &args.name).map_err(|error| usage(format!("--initial-cluster: {error}")))?;
    let token = match &args.cluster_token {
        Some(token) => token.clone(),
        None if members.len() == 1 => format!("rkadm-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ")),
        None => {
            let error = usage("several members need the same --cluster-token".into());
            return Err(error
                .hint("any text that no cluster of these machines had before: --cluster-token restored-1"));
        }
    };
    let target = std::path::absolute(&args.data_dir).map_err(CommandError::failed)?;
    let Some(parent) = target.parent().filter(|_| !target.exists()) else {
        let message = format!("{} is there already", target.display());
        return Err(usage(message).hint("stop etcd and move its data away, or name another directory"));
    };
    let file = source::find(session, &args.file, args.dir.as_ref(), None, true).await?;
    let source = source::read(session, &file.path, &args.identity.absolute(), storage::PREFIX).await?;
    let bump = bump(args, &source).map_err(usage)?;
    // An archive's snapshot is unpacked first.
    let copies = if source.plain { 1 } else { 2 };
    take::room(parent, source.size * copies + (64 << 20)).map_err(|error| refused(&error))?;
    let (own, others): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| peer.name == args.name);
    let trial = Trial {
        file: source.file.clone(),
        plain: source.plain,
        identities: source.identities.clone(),
        sha256: source.sha256.clone(),
        target: partial(&target),
        like: parent.to_owned(),
        name: args.name.clone(),
        peer_urls: own.into_iter().flat_map(|peer| peer.peer_urls).collect(),
        revision: source.revision,
        bump,
        others,
        token: token.clone(),
        ..Trial::default()
    };
    make(session, &trial, &target).await?;
    let made = Made {
        file: file.shown.display().to_string(),
        data_dir: target.display().to_string(),
        name: args.name.clone(),
        members: members.len(),
        cluster_token: token,
        backup_revision: source.revision,
        revision: trial.new_revision(),
        keys: source.keys,
    };
    session.printer.result("DataRestore", &made, || human(&made, &args.initial_cluster, &trial.peer_urls));
    Ok(())
}

fn bump(args: &DataArgs, source: &Source) -> Result<u64, String> {
    match args.raise_to {
        None if args.no_bump => Ok(0),
        None => Ok(DEFAULT_BUMP),
        Some(to) if to > source.revision && to < i64::MAX / 4 => Ok(to.abs_diff(source.revision)),
        Some(to) => Err(format!("--raise-to {to}: the backup has revision {}", source.revision)),
    }
}

/// Beside it, under a name that no etcd is told.
fn partial(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.rkadm-partial"))
}

/// Whole and verified, or not at all.
async fn make(session: &Session, trial: &Trial, target: &Path) -> Result<(), CommandError> {
    let (work, to) = (trial.clone(), target.to_owned());
    let work = tokio::task::spawn_blocking(move || {
        trial::restore(Path::new("/"), &work)?;
        let renamed = renameat_with(CWD, &work.target, CWD, &to, RenameFlags::NOREPLACE);
        renamed.map_err(|error| BackupError::io("make", &to)(io::Error::from(error)))
    });
    let done = match session.unless_stopped(work).await {
        Ok(done) => done.map_err(CommandError::failed)?.map_err(|error| refused(&error)),
        Err(stopped) => Err(stopped.detail("Nothing was changed.")),
    };
    if done.is_err() {
        // What cannot be removed now is removed by the next try.
        let _ = fs::remove_dir_all(&trial.target);
        let _ = fs::remove_file(trial.extracted());
    }
    done
}

/// The disk that may be full is that of the new data, not that of backups.
fn refused(error: &BackupError) -> CommandError {
    let mut answer = source::refused(error);
    if error.is_disk_full() {
        answer.hints = vec!["free some space there, or name another directory with --data-dir".into()];
    }
    answer
}

fn human(made: &Made, cluster: &str, peer_urls: &[String]) -> String {
    format!(
        "{}: data of member {} of {}, verified: revision {} ({} in the backup), {} keys\n\
         Give it to the user that etcd runs as, and start etcd on it, each member with its own:\n  \
         etcd --data-dir {} --name {} --initial-advertise-peer-urls {} --initial-cluster {cluster} --initial-cluster-token {}\n",
        made.data_dir,
        made.name,
        text::count(made.members, "member"),
        made.revision,
        made.backup_revision,
        made.keys,
        made.data_dir,
        made.name,
        peer_urls.join(","),
        made.cluster_token,
    )
}
