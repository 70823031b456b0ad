//! Writes the archive: complete, on the disk, and read back before it has its name.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::Path,
};

use tar::{Builder, EntryType, Header};

use super::{
    BackupError, Manifest,
    format::{Compression, Encoder},
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
) -> Result<u64, BackupError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = dir.join(format!(".{name}{PARTIAL}"));
    let file = BufWriter::with_capacity(1 << 20, create(&partial)?);
    let wrote = BackupError::io("write", &partial);
    let synced = Encoder::new(file, compression)
        .and_then(|encoder| pack(encoder, manifest, contents, snapshot))
        .and_then(Encoder::finish)
        .and_then(|file| {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            Ok(file.metadata()?.len())
        });
    let bytes = synced.map_err(wrote)?;
    let sum = read::check(&partial, None)?.sha256;
    let sums = path.with_file_name(format!("{name}.sha256"));
    let sums_partial = dir.join(format!(".{name}.sha256{PARTIAL}"));
    let mut file = create(&sums_partial)?;
    file.write_all(format!("{sum}  {name}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(BackupError::io("write", &sums_partial))?;
    // First the sum, so that there is no archive without one.
    fs::rename(&sums_partial, &sums).map_err(BackupError::io("rename", &sums))?;
    fs::rename(&partial, path).map_err(BackupError::io("rename", path))?;
    fs::remove_file(snapshot).map_err(BackupError::io("remove", snapshot))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(BackupError::io("sync", dir))?;
    Ok(bytes)
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
