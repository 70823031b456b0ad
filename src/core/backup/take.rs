//! Makes a backup: the snapshot comes from the member, is verified and compared with it, and only then becomes an archive.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock, statvfs};

use super::{
    BackupError, Manifest,
    collect::{Contents, collect, fingerprints, pki_dir, read_files},
    crypt::Recipients,
    deflate::Pressed,
    download::{Came, download},
    format::Compression,
    in_place::Room,
    manifest::{EtcdCluster, PREFIX, RESOURCES, SCHEMA, Snapshot, Verified},
    member::choose,
    place::Place,
    publish::Archive,
    resources,
    source::{StaticPods, below},
};
use crate::{
    engine::{Cancel, store::make_private_dir},
    etcd::{
        EtcdAccess, EtcdClient, EtcdError,
        snapshot::{self, Part, VerifyOptions},
        types::HashKv,
    },
    health::Tls,
    kube::storage,
    manifest::pod,
};

/// Ends the names of what is incomplete.
pub(super) const PARTIAL: &str = ".partial";
/// Room for everything but the snapshot.
const REST: u64 = 64 << 20;
/// What writes to a place that does not answer is not waited for any longer than this, once a signal asked to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What to back up, and where to.
#[derive(Debug)]
pub struct Request {
    /// File system root of the machine.
    pub root: PathBuf,
    /// Directory for what is not complete, below no root. One backup at a time works there.
    pub scratch: PathBuf,
    /// How etcd is reached.
    pub access: EtcdAccess,
    /// How the archive is compressed.
    pub compression: Compression,
    /// Who can read it; none: it is not encrypted.
    pub recipients: Recipients,
    /// Name of the machine.
    pub node: String,
    /// The kubeconfig by which all API objects are asked for, where they are to come too.
    pub resources: Option<PathBuf>,
    /// Ends it, with nothing left.
    pub cancel: Cancel,
}

/// A backup that was made.
#[derive(Debug)]
pub struct Made {
    /// The archive.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it says about itself.
    pub manifest: Manifest,
    /// To how many keys it is encrypted; 0: it is not.
    pub recipients: usize,
    /// What was left out, or could not be checked.
    pub warnings: Vec<String>,
}

impl Made {
    /// API objects that are in it as YAML.
    pub fn resources(&self) -> u64 {
        self.manifest.resources.iter().map(|file| file.objects).sum()
    }
}

/// Where the archive goes.
pub enum To {
    /// It is kept there.
    Place(Arc<dyn Place>),
    /// Somebody reads it.
    Stream(Box<dyn Write + Send>),
}

/// Makes a backup. What an earlier one left half done is removed first.
///
/// # Errors
/// See [`BackupError`]; no file is left then.
pub async fn take(request: &Request, to: To) -> Result<Made, BackupError> {
    let dir = &request.scratch;
    let _lock = lock(dir)?;
    discard_partial(dir)?;
    let result = take_locked(request, to).await;
    // Of a good one, too, the snapshot is left. The error that matters is the first one.
    let discarded = discard_partial(dir);
    result.and_then(|made| discarded.map(|()| made))
}

async fn take_locked(request: &Request, to: To) -> Result<Made, BackupError> {
    let parts = tokio::select! {
        parts = gather(request, matches!(to, To::Place(_))) => parts?,
        signal = request.cancel.cancelled() => return Err(BackupError::Stopped(signal)),
    };
    pack(request, parts, to).await
}

/// What goes into the archive, proven.
struct Parts {
    manifest: Manifest,
    contents: Contents,
    /// The file with the snapshot.
    snapshot: PathBuf,
    /// It lies where it stays in the archive.
    in_place: Option<Room>,
    /// It was compressed while it came.
    pressed: Option<Pressed>,
    /// Where the API objects are.
    resources: PathBuf,
    warnings: Vec<String>,
}

/// `read_back`: the archive is written to the disk, and read again.
async fn gather(request: &Request, read_back: bool) -> Result<Parts, BackupError> {
    let pods = StaticPods::read(&request.root)?;
    let client = client(&request.root, &request.access)?;
    let source = choose(&client, &request.access).await?;
    let mut collected = collect(&request.root, &pods)?;
    let (files, contents) = read_files(&request.root, &mut collected)?;
    let created_at = Timestamp::now();
    let mut in_place = None;
    if read_back
        && request.compression == Compression::None
        && request.recipients.is_empty()
        && request.resources.is_none()
    {
        in_place = Room::new(&files, &contents, created_at).ok();
    }
    // The snapshot, and the archive before it goes to its place.
    let copies = if read_back && in_place.is_none() { 2 } else { 1 };
    let needed = u64::try_from(source.status.db_size).unwrap_or(0) * copies + REST;
    room(&request.scratch, needed)?;
    let partial = request.scratch.join(format!(".{PREFIX}snapshot{PARTIAL}"));
    let at = in_place.map_or(0, |room| room.head);
    // Both take their time, and wait for different things. What nobody reads back is rather compared while it is packed.
    let press = request.scratch.join(format!(".{PREFIX}deflated{PARTIAL}"));
    let press = Some(press.as_path()).filter(|_| read_back && request.compression == Compression::Gzip);
    let Came { sha256, pressed } = download(&client, &source.endpoint, &partial, at, press).await?;
    let part = Part { path: &partial, at, len: None };
    let verifying = {
        let partial = partial.clone();
        let options = VerifyOptions { hash_is_known: true, ..VerifyOptions::default() };
        blocking(move || Ok(snapshot::verify(Part { path: &partial, at, len: None }, options)?))
    };
    // The member takes as long for its hash as we for all of it.
    let asking = async {
        let newest = snapshot::newest(part).ok()?;
        Some((newest, client.hash_kv(&source.endpoint, newest).await))
    };
    let (verified, early) = tokio::join!(verifying, asking);
    let verified = verified?;
    let report = &verified.report;
    let live = match early {
        Some((revision, live)) if revision == report.revision => live,
        _ => client.hash_kv(&source.endpoint, report.revision).await,
    };
    let (live_hash, why) = compare(live, report)?;
    let mut warnings = collected.warnings;
    warnings
        .extend(why.iter().map(|why| format!("the snapshot was not compared with the live member: {why}")));
    warnings.extend(source.warnings);
    let prefix = pod::etcd_prefix(pods.component("kube-apiserver"));
    let objects = report.directories.as_ref().map(|directories| storage::objects(directories, &prefix));
    let resources_dir = request.scratch.join(format!(".{PREFIX}{RESOURCES}{PARTIAL}"));
    let mut resources = vec![];
    if let Some(kubeconfig) = &request.resources {
        let found = resources::collect(&request.root, kubeconfig, report.revision, &resources_dir).await;
        warnings.extend(found.warnings);
        resources = found.files;
    }
    let manifest = Manifest {
        schema: SCHEMA,
        created_at,
        rkadm: env!("CARGO_PKG_VERSION").into(),
        node: request.node.clone(),
        kubernetes_version: pods.version("kube-apiserver"),
        etcd: EtcdCluster {
            cluster_id: format!("{:x}", source.status.cluster_id),
            member_id: format!("{:x}", source.status.member_id),
            version: source.status.version,
            members: source.members,
        },
        snapshot: Snapshot::of(report, sha256),
        fingerprints: fingerprints(&files, &contents, &pki_dir(&pods)),
        files,
        objects,
        resources,
        encryption: pods
            .component("kube-apiserver")
            .and_then(pod::encryption_config)
            .map(|path| path.display().to_string()),
        verified: Verified { snapshot: true, live_hash, live_hash_why: why, read_back },
    };
    Ok(Parts { manifest, contents, snapshot: partial, in_place, pressed, resources: resources_dir, warnings })
}

/// Makes the archive.
async fn pack(request: &Request, parts: Parts, to: To) -> Result<Made, BackupError> {
    let Parts { manifest, contents, snapshot, in_place, pressed, resources, warnings } = parts;
    let (cancel, scratch) = (request.cancel.clone(), request.scratch.clone());
    let (compression, recipients) = (request.compression, request.recipients.clone());
    let mut packing = std::pin::pin!(blocking(move || {
        if pressed.is_some() {
            // Of its three copies, no more than two are there at a time.
            fs::remove_file(&snapshot).map_err(BackupError::io("remove", &snapshot))?;
        }
        let archive = Archive {
            manifest: &manifest,
            contents: &contents,
            resources: &resources,
            snapshot: Part {
                path: &snapshot,
                at: in_place.map_or(0, |room| room.head),
                len: Some(manifest.snapshot.size),
            },
            pressed: pressed.as_ref(),
            compression,
            recipients: &recipients,
            cancel: &cancel,
        };
        let (path, bytes) = match to {
            To::Place(place) => {
                let bytes = match in_place {
                    Some(room) => archive.keep_in_place(&scratch, &*place, &room)?,
                    None => archive.keep(&scratch, &*place)?,
                };
                (place.shown(&archive.name()), bytes)
            }
            To::Stream(out) => (PathBuf::from("-"), archive.stream(out)?),
        };
        Ok(Made { path, bytes, manifest, recipients: recipients.len(), warnings })
    }));
    tokio::select! {
        made = &mut packing => made,
        signal = request.cancel.cancelled() => {
            // It looks for the signal itself, and takes back what a bucket has of it. One that had its name already is made.
            let ended = tokio::time::timeout(GRACE, packing).await;
            ended.unwrap_or(Err(BackupError::Stopped(signal)))
        }
    }
}

/// Two at once would each remove the other's unfinished file.
fn lock(dir: &Path) -> Result<File, BackupError> {
    make_private_dir(dir).map_err(BackupError::io("make the directory", dir))?;
    let path = dir.join(format!(".{PREFIX}lock"));
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(&path).map_err(BackupError::io("write", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BackupError::Busy(dir.to_owned())),
        Err(error) => Err(BackupError::io("lock", path)(error.into())),
    }
}

fn discard_partial(dir: &Path) -> Result<(), BackupError> {
    let mut result = Ok(());
    for entry in fs::read_dir(dir).map_err(BackupError::io("read", dir))? {
        let path = entry.map_err(BackupError::io("read", dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&format!(".{PREFIX}")) && name.ends_with(PARTIAL) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            // Who wrote it may have removed it.
            let removed = removed.or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            });
            result = result.and(removed.map_err(BackupError::io("remove", &path)));
        }
    }
    result
}

/// A client with the files that the access names, on the machine at `root`.
pub fn client(root: &Path, access: &EtcdAccess) -> Result<EtcdClient, BackupError> {
    let read = |path: &Path| {
        if path.as_os_str().is_empty() {
            return Ok(vec![]);
        }
        fs::read(below(root, path)).map_err(BackupError::io("read", path))
    };
    let tls = Tls::of_etcd(read(&access.ca)?, read(&access.certificate)?, read(&access.key)?);
    Ok(EtcdClient::new(&access.endpoints, &tls)?)
}

/// Whether a file system has room for so many bytes, and inodes for some files.
///
/// # Errors
/// It has not.
pub fn room(dir: &Path, needed: u64) -> Result<(), BackupError> {
    let stat = statvfs(dir).map_err(|error| BackupError::io("look at", dir)(error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed {
        return Err(BackupError::Room { path: dir.to_owned(), needed, free });
    }
    if stat.f_files > 0 && stat.f_favail < 8 {
        let why = io::Error::new(io::ErrorKind::StorageFull, "no inodes are left");
        return Err(BackupError::io("write to", dir)(why));
    }
    Ok(())
}

/// Whether the live member has the same hash at the snapshot's revision; why that could not be told.
fn compare(
    live: Result<HashKv, EtcdError>,
    report: &snapshot::Report,
) -> Result<(bool, Option<String>), BackupError> {
    let live = match live {
        Ok(live) => live,
        Err(error) => return Ok((false, Some(error.to_string()))),
    };
    if live.compact_revision != report.hash_kv.compact_revision {
        return Ok((false, Some("etcd compacted its history meanwhile".into())));
    }
    if live.hash != report.hash_kv.hash {
        let (ours, theirs, revision) = (report.hash_kv.hash, live.hash, report.revision);
        return Err(BackupError::HashDiffers { ours, theirs, revision });
    }
    Ok((true, None))
}

pub(super) fn create(path: &Path) -> Result<File, BackupError> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    options.open(path).map_err(BackupError::io("write", path))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What reads and writes much must not hold up what waits for the network.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BackupError::Transfer(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_differs_from_its_member_is_no_backup_and_one_that_cannot_be_compared_is() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("etcd/snapshot/fixtures/3.6.db");
        let report = snapshot::verify(&file, VerifyOptions::default()).unwrap().report;
        let (hash, compact_revision) = (report.hash_kv.hash, report.hash_kv.compact_revision);
        let live = |hash, compact_revision| HashKv { hash, compact_revision, hash_revision: report.revision };
        assert_eq!(compare(Ok(live(hash, compact_revision)), &report).unwrap(), (true, None));
        let error = compare(Ok(live(hash ^ 1, compact_revision)), &report).unwrap_err();
        let (theirs, revision) = (hash ^ 1, report.revision);
        assert_eq!(
            error.to_string(),
            format!(
                "the snapshot has the hash {hash:08x} at revision {revision}, the member has {theirs:08x}: one of them is damaged"
            )
        );
        assert!(error.hints()[0].contains("etcdctl endpoint hashkv --cluster"), "{:?}", error.hints());
        // Of another history, the hash says nothing.
        let (same, why) = compare(Ok(live(hash ^ 1, compact_revision + 1)), &report).unwrap();
        assert!(!same && why.unwrap().contains("compacted its history meanwhile"));
        let (same, why) = compare(Err(EtcdError::Endpoint { endpoint: "x".into() }), &report).unwrap();
        assert!(!same && why.is_some());
    }
}
