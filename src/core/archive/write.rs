//! Writing: streamed, complete and read back before it has its name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use super::{Removal, Summary, attributes, below, tree};

/// Ends the name of an archive that is incomplete.
const PARTIAL: &str = "partial";

/// Smaller files are not worth a look for holes.
const SPARSE: u64 = 1 << 20;

type At = tree::At;

fn at(path: &Path) -> impl Fn(io::Error) -> At + '_ {
    move |error| (path.to_owned(), error)
}

/// Writes what the removals would take into `archive` (mode 0600), without what is mounted there, left out, or a socket.
/// The file has its name only once it is complete, on the disk, and was read back.
///
/// # Errors
/// The path that could not be read or written, and why. Nothing is left at `archive` then.
pub fn write(root: &Path, archive: &Path, what: &[Removal], leave_out: &[PathBuf]) -> Result<Summary, At> {
    let name = below(root, archive);
    let partial = name.with_extension(PARTIAL);
    let dir = name.parent().unwrap_or(Path::new("/")).to_owned();
    crate::engine::store::make_private_dir(&dir).map_err(at(&dir))?;
    discard_partial(&dir).map_err(at(&dir))?;
    let result = write_partial(root, &partial, what, leave_out).and_then(|summary| {
        read_back(&partial, summary).map_err(at(&name))?;
        fs::rename(&partial, &name).map_err(at(&name))?;
        Ok(summary)
    });
    if result.is_err() {
        let _ = fs::remove_file(&partial);
    }
    let summary = result?;
    tree::sync_parent(&name)?;
    Ok(summary)
}

/// Removes what a process that died left half written in a directory of archives. One process at a time writes there.
pub fn discard_partial(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if tree::is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(&format!(".tar.{PARTIAL}")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn write_partial(
    root: &Path,
    partial: &Path,
    what: &[Removal],
    leave_out: &[PathBuf],
) -> Result<Summary, At> {
    let file =
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(partial).map_err(at(partial))?;
    let gzip = GzEncoder::new(BufWriter::with_capacity(1 << 18, file), Compression::fast());
    let mut packing = Packing {
        tar: Builder::new(gzip),
        mounts: tree::mount_points()?,
        leave_out,
        summary: Summary::default(),
    };
    for removal in what {
        if removal.contents_only {
            // The directory itself, for its mode and owner.
            packing.entry(&below(root, &removal.path), &removal.path)?;
        }
        for unit in tree::units(root, removal)? {
            packing.tree(&below(root, &unit), &unit)?;
        }
    }
    let Packing { tar, summary, .. } = packing;
    let finish = || -> io::Result<()> {
        let buffered = tar.into_inner()?.finish()?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    };
    finish().map_err(at(partial))?;
    Ok(summary)
}

struct Packing<'a, W: Write> {
    tar: Builder<W>,
    mounts: Vec<PathBuf>,
    leave_out: &'a [PathBuf],
    summary: Summary,
}

impl<W: Write> Packing<'_, W> {
    fn tree(&mut self, real: &Path, path: &Path) -> Result<(), At> {
        if self.leave_out.iter().any(|left| left == path) || self.mounts.iter().any(|mount| mount == real) {
            return Ok(());
        }
        if !self.entry(real, path)? {
            return Ok(());
        }
        let mut names = vec![];
        for entry in fs::read_dir(real).map_err(at(real))? {
            names.push(entry.map_err(at(real))?.file_name());
        }
        names.sort();
        for name in names {
            self.tree(&real.join(&name), &path.join(&name))?;
        }
        Ok(())
    }

    /// Adds one entry; whether it is a directory.
    fn entry(&mut self, real: &Path, path: &Path) -> Result<bool, At> {
        let meta = match fs::symlink_metadata(real) {
            Ok(meta) => meta,
            Err(error) if tree::is_absent(&error) => return Ok(false),
            Err(error) => return Err((real.to_owned(), error)),
        };
        let mut header = Header::new_gnu();
        header.set_mode(meta.mode() & 0o7777);
        header.set_uid(meta.uid().into());
        header.set_gid(meta.gid().into());
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
        header.set_size(0);
        let name = path.strip_prefix("/").unwrap_or(path);
        let kind = meta.file_type();
        if !(kind.is_dir() || kind.is_symlink() || kind.is_file()) {
            // Sockets, pipes and devices are made anew by whoever needs them.
            return Ok(false);
        }
        // Right before the entry that they belong to.
        let attributes = attributes::of(real);
        let headers = attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        self.tar.append_pax_extensions(headers).map_err(at(real))?;
        let added = if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.tar.append_data(&mut header, name.join(""), io::empty())
        } else if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = fs::read_link(real).map_err(at(real))?;
            self.tar.append_link(&mut header, name, target)
        } else {
            self.summary.bytes += meta.len();
            let mut file = File::open(real).map_err(at(real))?;
            if meta.len() >= SPARSE {
                // With its holes as holes: etcd allocates 64 MiB for each of its logs, and they hold next to nothing.
                self.tar.append_file(name, &mut file).map_err(at(real))?;
                self.summary.entries += 1;
                return Ok(false);
            }
            header.set_size(meta.len());
            self.tar.append_data(&mut header, name, Exactly { file, left: meta.len() })
        };
        added.map_err(at(real))?;
        self.summary.entries += 1;
        Ok(kind.is_dir())
    }
}

/// As many bytes as the header says, also of a file that shrinks or grows meanwhile: else the rest of the archive would
/// be unreadable.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..most];
        let mut read = self.file.read(buffer)?;
        if read == 0 {
            buffer.fill(0);
            read = most;
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Reads all of it, which checks the checksum, and counts what is in it.
fn read_back(path: &Path, expected: Summary) -> io::Result<()> {
    let mut archive =
        tar::Archive::new(GzDecoder::new(io::BufReader::with_capacity(1 << 18, File::open(path)?)));
    let mut found = Summary::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        found.entries += 1;
        found.bytes += io::copy(&mut entry, &mut io::sink())?;
    }
    let mut gzip = archive.into_inner();
    io::copy(&mut gzip, &mut io::sink())?;
    if found == expected {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "reading it back gave {} entries and {} bytes in place of {} and {}",
        found.entries, found.bytes, expected.entries, expected.bytes
    )))
}
