//! The write-ahead log of a member that does not run: whose it is, and how far the member had got.
//!
//! The format is in [`restore`](super::restore). Logs are read from front to back, and every checksum is compared. The
//! last file ends where a length of zero stands, or where a write was cut off by a power failure: then it goes on in
//! zeros, because files are reserved in advance.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::proto::{Entry, HardState, Metadata, WalRecord, WalSnapshot};

/// Of one record. etcd refuses requests far below it.
const MAX_RECORD: u64 = 32 << 20;
/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// How far a member had got, as its log says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RaftState {
    pub member_id: u64,
    pub cluster_id: u64,
    /// The newest term that the member knew.
    pub term: u64,
    /// Whom it voted for in that term; 0: nobody.
    pub vote: u64,
    /// The last entry that it knew to be committed.
    pub commit: u64,
    /// The last entry that it had, committed or not; that of the snapshot, where there are none after it.
    pub last_index: u64,
    /// The term of that entry. Of two members, the one with the greater term, then index, has more.
    pub last_term: u64,
    /// The last write was cut off. Nobody was told that it had succeeded.
    pub torn: bool,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} holds no log", dir.display())]
    Empty { dir: PathBuf },
    #[error("the log lacks the file with number {number}")]
    Gap { number: u64 },
    #[error("{} is damaged at byte {offset}: {why}", path.display())]
    Damage { path: PathBuf, offset: u64, why: &'static str },
}

type Result<T, E = LogError> = std::result::Result<T, E>;

/// Reads the log below a data directory such as `/var/lib/etcd`. The member must not run.
pub fn raft_state(data_dir: &Path) -> Result<RaftState> {
    let dir = data_dir.join("member/wal");
    let mut names = vec![];
    for entry in fs::read_dir(&dir).map_err(io_error("list", &dir))? {
        let name = entry.map_err(io_error("list", &dir))?.file_name();
        // Others are made in advance, or were set aside as broken.
        names.extend(name.to_str().and_then(number).map(|number| (number, dir.join(&name))));
    }
    names.sort();
    let mut log = Log::default();
    let last = names.last().map(|(number, _)| *number).ok_or(LogError::Empty { dir })?;
    let first = names.first().map_or(0, |(number, _)| *number);
    for ((number, path), expected) in names.into_iter().zip(first..) {
        if number != expected {
            return Err(LogError::Gap { number: expected });
        }
        log.file(&path, number == last)?;
    }
    Ok(log.state)
}

/// The number of a file of the log: `number-index.wal`, each of 16 hexadecimal digits.
fn number(name: &str) -> Option<u64> {
    let (number, index) = name.strip_suffix(".wal")?.split_once('-')?;
    let hex = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    hex(index)?;
    hex(number)
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> LogError + 'a {
    move |source| LogError::Io { what, path: path.to_owned(), source }
}

#[derive(Default)]
struct Log {
    state: RaftState,
    crc: u32,
    /// Nothing was read yet: the first checksum continues files that etcd has removed.
    begun: bool,
}

/// A frame, or why there is none.
enum Frame {
    Record(Vec<u8>),
    End,
    /// The file ends, or goes on in zeros, within the frame.
    Torn,
}

impl Log {
    fn file(&mut self, path: &Path, last: bool) -> Result<()> {
        let file = File::open(path).map_err(io_error("open", path))?;
        let len = file.metadata().map_err(io_error("look at", path))?.len();
        let mut file = BufReader::with_capacity(256 << 10, file);
        let mut offset = 0;
        loop {
            let damage = |why| LogError::Damage { path: path.to_owned(), offset, why };
            let bytes = match frame(&mut file, len - offset).map_err(io_error("read", path))? {
                Ok(Frame::Record(bytes)) => bytes,
                Ok(Frame::End) => return Ok(()),
                Ok(Frame::Torn) if last => {
                    self.state.torn = true;
                    return Ok(());
                }
                Ok(Frame::Torn) => return Err(damage("it ends within a record")),
                Err(why) => return Err(damage(why)),
            };
            if let Err(why) = self.record(&bytes) {
                // The sectors of a write reach the disk in any order; one that did not is zeros.
                if last && has_empty_sector(&bytes, offset + 8) {
                    self.state.torn = true;
                    return Ok(());
                }
                return Err(damage(why));
            }
            offset += 8 + (bytes.len() as u64).next_multiple_of(8);
        }
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let record = WalRecord::decode(bytes).map_err(|_| "it is not a record of a log")?;
        let (kind, crc) = (record.kind.unwrap_or_default(), record.crc.unwrap_or_default());
        let data = record.data.unwrap_or_default();
        if kind == CRC {
            if self.begun && crc != self.crc {
                return Err("it does not continue the file before it");
            }
            (self.crc, self.begun) = (crc, true);
            return Ok(());
        }
        let sum = crc32c::crc32c_append(self.crc, &data);
        if sum != crc {
            return Err("the checksum is not that of the data");
        }
        self.crc = sum;
        self.content(kind, &data).map_err(|_| "the data is not what the record says")
    }

    fn content(&mut self, kind: i64, data: &[u8]) -> Result<(), prost::DecodeError> {
        let state = &mut self.state;
        match kind {
            METADATA => {
                let metadata = Metadata::decode(data)?;
                state.member_id = metadata.node.unwrap_or_default();
                state.cluster_id = metadata.cluster.unwrap_or_default();
            }
            ENTRY => {
                // A later entry with the same index replaces the earlier one, and all that followed it.
                let entry = Entry::decode(data)?;
                state.last_index = entry.index.unwrap_or_default();
                state.last_term = entry.term.unwrap_or_default();
            }
            STATE => {
                let hard = HardState::decode(data)?;
                state.term = hard.term.unwrap_or_default();
                state.vote = hard.vote.unwrap_or_default();
                state.commit = hard.commit.unwrap_or_default();
            }
            SNAPSHOT => {
                let snapshot = WalSnapshot::decode(data)?;
                let index = snapshot.index.unwrap_or_default();
                // One that came from the leader is ahead of all entries.
                if index > state.last_index {
                    (state.last_index, state.last_term) = (index, snapshot.term.unwrap_or_default());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Kinds of records.
pub(crate) const METADATA: i64 = 1;
pub(crate) const ENTRY: i64 = 2;
pub(crate) const STATE: i64 = 3;
pub(crate) const CRC: i64 = 4;
pub(crate) const SNAPSHOT: i64 = 5;

fn frame(file: &mut impl Read, left: u64) -> io::Result<Result<Frame, &'static str>> {
    if left < 8 {
        return Ok(Ok(Frame::End));
    }
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    let head = u64::from_le_bytes(head);
    if head == 0 {
        return Ok(Ok(Frame::End));
    }
    let len = head & ((1 << 56) - 1);
    let padding = if head >> 63 == 1 { head >> 56 & 7 } else { 0 };
    if len + padding > left - 8 {
        return Ok(Ok(Frame::Torn));
    }
    if len > MAX_RECORD || (len + padding) % 8 != 0 {
        return Ok(Err("the length cannot be that of a record"));
    }
    let mut bytes = vec![0; usize::try_from(len + padding).unwrap_or_default()];
    file.read_exact(&mut bytes)?;
    bytes.truncate(usize::try_from(len).unwrap_or_default());
    Ok(Ok(Frame::Record(bytes)))
}

/// Whether a sector, or the part of one that `bytes` cover, is nothing but zeros. `offset` is where they begin in the file.
fn has_empty_sector(bytes: &[u8], offset: u64) -> bool {
    let first = SECTOR - usize::try_from(offset % SECTOR as u64).unwrap_or_default();
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    let empty = |sector: &[u8]| !sector.is_empty() && sector.iter().all(|byte| *byte == 0);
    empty(head) || rest.chunks(SECTOR).any(empty)
}
