//! Files in archives.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// A file, directory or link with all that counts of it.
#[derive(Clone)]
pub struct Entry {
    /// Absolute.
    pub path: String,
    pub kind: tar::EntryType,
    pub mode: u32,
    /// `user:group`
    pub owner: (u64, u64),
    /// When it was written, in seconds.
    pub written: i64,
    /// Of a link, where it leads.
    pub content: Vec<u8>,
}

impl Entry {
    pub fn file(path: &str, content: impl Into<Vec<u8>>) -> Self {
        let (kind, content) = (tar::EntryType::Regular, content.into());
        Self { path: path.to_owned(), kind, mode: 0o644, owner: (0, 0), written: 0, content }
    }

    /// The files of a directory, below another path.
    pub fn files_of(dir: &Path, at: &str) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        entries
            .map(|entry| {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok(Self::file(&format!("{at}/{name}"), std::fs::read(&path)?))
            })
            .collect()
    }

    pub fn pack(entries: &[Self]) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(vec![]);
        for entry in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(entry.kind);
            header.set_mode(entry.mode);
            header.set_uid(entry.owner.0);
            header.set_gid(entry.owner.1);
            header.set_mtime(u64::try_from(entry.written)?);
            let path = entry.path.trim_start_matches('/');
            header.set_size(u64::try_from(entry.content.len())?);
            archive.append_data(&mut header, path, entry.content.as_slice())?;
        }
        Ok(archive.into_inner()?)
    }

    pub fn unpack(bytes: &[u8]) -> Result<Vec<Self>> {
        let mut archive = tar::Archive::new(bytes);
        let mut found = vec![];
        for entry in archive.entries()? {
            let mut entry = entry?;
            let (header, path) = (entry.header().clone(), entry.path()?.into_owned());
            let path = Path::new("/").join(path.strip_prefix(".").unwrap_or(&path));
            if path == Path::new("/") {
                continue;
            }
            let mut content = vec![];
            entry.read_to_end(&mut content)?;
            if let Some(target) = entry.link_name_bytes() {
                content = target.into_owned();
            }
            found.push(Self {
                path: path.display().to_string(),
                kind: header.entry_type(),
                mode: header.mode()?,
                owner: (header.uid()?, header.gid()?),
                written: i64::try_from(header.mtime()?)?,
                content,
            });
        }
        Ok(found)
    }
}
