//! Writes the archive: complete, on the disk, and read back before it has its name.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::Path,
};

use age::stream::StreamWriter;
use tar::{Builder, EntryType, Header};

use super::{
    BackupError, Manifest,
    crypt::{Identities, Recipients},
    format::{Compression, Encoder},
    label::{self, Label},
    manifest::{FILES, MANIFEST, SNAPSHOT},
    read,
    take::{Contents, PARTIAL, create},
};

/// Writes the archive beside its name, reads it back, and gives it its name.
pub(super) fn publish(
    path: &Path,
    manifest: &Manifest,
    contents: &Contents,
    snapshot: &Path,
    compression: Compression,
    recipients: &Recipients,
) -> Result<u64, BackupError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = dir.join(format!(".{name}{PARTIAL}"));
    let file = BufWriter::with_capacity(1 << 20, create(&partial)?);
    let (out, witness) = Out::new(file, recipients)?;
    let written = Encoder::new(out, compression)
        .and_then(|encoder| pack(encoder, manifest, contents, snapshot))
        .and_then(Encoder::finish)
        .and_then(Out::finish)
        .and_then(|file| {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            Ok(file.metadata()?.len())
        });
    let bytes = written.map_err(BackupError::io("write", &partial))?;
    let sum = read::check(&partial, &witness, None)?.sha256;
    // First what is beside it, so that there is no archive without.
    beside(dir, &format!("{name}.sha256"), format!("{sum}  {name}\n").as_bytes())?;
    if !recipients.is_empty() {
        let label = Label::new(manifest, bytes, sum, recipients.len());
        let text =
            serde_json::to_vec_pretty(&label).map_err(|error| BackupError::Transfer(error.to_string()))?;
        beside(dir, &format!("{name}{}", label::EXTENSION), &text)?;
    }
    fs::rename(&partial, path).map_err(BackupError::io("rename", path))?;
    fs::remove_file(snapshot).map_err(BackupError::io("remove", snapshot))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(BackupError::io("sync", dir))?;
    Ok(bytes)
}

/// A small file, whole under its name or not at all.
fn beside(dir: &Path, name: &str, text: &[u8]) -> Result<(), BackupError> {
    let (path, partial) = (dir.join(name), dir.join(format!(".{name}{PARTIAL}")));
    let mut file = create(&partial)?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(BackupError::io("write", &partial))?;
    fs::rename(&partial, &path).map_err(BackupError::io("rename", &path))
}

/// Encrypted or not.
enum Out<W: Write> {
    Plain(W),
    Sealed(StreamWriter<W>),
}

impl<W: Write> Out<W> {
    /// And what reads it back.
    fn new(out: W, recipients: &Recipients) -> Result<(Self, Identities), BackupError> {
        if recipients.is_empty() {
            return Ok((Self::Plain(out), Identities::none()));
        }
        let (writer, witness) = recipients.seal(out)?;
        Ok((Self::Sealed(writer), witness))
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Sealed(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Sealed(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Sealed(writer) => writer.flush(),
        }
    }
}

/// The entries in their order: what is small and tells what the rest is comes first.
fn pack<W: Write>(out: W, manifest: &Manifest, contents: &Contents, snapshot: &Path) -> io::Result<W> {
    let mut tar = Builder::new(out);
    let time = u64::try_from(manifest.created_at.as_second()).unwrap_or(0);
    let mut append = |name: &str, size: u64, mode: u32, data: &mut dyn Read| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(time);
        tar.append_data(&mut header, name, data)
    };
    let text = serde_json::to_vec_pretty(manifest)?;
    append(MANIFEST, text.len() as u64, 0o600, &mut text.as_slice())?;
    for file in &manifest.files {
        let bytes = contents.get(&file.path).map(Vec::as_slice).unwrap_or_default();
        append(&format!("{FILES}{}", file.path), file.size, file.mode, &mut &*bytes)?;
    }
    append(SNAPSHOT, manifest.snapshot.size, 0o600, &mut File::open(snapshot)?)?;
    tar.into_inner()
}
