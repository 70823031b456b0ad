//! The entries of an archive, in their order: what is small and tells what the rest is comes first.

use std::io::{self, Read, Write};

use jiff::Timestamp;
use tar::{Builder, EntryType, Header};

use super::{
    collect::Contents,
    manifest::{FILES, File, MANIFEST, MANIFEST_SUM, SNAPSHOT, sum_of},
};

const BLOCK: usize = 512;

/// A tar that is written.
pub(super) struct Entries<W: Write> {
    tar: Builder<W>,
    time: u64,
}

impl<W: Write> Entries<W> {
    pub fn new(out: W, time: Timestamp) -> Self {
        Self { tar: Builder::new(out), time: u64::try_from(time.as_second()).unwrap_or(0) }
    }

    fn header(&self, size: u64, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(self.time);
        header
    }

    pub fn append(&mut self, name: &str, size: u64, mode: u32, data: &mut dyn Read) -> io::Result<()> {
        let mut header = self.header(size, mode);
        self.tar.append_data(&mut header, name, data)
    }

    /// The manifest with its sum, and the files that it lists.
    pub fn begin(&mut self, manifest: &[u8], files: &[File], contents: &Contents) -> io::Result<()> {
        self.append(MANIFEST, manifest.len() as u64, 0o600, &mut &*manifest)?;
        let sum = sum_of(manifest);
        self.append(MANIFEST_SUM, sum.len() as u64, 0o600, &mut sum.as_bytes())?;
        for file in files {
            let bytes = contents.get(&file.path).map(Vec::as_slice).unwrap_or_default();
            self.append(&format!("{FILES}{}", file.path), file.size, file.mode, &mut &*bytes)?;
        }
        Ok(())
    }

    pub fn end(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}

impl<W: Write> Entries<W> {
    fn snapshot_header(&self, size: u64) -> io::Result<Header> {
        let mut header = self.header(size, 0o600);
        header.set_path(SNAPSHOT)?;
        header.set_cksum();
        Ok(header)
    }

    /// The snapshot, whose content is put into what is below by other means.
    pub fn snapshot(&mut self, size: u64, content: impl FnOnce(&mut W) -> io::Result<()>) -> io::Result<()> {
        let header = self.snapshot_header(size)?;
        let out = self.tar.get_mut();
        out.write_all(header.as_bytes())?;
        content(out)?;
        out.write_all(&padding(size))
    }
}

impl Entries<Vec<u8>> {
    /// What stands before the content of the snapshot, which is to follow.
    pub fn before_snapshot(mut self, size: u64) -> io::Result<Vec<u8>> {
        let header = self.snapshot_header(size)?;
        let out = self.tar.get_mut();
        out.extend_from_slice(header.as_bytes());
        let len = out.len();
        // It ends a tar that has not ended.
        let mut head = self.tar.into_inner()?;
        head.truncate(len);
        Ok(head)
    }
}

/// What stands behind the content of the last entry.
pub(super) fn tail(size: u64) -> Vec<u8> {
    [padding(size), vec![0; 2 * BLOCK]].concat()
}

/// Behind content of so many bytes.
fn padding(size: u64) -> Vec<u8> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    vec![0; over.next_multiple_of(BLOCK) - over]
}
