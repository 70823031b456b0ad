//! Writes the archive: complete, on the disk, and read back before it has its name; or to whoever reads.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek as _, SeekFrom, Take, Write},
    os::unix::fs::FileExt as _,
    path::Path,
    thread,
};

use age::stream::StreamWriter;

use super::{
    BackupError, Manifest, beside,
    collect::Contents,
    crypt::{self, Identities, Recipients},
    deflate::Pressed,
    entries::{self, Entries},
    format::{Compression, Encoder},
    in_place::Room,
    label::{self, Label},
    manifest::SNAPSHOT,
    place::{Place, Staged},
    read,
    stream::Hasher,
    take::{PARTIAL, create},
};
use crate::{engine::Cancel, etcd::snapshot::Part};

/// What goes into an archive, and how.
pub(super) struct Archive<'a> {
    pub manifest: &'a Manifest,
    pub contents: &'a Contents,
    /// Where the API objects of the manifest are.
    pub resources: &'a Path,
    /// Where the snapshot is.
    pub snapshot: Part<'a>,
    /// The same, compressed already.
    pub pressed: Option<&'a Pressed>,
    pub compression: Compression,
    pub recipients: &'a Recipients,
    /// Ends the work.
    pub cancel: &'a Cancel,
}

impl Archive<'_> {
    /// Its name.
    pub fn name(&self) -> String {
        let sealed = if self.recipients.is_empty() { "" } else { crypt::EXTENSION };
        self.manifest.file_name(&format!("{}{sealed}", self.compression.extension()))
    }

    /// Writes it, and gives what reads it back.
    fn write<W: Write>(&self, out: W, name: &Path) -> Result<(W, Identities), BackupError> {
        let (out, witness) = Out::new(out, self.recipients)?;
        let written = Encoder::new(out, self.compression)
            .and_then(|encoder| self.pack(encoder))
            .and_then(Encoder::finish)
            .and_then(Out::finish);
        // Not what the writer made of it.
        self.unless_stopped()?;
        Ok((written.map_err(BackupError::io("write", name))?, witness))
    }

    /// Writes it to a directory, reads it back, and gives it to the place that keeps it. How many bytes it has.
    pub fn keep(&self, dir: &Path, place: &dyn Place) -> Result<u64, BackupError> {
        let name = self.name();
        let partial = dir.join(format!(".{name}{PARTIAL}"));
        let file = BufWriter::with_capacity(1 << 20, create(&partial)?);
        let (file, witness) = self.write(file, &partial)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(BackupError::io("write", &partial))?;
        self.prove(&partial, &file, &witness, place)
    }

    /// The same of a file that has the snapshot in its place already: what stands before and behind it is written now.
    pub fn keep_in_place(&self, dir: &Path, place: &dyn Place, room: &Room) -> Result<u64, BackupError> {
        let partial = self.snapshot.path;
        let Some(head) = room.head(self.manifest, self.contents) else { return self.keep(dir, place) };
        let end = self.snapshot.at + self.manifest.snapshot.size;
        let file = File::options().write(true).open(partial).and_then(|file| {
            file.write_all_at(&head, 0)?;
            file.write_all_at(&entries::tail(self.manifest.snapshot.size), end)?;
            Ok(file)
        });
        let file = file.map_err(BackupError::io("write", partial))?;
        self.prove(partial, &file, &Identities::none(), place)
    }

    /// Brings it to the disk, reads it back, and gives it to the place.
    fn prove(
        &self,
        partial: &Path,
        file: &File,
        witness: &Identities,
        place: &dyn Place,
    ) -> Result<u64, BackupError> {
        let name = self.name();
        // The disk takes its time, and what it has taken so far can be read meanwhile.
        let (synced, found) = thread::scope(|scope| {
            let sync = scope.spawn(|| file.sync_all().and_then(|()| file.metadata()));
            let found = read::check(partial, witness, None);
            (sync.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), found)
        });
        let bytes = synced.map_err(BackupError::io("write", partial))?.len();
        let found = found?;
        self.unless_stopped()?;
        read::is_spotless(partial, &found.odd)?;
        let sha256 = found.sha256;
        let mut beside =
            vec![(format!("{name}{}", beside::EXTENSION), beside::line(&sha256, &name).into_bytes())];
        if !self.recipients.is_empty() {
            let label = Label::new(self.manifest, bytes, sha256.clone(), self.recipients.len());
            let text = label.text().map_err(|error| BackupError::Transfer(error.to_string()))?;
            beside.push((format!("{name}{}", label::EXTENSION), text.into_bytes()));
        }
        let (beside, cancel) = (&*beside, self.cancel);
        place.keep(&Staged { name: &name, file: partial, bytes, sha256: &sha256, beside, cancel })?;
        Ok(bytes)
    }

    fn unless_stopped(&self) -> Result<(), BackupError> {
        self.cancel.signal().map_or(Ok(()), |signal| Err(BackupError::Stopped(signal)))
    }

    /// Writes it to whoever reads. Nothing can be read back then; what is packed is compared with the manifest while it goes by.
    pub fn stream(&self, out: Box<dyn Write + Send>) -> Result<u64, BackupError> {
        let counted = Counted { out: BufWriter::with_capacity(1 << 18, out), bytes: 0 };
        let name = Path::new("standard output");
        let (mut counted, _) = self.write(counted, name)?;
        counted.flush().map_err(BackupError::io("write", name))?;
        Ok(counted.bytes)
    }

    /// The entries in their order: what is small and tells what the rest is comes first.
    fn pack<W: Write>(&self, out: Encoder<W>) -> io::Result<Encoder<W>> {
        let Self { manifest, contents, resources, snapshot, .. } = self;
        let mut tar = Entries::new(out, manifest.created_at);
        tar.begin(&serde_json::to_vec_pretty(manifest)?, &manifest.files, contents)?;
        let stopped = || match self.cancel.signal() {
            Some(signal) => Err(io::Error::other(format!("stopped by {signal}"))),
            None => Ok(()),
        };
        let mut append_file = |name: &str, part: Part<'_>, size: u64, sha256: &str| {
            let mut from = File::open(part.path)?;
            from.seek(SeekFrom::Start(part.at))?;
            let mut file = Summed { from: from.take(size), sha: Hasher::start(), stopped: &stopped };
            tar.append(name, size, 0o600, &mut file)?;
            let unchanged = file.sha.finish() == sha256;
            unchanged
                .then_some(())
                .ok_or_else(|| io::Error::other(format!("{name} changed on the disk since it was written")))
        };
        for file in &manifest.resources {
            append_file(&file.path, (&resources.join(&file.path)).into(), file.size, &file.sha256)?;
        }
        match self.pressed {
            None => append_file(SNAPSHOT, *snapshot, manifest.snapshot.size, &manifest.snapshot.sha256)?,
            Some(pressed) => tar.snapshot(manifest.snapshot.size, |out| out.embed(pressed, stopped))?,
        }
        tar.end()
    }
}

/// A file, and the hash of what was read of it.
struct Summed<F> {
    from: Take<File>,
    sha: Hasher,
    stopped: F,
}

impl<F: Fn() -> io::Result<()>> Read for Summed<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.stopped)()?;
        let read = self.from.read(buffer)?;
        self.sha.update(&buffer[..read]);
        Ok(read)
    }
}

/// Counts what goes by.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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
