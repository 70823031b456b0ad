//! Reads archives that nobody can trust: names, kinds, sizes and sums have to be what the manifest says, and nothing else may
//! be in them.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tar::{Archive, EntryType};

use super::{
    BackupError, Manifest, beside,
    crypt::{self, Identities},
    format,
    layout::{Blocks, Layout},
    manifest::{FILES, MANIFEST, MANIFEST_SUM, RESOURCES, SCHEMA, SNAPSHOT, sum_of},
    place::open_file,
    stream::{Hasher, Stream},
    take::room,
};

/// More is no manifest.
const MOST_MANIFEST: u64 = 16 << 20;
/// More is no path.
const MOST_NAME: usize = 4096;
/// More is no configuration of a control plane.
const MOST_FILE: u64 = 64 << 20;
/// All of them together: they are kept in memory.
const MOST_OF_ALL: u64 = 512 << 20;

/// Where the contents of an archive go.
#[derive(Debug)]
pub struct Targets {
    /// The snapshot, which must not exist yet.
    pub snapshot: PathBuf,
    /// Contents of files, by their path on the machine; filled.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// An archive in which everything is as its manifest says.
#[derive(Debug)]
pub struct Checked {
    /// What it says.
    pub manifest: Manifest,
    /// SHA-256 of the archive itself.
    pub sha256: String,
    /// What is not as it was written where nothing is kept. It can be restored all the same.
    pub odd: Vec<String>,
}

/// Whether every byte is as it was written, as far as that can be known without a sum of the whole.
///
/// # Errors
/// It is not: what was found odd.
pub fn is_spotless(path: &Path, odd: &[String]) -> Result<(), BackupError> {
    if odd.is_empty() {
        return Ok(());
    }
    let why = format!("{}. What it holds is whole, and can be restored", odd.join(", "));
    Err(BackupError::Damaged { path: path.to_owned(), why })
}

/// Reads the manifest alone; `path` is for messages.
///
/// # Errors
/// It is no backup, or one of a newer rkadm.
pub fn manifest(
    path: &Path,
    from: impl Read + 'static,
    identities: &Identities,
) -> Result<Manifest, BackupError> {
    let stream = Stream::open(path, from, identities, &Layout::default(), Hasher::here())?;
    let mut archive = Archive::new(stream.reader);
    let mut entries = archive.entries().map_err(|error| not_a_backup(path, &error))?.raw(true);
    let entry = entries.next().ok_or_else(|| not_a_backup(path, &"it is empty"))?;
    let mut entry = entry.map_err(|error| not_a_backup(path, &error))?;
    let (manifest, sum) = parse(path, &mut entry)?;
    // Whether a backup may go depends on it.
    if let Some(Ok(mut entry)) = entries.next()
        && *entry.path_bytes() == *MANIFEST_SUM.as_bytes()
    {
        compare_manifest(path, &mut entry, &sum)?;
    }
    Ok(manifest)
}

/// Whether a file is encrypted.
///
/// # Errors
/// It cannot be read.
pub fn is_sealed(path: &Path) -> Result<bool, BackupError> {
    let file = File::open(path).map_err(BackupError::io("read", path))?;
    let (head, _) = format::peek(file, crypt::MAGIC.len() as u64).map_err(BackupError::io("read", path))?;
    Ok(head == crypt::MAGIC)
}

/// Writes what an encrypted file holds, and nothing where it is not encrypted for these keys. Blocks.
///
/// # Errors
/// It cannot be read, opened or written.
pub fn unseal(path: &Path, identities: &Identities, to: &mut dyn Write) -> Result<(), BackupError> {
    let file = File::open(path).map_err(BackupError::io("read", path))?;
    let mut inside = crypt::open(path, file, identities)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = inside.read(&mut piece).map_err(BackupError::io("read", path))?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&piece[..length])
            .map_err(|error| BackupError::Transfer(format!("cannot hand it on: {error}")))?;
    }
}

/// Reads all of it, compares everything with the manifest, and the whole with the sum beside it, where there is one. Into
/// `targets`, what is in it.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check(
    path: &Path,
    identities: &Identities,
    mut targets: Option<&mut Targets>,
) -> Result<Checked, BackupError> {
    let damaged = |why: String| BackupError::Damaged { path: path.to_owned(), why };
    let layout = Layout::default();
    let stream = Stream::open(path, open_file(path)?, identities, &layout, Hasher::start())?;
    let Stream { reader, sum } = stream;
    let mut archive = Archive::new(Blocks::new(reader, &layout));
    let manifest;
    {
        // Raw: a reader that follows extensions by itself takes as much memory for a name as the archive wants.
        let mut entries = archive.entries().map_err(|error| not_a_backup(path, &error))?.raw(true);
        let first = entries.next().ok_or_else(|| not_a_backup(path, &"it is empty"))?;
        let mut first = first.map_err(|error| not_a_backup(path, &error))?;
        let own_sum;
        (manifest, own_sum) = parse(path, &mut first)?;
        layout.entry(first.header(), first.raw_file_position(), first.size());
        let mut expected = expected(path, &manifest)?;
        if let Some(targets) = &targets {
            room_for(&manifest, &targets.snapshot)?;
        }
        let mut long = None;
        // Behind the manifest, and nowhere else.
        let mut may_be_sum = true;
        for entry in entries {
            let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
            layout.entry(entry.header(), entry.raw_file_position(), entry.size());
            if entry.header().entry_type() == EntryType::GNULongName && long.is_none() {
                long = Some(long_name(&mut entry).map_err(damaged)?);
                continue;
            }
            let own = || String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = long.take().unwrap_or_else(own);
            if entry.header().entry_type() != EntryType::Regular {
                return Err(damaged(format!("{name:?} is no plain file")));
            }
            if std::mem::take(&mut may_be_sum) && name == MANIFEST_SUM {
                compare_manifest(path, &mut entry, &own_sum)?;
                continue;
            }
            let (size, sha256) =
                expected.remove(&name).ok_or_else(|| damaged(format!("{name:?} is not in its manifest")))?;
            if entry.size() != size {
                return Err(damaged(format!("{name} has {} bytes, its manifest says {size}", entry.size())));
            }
            let found = extract(path, &name, &mut entry, targets.as_deref_mut())?;
            if found != sha256 {
                return Err(damaged(format!("the content of {name} is not what was backed up")));
            }
        }
        if let Some(name) = long {
            return Err(damaged(format!("{name:?} has no content")));
        }
        if let Some((name, _)) = expected.pop_first() {
            return Err(damaged(format!("{name} is missing")));
        }
    }
    // To the end: a compressed stream has its own sum there.
    let mut rest = archive.into_inner();
    nothing_but_zeros(&mut rest).map_err(|error| damaged(error.to_string()))?;
    drop(rest);
    layout.end();
    let sha256 = sum.finish().map_err(|error| damaged(error.to_string()))?;
    beside::compare_sum(path, &sha256)?;
    Ok(Checked { manifest, sha256, odd: layout.odd() })
}

/// Names, sizes and sums of the entries that follow.
fn expected<'m>(
    path: &Path,
    manifest: &'m Manifest,
) -> Result<BTreeMap<String, (u64, &'m str)>, BackupError> {
    let files = manifest.files.iter();
    let files = files.map(|file| (format!("{FILES}{}", file.path), (file.size, file.sha256.as_str())));
    let objects = manifest.resources.iter();
    let objects = objects.map(|file| (file.path.clone(), (file.size, file.sha256.as_str())));
    let mut expected: BTreeMap<String, (u64, &str)> = files.chain(objects).collect();
    if expected.len() != manifest.files.len() + manifest.resources.len() {
        let why = "its manifest names a file twice".into();
        return Err(BackupError::Damaged { path: path.to_owned(), why });
    }
    expected.insert(SNAPSHOT.into(), (manifest.snapshot.size, &manifest.snapshot.sha256));
    Ok(expected)
}

/// Before anything is unpacked: a disk that is full harms whatever else is on it.
fn room_for(manifest: &Manifest, snapshot: &Path) -> Result<(), BackupError> {
    let dir = snapshot.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    room(dir, manifest.snapshot.size).map_err(|error| match error {
        BackupError::Room { path, needed, free } => BackupError::Unpacked { path, needed, free },
        error => error,
    })
}

/// Whether a file is a plain snapshot, as etcdctl writes it, rather than an archive.
pub fn is_plain_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "db")
}

/// The name of the entry that follows, where the field for it is too short.
fn long_name(entry: &mut tar::Entry<'_, impl Read>) -> Result<String, String> {
    if entry.size() > MOST_NAME as u64 + 1 {
        return Err(format!("it has a name of {} bytes", entry.size()));
    }
    let mut name = vec![];
    entry.read_to_end(&mut name).map_err(|error| error.to_string())?;
    while name.pop_if(|last| *last == 0).is_some() {}
    Ok(String::from_utf8_lossy(&name).into_owned())
}

fn extract(
    path: &Path,
    name: &str,
    entry: &mut impl Read,
    targets: Option<&mut Targets>,
) -> Result<String, BackupError> {
    let damaged =
        |error: io::Error| BackupError::Damaged { path: path.to_owned(), why: format!("{name}: {error}") };
    let mut sha = if name == SNAPSHOT { Hasher::start() } else { Hasher::here() };
    let mut kept = vec![];
    let mut snapshot = None;
    let target = targets.as_ref().map(|targets| targets.snapshot.clone());
    if let (Some(target), true) = (&target, name == SNAPSHOT) {
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(target);
        let file = file.map_err(BackupError::io("write", target))?;
        snapshot = Some(BufWriter::with_capacity(1 << 20, file));
    }
    // Objects as YAML are for people, and may be many.
    let keep = target.is_some() && name.starts_with(FILES);
    let mut chunk = vec![0; 1 << 18];
    loop {
        let read = entry.read(&mut chunk).map_err(damaged)?;
        if read == 0 {
            break;
        }
        sha.update(&chunk[..read]);
        if let (Some(file), Some(target)) = (&mut snapshot, &target) {
            file.write_all(&chunk[..read]).map_err(BackupError::io("write", target))?;
        }
        if keep {
            kept.extend_from_slice(&chunk[..read]);
        }
    }
    if let (Some(mut file), Some(target)) = (snapshot, &target) {
        file.flush().map_err(BackupError::io("write", target))?;
    }
    if let (Some(targets), true) = (targets, keep) {
        targets.files.insert(name.strip_prefix(FILES).unwrap_or(name).to_owned(), kept);
    }
    Ok(sha.finish())
}

/// What every version of a manifest has.
#[derive(serde::Deserialize)]
struct Version {
    schema: u32,
}

/// The manifest, and what the entry with its sum has to hold.
fn parse(path: &Path, entry: &mut tar::Entry<'_, impl Read>) -> Result<(Manifest, String), BackupError> {
    let is_it =
        entry.header().entry_type() == EntryType::Regular && *entry.path_bytes() == *MANIFEST.as_bytes();
    if !is_it || entry.size() > MOST_MANIFEST {
        return Err(not_a_backup(path, &"it does not begin with a manifest"));
    }
    let mut text = vec![];
    entry.read_to_end(&mut text).map_err(|error| not_a_backup(path, &error))?;
    let version: Version = serde_json::from_slice(&text).map_err(|error| not_a_backup(path, &error))?;
    if version.schema > SCHEMA {
        let why = format!("it is of a newer rkadm (schema {}, this one reads {SCHEMA})", version.schema);
        return Err(not_a_backup(path, &why));
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| not_a_backup(path, &error))?;
    let all: u64 = manifest.files.iter().map(|file| file.size).fold(0, u64::saturating_add);
    if all > MOST_OF_ALL {
        let why = format!("its manifest names {} files with {all} bytes", manifest.files.len());
        return Err(BackupError::Damaged { path: path.to_owned(), why });
    }
    for file in &manifest.files {
        let clean = Path::new(&file.path);
        let plain = clean
            .components()
            .all(|part| matches!(part, std::path::Component::RootDir | std::path::Component::Normal(_)));
        if !clean.is_absolute() || !plain || file.size > MOST_FILE || file.path.len() > MOST_NAME {
            let why = format!("its manifest names {:?} with {} bytes", file.path, file.size);
            return Err(BackupError::Damaged { path: path.to_owned(), why });
        }
    }
    for file in &manifest.resources {
        let clean = Path::new(&file.path);
        let plain = clean.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain || !clean.starts_with(RESOURCES) || file.path.len() > MOST_NAME {
            let why = format!("its manifest names {:?} among API objects", file.path);
            return Err(BackupError::Damaged { path: path.to_owned(), why });
        }
    }
    Ok((manifest, sum_of(&text)))
}

fn compare_manifest(path: &Path, entry: &mut impl Read, sum: &str) -> Result<(), BackupError> {
    let damaged = |why: String| BackupError::Damaged { path: path.to_owned(), why };
    let mut found = vec![];
    let read = entry.take(sum.len() as u64 + 1).read_to_end(&mut found);
    read.map_err(|error| damaged(error.to_string()))?;
    if found == sum.as_bytes() {
        return Ok(());
    }
    Err(damaged(format!("its manifest does not have the sum in {MANIFEST_SUM}")))
}

fn not_a_backup(path: &Path, why: &dyn std::fmt::Display) -> BackupError {
    BackupError::NotABackup { path: path.to_owned(), why: why.to_string() }
}

/// What fills the last block of a tar, and no more.
fn nothing_but_zeros(rest: &mut impl Read) -> io::Result<()> {
    let mut chunk = [0; 4096];
    loop {
        let read = rest.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        if chunk[..read].iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("something follows behind its end"));
        }
    }
}
