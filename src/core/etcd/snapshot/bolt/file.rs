//! An open database file. It is read by position, never mapped: a mapped file that somebody truncates kills the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::meta::{Meta, PAGE_SIZES};
use super::page::Place;
use crate::etcd::snapshot::error::SnapshotError;

/// The bitmap of pages stays below 32 MiB: 1 TiB with pages of 4 KiB.
const MAX_PAGES: u64 = 1 << 28;

/// Whether a SHA-256 follows the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    Hash,
    None,
}

impl Tail {
    pub(crate) const LEN: u64 = 32;
}

/// Where a snapshot is: a file, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The file.
    pub path: &'a Path,
    /// Where in it the snapshot begins.
    pub at: u64,
    /// Bytes of the snapshot; to the end of the file by default.
    pub len: Option<u64>,
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for Part<'a> {
    fn from(path: &'a P) -> Self {
        Self { path: path.as_ref(), at: 0, len: None }
    }
}

/// A database file with a valid meta page.
#[derive(Debug)]
pub(crate) struct Db {
    pub file: File,
    pub path: PathBuf,
    /// Where in the file it begins.
    pub at: u64,
    /// Bytes of the database, without a hash behind it.
    pub len: u64,
    pub tail: Tail,
    pub meta: Meta,
    /// The number of a meta page that is not valid, where the other one is.
    pub bad_meta: Option<u64>,
}

impl Db {
    /// A file that is a database as a whole.
    pub(crate) fn open(path: &Path) -> Result<Self, SnapshotError> {
        Self::open_part(&Part::from(path))
    }

    pub(crate) fn open_part(part: &Part<'_>) -> Result<Self, SnapshotError> {
        let (path, at) = (part.path, part.at);
        // Without this flag a pipe would wait for a writer.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(SnapshotError::io("open", path))?;
        let stat = file.metadata().map_err(SnapshotError::io("look at", path))?;
        if !stat.is_file() {
            return Err(SnapshotError::NotAFile { path: path.to_owned() });
        }
        let behind = stat.len().saturating_sub(at);
        let length = part.len.unwrap_or(behind);
        if length > behind {
            return Err(SnapshotError::CutOff { needed: length, length: behind });
        }
        let (tail, len) = match length {
            length if length % 512 == Tail::LEN => (Tail::Hash, length - Tail::LEN),
            length if length % 512 == 0 && length > 0 => (Tail::None, length),
            length => return Err(SnapshotError::Length { length }),
        };
        let (meta, bad_meta) = metas(&file, at, len).map_err(SnapshotError::io("read", path))?;
        let meta = meta.ok_or(SnapshotError::NoMeta)?;
        if len % u64::from(meta.page_size) != 0 {
            return Err(SnapshotError::Length { length });
        }
        let pages = meta.high_water;
        if pages > MAX_PAGES {
            return Err(SnapshotError::TooManyPages { pages });
        }
        let needed = pages * u64::from(meta.page_size);
        if needed > len {
            return Err(SnapshotError::CutOff { needed, length: len });
        }
        Ok(Self { file, path: path.to_owned(), at, len, tail, meta, bad_meta })
    }

    pub(crate) fn page_size(&self) -> usize {
        self.meta.page_size as usize
    }

    pub(crate) fn place(&self, page: u64) -> Place {
        Place { page, offset: page.saturating_mul(u64::from(self.meta.page_size)) }
    }

    /// Bytes of the database that are pages in use or free, without what follows them.
    pub(crate) fn used(&self) -> u64 {
        self.meta.high_water * u64::from(self.meta.page_size)
    }

    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), SnapshotError> {
        self.file.read_exact_at(bytes, self.at + offset).map_err(SnapshotError::io("read", &self.path))
    }
}

/// The meta that counts, and the number of one that is not valid.
fn metas(file: &File, at: u64, len: u64) -> io::Result<(Option<Meta>, Option<u64>)> {
    let page = |offset, id| meta_at(file, at, len, offset, id);
    let first = page(0, 0)?;
    // The first meta page says where the second is. When it does not, each page size is tried.
    let sizes = first.map_or(PAGE_SIZES, |meta| meta.page_size..=meta.page_size);
    let mut size = *sizes.start();
    let mut second = None;
    while second.is_none() && size <= *sizes.end() {
        second = page(u64::from(size), 1)?.filter(|meta| meta.page_size == size);
        size *= 2;
    }
    Ok(match (first, second) {
        (Some(first), Some(second)) if second.txid > first.txid => (Some(second), None),
        (Some(first), Some(_)) => (Some(first), None),
        (Some(first), None) => (Some(first), Some(1)),
        (None, second) => (second, Some(0)),
    })
}

fn meta_at(file: &File, at: u64, len: u64, offset: u64, id: u64) -> io::Result<Option<Meta>> {
    let mut page = [0; 128];
    if offset + page.len() as u64 > len {
        return Ok(None);
    }
    file.read_exact_at(&mut page, at + offset)?;
    Ok(Meta::parse(&page, id))
}
