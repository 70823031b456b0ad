//! The snapshot on its way from the member to the disk.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use super::{
    BackupError,
    deflate::{Pressed, Presser},
    take::{create, hex},
};
use crate::etcd::{EtcdClient, snapshot::TrailerHash};

/// Pieces that wait for the disk, and as many for what compresses: etcd's are 32 KiB each.
const WAITING: usize = 64;

/// What came.
pub(super) struct Came {
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// The same, compressed.
    pub pressed: Option<Pressed>,
}

/// Streams the snapshot into a file, from there on, while hashing it, and compresses it into the other file, where one is given.
pub(super) async fn download(
    client: &EtcdClient,
    endpoint: &str,
    path: &Path,
    at: u64,
    press: Option<&Path>,
) -> Result<Came, BackupError> {
    let mut file = create(path)?;
    file.seek(SeekFrom::Start(at)).map_err(BackupError::io("write", path))?;
    let press = press.and_then(Press::start);
    // The disk and the hash must not hold up the network, nor the network outrun them.
    let (sender, receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(WAITING);
    let target = path.to_owned();
    let writing = tokio::task::spawn_blocking(move || {
        write(file, receiver, press).map_err(|error| match error {
            Written::Io(error) => BackupError::io("write", &target)(error),
            Written::Cut(bytes) => {
                BackupError::Transfer(format!("{bytes} bytes came, which do not end with their SHA-256"))
            }
        })
    });
    let came = client.snapshot(endpoint, &sender).await;
    drop(sender);
    // The writer's error is the cause, when it is the one that stopped.
    let written = writing.await.map_err(|error| BackupError::Transfer(error.to_string()))?;
    match (came, written) {
        (Ok(()), written) => written,
        (Err(_), Err(error @ BackupError::Io { .. })) => Err(error),
        (Err(error), _) => Err(error.into()),
    }
}

/// Why a snapshot was not written.
enum Written {
    Io(io::Error),
    /// So many bytes came, and not the end.
    Cut(u64),
}

fn write(
    file: File,
    mut receiver: tokio::sync::mpsc::Receiver<Vec<u8>>,
    mut press: Option<Press>,
) -> Result<Came, Written> {
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut trailer = TrailerHash::default();
    while let Some(chunk) = receiver.blocking_recv() {
        trailer.update(&chunk);
        file.write_all(&chunk).map_err(Written::Io)?;
        press = press.and_then(|press| press.take(chunk));
    }
    file.flush().map_err(Written::Io)?;
    let bytes = trailer.len();
    let whole = trailer.finish_whole().ok_or(Written::Cut(bytes))?;
    Ok(Came { sha256: hex(&whole), pressed: press.and_then(Press::finish) })
}

/// Compresses on a thread of its own. Where that fails, it is compressed later, and the backup does not fail with it.
struct Press {
    path: PathBuf,
    to: SyncSender<Vec<u8>>,
    thread: JoinHandle<io::Result<Pressed>>,
}

impl Press {
    fn start(path: &Path) -> Option<Self> {
        Self::into(path, create(path).ok()?)
    }

    fn into(path: &Path, file: File) -> Option<Self> {
        let mut presser = Presser::new(path, file);
        let (to, from) = sync_channel::<Vec<u8>>(WAITING);
        let work = move || {
            for piece in from {
                presser.write_all(&piece)?;
            }
            presser.finish()
        };
        let thread = thread::Builder::new().spawn(work).ok()?;
        Some(Self { path: path.to_owned(), to, thread })
    }

    fn take(self, piece: Vec<u8>) -> Option<Self> {
        match self.to.send(piece) {
            Ok(()) => Some(self),
            // It gave up, and what it wrote takes room.
            Err(_) => self.finish().and(None),
        }
    }

    fn finish(self) -> Option<Pressed> {
        drop(self.to);
        let pressed = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).ok();
        if pressed.is_none() {
            // Whatever is left goes with all other files at the end.
            let _ = fs::remove_file(&self.path);
        }
        pressed
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use sha2::Digest as _;

    use super::*;
    use crate::{backup::deflate::Member, text::sha256_hex};

    /// What comes of these pieces.
    fn written(dir: &Path, press: Option<Press>, pieces: &[Vec<u8>]) -> Result<Came, Written> {
        let file = create(&dir.join("snapshot")).unwrap();
        let (sender, receiver) = tokio::sync::mpsc::channel(pieces.len());
        for piece in pieces {
            sender.try_send(piece.clone()).unwrap();
        }
        drop(sender);
        write(file, receiver, press)
    }

    #[test]
    fn what_comes_is_written_and_compressed_at_once() {
        let text: Vec<u8> = b"an object of Kubernetes, ".repeat(40_000);
        let sum = sha2::Sha256::digest(&text).to_vec();
        let pieces: Vec<_> = text.chunks(32 << 10).map(<[u8]>::to_vec).chain([sum]).collect();
        let dir = tempfile::tempdir().unwrap();
        let came = written(dir.path(), Press::start(&dir.path().join("pressed")), &pieces).ok().unwrap();
        let whole = pieces.concat();
        assert_eq!(fs::read(dir.path().join("snapshot")).unwrap(), whole);
        assert_eq!(came.sha256, sha256_hex(&whole));
        let mut member = Member::new(vec![]).unwrap();
        member.embed(&came.pressed.unwrap(), || Ok(())).unwrap();
        let (mut read, archive) = (vec![], member.finish().unwrap());
        flate2::bufread::GzDecoder::new(&archive[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, whole);

        // One that is cut off, and one that cannot be compressed for want of room.
        let dir = tempfile::tempdir().unwrap();
        let press = Press::start(&dir.path().join("pressed"));
        assert!(matches!(written(dir.path(), press, &pieces[..3]), Err(Written::Cut(98_304))));
        let dir = tempfile::tempdir().unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let came = written(dir.path(), Press::into(&dir.path().join("pressed"), full), &pieces).ok().unwrap();
        assert!(came.pressed.is_none() && came.sha256 == sha256_hex(&whole));
    }

    #[test]
    fn where_the_disk_is_full_it_gives_up_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pressed");
        assert!(Press::start(&path).unwrap().finish().is_some());
        assert!(path.exists());
        assert!(Press::start(&path).is_none(), "somebody else's file");

        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut press = Press::into(&path, full);
        let mut pieces = 0;
        while let Some(pressing) = press {
            press = pressing.take(vec![b'x'; 1 << 20]);
            pieces += 1;
            assert!(pieces < 1000, "it does not notice");
        }
        assert!(!path.exists());
    }
}
