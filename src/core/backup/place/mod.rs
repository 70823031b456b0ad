//! Where backups are kept: a directory, or a bucket of S3. What is done with them, in lists, retention and checks, is written once, on
//! top of [`Place`].

mod bucket;
mod directory;
mod wire;

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
};

pub use bucket::{Access, Bucket};
pub use directory::Directory;

use super::{
    BackupError, beside, label,
    take::{PARTIAL, create, room},
};
use crate::engine::Cancel;

/// An archive, complete and proven, that is to get its name in a place.
#[derive(Debug)]
pub struct Staged<'a> {
    /// Its name.
    pub name: &'a str,
    /// The file that holds it now; it is moved away, or stays for the caller to remove.
    pub file: &'a Path,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: &'a str,
    /// Small files that lie beside it: their names, and what is in them.
    pub beside: &'a [(String, Vec<u8>)],
    /// Ends the work, with nothing left of it.
    pub cancel: &'a Cancel,
}

/// Where backups are. All of it blocks.
pub trait Place: fmt::Debug + Send + Sync {
    /// A file of it, as people name it.
    fn shown(&self, name: &str) -> PathBuf;

    /// The names and sizes of the files directly in it, sorted. None where the place does not exist.
    ///
    /// # Errors
    /// It cannot be read.
    fn names(&self) -> Result<Vec<(String, u64)>, BackupError>;

    /// Reads a file.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    fn open(&self, name: &str) -> Result<Box<dyn Read>, BackupError>;

    /// Takes an archive in. Nobody sees it under its name before it is complete.
    ///
    /// # Errors
    /// It could not be kept; nothing is left then.
    fn keep(&self, staged: &Staged<'_>) -> Result<(), BackupError>;

    /// Puts a small file in place of the one before. Nobody sees half of it.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self, name: &str, text: &[u8]) -> Result<(), BackupError>;

    /// Removes a file; one that is not there is fine, another one was quicker.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove(&self, name: &str) -> Result<(), BackupError>;
}

/// What `--dir` can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory.
    Directory(PathBuf),
    /// `s3://bucket/prefix`.
    Bucket {
        /// Name of the bucket.
        bucket: String,
        /// Begins the keys of the backups, without slashes at its ends.
        prefix: String,
    },
    /// `-`: standard output.
    Stdout,
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdout);
        }
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text.split_once("://") {
                Some((scheme, _)) => Err(format!("{scheme}:// is not known; s3://BUCKET/PREFIX is")),
                None if text.is_empty() => Err("it is empty".into()),
                None => Ok(Self::Directory(text.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty()
            || prefix.is_empty()
            || prefix.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            // All that is in a bucket is not ours to look through.
            return Err("s3:// takes a bucket and a prefix: s3://BUCKET/PREFIX".into());
        }
        Ok(Self::Bucket { bucket: bucket.into(), prefix: prefix.into() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => dir.display().fmt(f),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Stdout => f.write_str("-"),
        }
    }
}

/// Copies an archive, with what lies beside it, into a directory.
///
/// # Errors
/// It is not there, cannot be read, or does not fit; no part of it is left then.
pub fn fetch(place: &dyn Place, name: &str, dir: &Path) -> Result<PathBuf, BackupError> {
    let names = place.names()?;
    let size = |wanted: &str| names.iter().find(|(name, _)| name == wanted).map(|(_, size)| *size);
    let bytes = size(name).ok_or_else(|| BackupError::Absent(place.shown(name)))?;
    room(dir, bytes)?;
    let beside = [format!("{name}{}", beside::EXTENSION), format!("{name}{}", label::EXTENSION)];
    for name in beside.iter().filter(|name| size(name).is_some()) {
        copy(place, name, dir, None)?;
    }
    copy(place, name, dir, Some(bytes))
}

fn copy(place: &dyn Place, name: &str, dir: &Path, bytes: Option<u64>) -> Result<PathBuf, BackupError> {
    // Not the name of a backup that is being made: who makes one removes what others left of theirs.
    let (path, partial) = (dir.join(name), dir.join(format!(".fetched-{name}{PARTIAL}")));
    let _ = fs::remove_file(&partial);
    let mut file = create(&partial)?;
    let copied = place.open(name).and_then(|mut from| {
        let mut chunk = vec![0; 1 << 18];
        let mut sum = 0;
        loop {
            let read = from.read(&mut chunk).map_err(BackupError::io("read", place.shown(name)))?;
            if read == 0 {
                break;
            }
            sum += read as u64;
            file.write_all(&chunk[..read]).map_err(BackupError::io("write", &partial))?;
        }
        if bytes.is_some_and(|bytes| bytes != sum) {
            let why =
                format!("{sum} bytes came of {}: it was cut off, or changed meanwhile", bytes.unwrap_or(0));
            return Err(BackupError::Damaged { path: place.shown(name), why });
        }
        file.sync_all().map_err(BackupError::io("write", &partial))?;
        fs::rename(&partial, &path).map_err(BackupError::io("rename", &path))
    });
    if copied.is_err() {
        let _ = fs::remove_file(&partial);
    }
    copied.map(|()| path)
}

/// A small file of a place.
pub(crate) fn small(place: &dyn Place, name: &str, most: u64) -> Result<Vec<u8>, BackupError> {
    let mut text = vec![];
    place
        .open(name)?
        .take(most)
        .read_to_end(&mut text)
        .map_err(BackupError::io("read", place.shown(name)))?;
    Ok(text)
}

/// A file that must be one.
pub(super) fn open_file(path: &Path) -> Result<File, BackupError> {
    let file = match File::open(path) {
        Err(error) if is_absent(&error) => return Err(BackupError::Absent(path.to_owned())),
        file => file.map_err(BackupError::io("read", path))?,
    };
    let meta = file.metadata().map_err(BackupError::io("read", path))?;
    if !meta.is_file() {
        return Err(BackupError::NotABackup { path: path.to_owned(), why: "it is no file".into() });
    }
    Ok(file)
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_directories_buckets_or_stdout() {
        let read = |text: &str| text.parse::<Location>();
        assert_eq!(read("-"), Ok(Location::Stdout));
        assert_eq!(read("backups"), Ok(Location::Directory("backups".into())));
        let bucket = Location::Bucket { bucket: "b".into(), prefix: "clusters/one".into() };
        assert_eq!(read("s3://b/clusters/one/"), Ok(bucket.clone()));
        assert_eq!(bucket.to_string(), "s3://b/clusters/one");
        // All of a bucket, or what is elsewhere.
        for wrong in ["", "s3://", "s3://b", "s3://b/", "s3:///x", "s3://b/../x", "s3://b/a//b", "gs://b/x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
