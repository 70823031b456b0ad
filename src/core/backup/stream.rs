//! An archive as it comes from the disk: hashed on the way, decrypted, decompressed. Hashes are made on threads of their own, or
//! whoever reads an archive would wait for two of them, one after the other.

use std::{
    cell::RefCell,
    io::{self, BufReader, Read},
    mem,
    path::Path,
    rc::Rc,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use sha2::{Digest as _, Sha256};

use super::{
    BackupError,
    crypt::{self, Identities},
    format,
    layout::Layout,
    take::hex,
};

/// Handed to a thread at once.
const PIECE: usize = 256 << 10;
/// How many of them wait for it.
const WAITING: usize = 4;

/// SHA-256 of what goes by.
pub(super) enum Hasher {
    /// Little, by the thread that it goes by.
    Here(Sha256),
    /// Much, by another one.
    Thread { piece: Vec<u8>, to: SyncSender<Vec<u8>>, thread: JoinHandle<Sha256> },
}

impl Hasher {
    pub(super) fn here() -> Self {
        Self::Here(Sha256::new())
    }

    /// On a thread of its own, where one can be had.
    pub(super) fn start() -> Self {
        let (to, from) = sync_channel::<Vec<u8>>(WAITING);
        let hash = move || {
            let mut sha = Sha256::new();
            for piece in from {
                sha.update(piece);
            }
            sha
        };
        match thread::Builder::new().spawn(hash) {
            Ok(thread) => Self::Thread { piece: Vec::with_capacity(PIECE), to, thread },
            Err(_) => Self::here(),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Here(sha) => sha.update(bytes),
            Self::Thread { piece, to, .. } => {
                piece.extend_from_slice(bytes);
                if piece.len() >= PIECE {
                    // Nobody receives only where the thread has panicked, which the end tells.
                    let _ = to.send(mem::replace(piece, Vec::with_capacity(PIECE)));
                }
            }
        }
    }

    /// In hex.
    pub(super) fn finish(self) -> String {
        let sha = match self {
            Self::Here(sha) => sha,
            Self::Thread { piece, to, thread } => {
                let _ = to.send(piece);
                drop(to);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        };
        hex(&sha.finalize())
    }
}

/// What is in a file, decrypted and decompressed.
pub(super) struct Stream {
    pub reader: Box<dyn Read>,
    /// Of what is on the disk.
    pub sum: Sum,
}

impl Stream {
    pub(super) fn open(
        path: &Path,
        from: impl Read + 'static,
        identities: &Identities,
        layout: &Layout,
        hasher: Hasher,
    ) -> Result<Self, BackupError> {
        let from: Box<dyn Read> = Box::new(BufReader::with_capacity(1 << 20, from));
        let source = Rc::new(RefCell::new(Hashing { from, hasher }));
        let sum = Sum(Rc::clone(&source));
        let (head, stream) =
            format::peek(Shared(source), crypt::MAGIC.len() as u64).map_err(BackupError::io("read", path))?;
        let stream =
            if head == crypt::MAGIC { crypt::open(path, stream, identities)? } else { Box::new(stream) };
        let damaged =
            |error: io::Error| BackupError::Damaged { path: path.to_owned(), why: error.to_string() };
        let reader = format::decode(stream, layout).map_err(damaged)?;
        Ok(Self { reader, sum })
    }
}

struct Hashing {
    from: Box<dyn Read>,
    hasher: Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

struct Shared(Rc<RefCell<Hashing>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

/// The hash of all that was read, and of what nobody read.
pub(super) struct Sum(Rc<RefCell<Hashing>>);

impl Sum {
    pub(super) fn finish(self) -> io::Result<String> {
        let mut source = self.0.borrow_mut();
        io::copy(&mut *source, &mut io::sink())?;
        Ok(mem::replace(&mut source.hasher, Hasher::here()).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::sha256_hex;

    #[test]
    fn a_hash_is_the_same_on_another_thread_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * PIECE + 5).collect();
        for size in [1 << 10, PIECE, 5 * PIECE] {
            for mut hasher in [Hasher::here(), Hasher::start()] {
                bytes.chunks(size).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.finish(), sha256_hex(&bytes), "pieces of {size}");
            }
        }
        assert_eq!(Hasher::start().finish(), sha256_hex(b""));
    }
}
