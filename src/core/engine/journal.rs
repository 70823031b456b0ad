//! The journal of an operation: one JSON line per record, written and synced before the act that it announces.
//!
//! `/var/lib/rkadm/operations/<ulid>.jsonl` (0600) holds the records; the folder `<ulid>/` beside it holds copies
//! of replaced files (`saved/`), secrets while the operation runs (`private/`) and evidence of failures.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

use super::{
    event::Outcome,
    operation::{IllegalTransition, Operation},
    store::make_private_dir,
    undo::{Saver, Undo},
};

/// Version of the record format.
pub const SCHEMA: u32 = 1;

/// One thing that the operation is about to do, did, or met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Record {
    /// The first record.
    Begun {
        /// [`SCHEMA`].
        schema: u32,
        /// Command, for example `init`.
        workflow: String,
        /// Phase ids in order.
        phases: Vec<String>,
        /// The command as typed, without values of secret flags.
        command: Vec<String>,
        /// The resolved configuration without secrets.
        config: Value,
        /// Digest of the resolved configuration.
        digest: String,
        /// Version of rkadm.
        rkadm: String,
    },
    /// A later process took the operation up again.
    Resumed {
        /// Version of rkadm.
        rkadm: String,
    },
    /// A phase was planned; its steps follow.
    PhaseStarted {
        /// Id.
        phase: String,
        /// The steps in words.
        steps: Vec<String>,
    },
    /// A phase ended well.
    PhaseEnded {
        /// Id.
        phase: String,
        /// How.
        outcome: Outcome,
        /// Why there was nothing to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A step will be carried out: this is how to take it back.
    StepStarted {
        /// Phase id.
        phase: String,
        /// Index within the phase.
        step: usize,
        /// One line for people.
        description: String,
        /// How it is taken back.
        undo: Undo,
    },
    /// A step was carried out.
    StepDone {
        /// Phase id.
        phase: String,
        /// Index within the phase.
        step: usize,
    },
    /// A value for later phases.
    Output {
        /// Name.
        name: String,
        /// Not secret.
        value: Value,
    },
    /// Earlier steps can no longer be taken back.
    CommitPoint {
        /// Why.
        why: String,
    },
    /// A phase failed.
    Failed {
        /// Id.
        phase: String,
        /// The error with its causes.
        message: String,
    },
    /// The operator asked to stop.
    Interrupted {
        /// `SIGINT` or `SIGTERM`.
        signal: String,
    },
    /// All phases ended well.
    Finished,
    /// Undo begins.
    RollbackStarted,
    /// The step announced by the record with this number was taken back.
    Undone {
        /// `seq` of its [`Record::StepStarted`].
        entry: u64,
    },
    /// A step could not be taken back.
    UndoFailed {
        /// `seq` of its [`Record::StepStarted`].
        entry: u64,
        /// Why.
        message: String,
        /// What an operator can do by hand.
        by_hand: Vec<String>,
    },
    /// A step that could not be taken back was left as it is, on the operator's word.
    UndoSkipped {
        /// `seq` of its [`Record::StepStarted`].
        entry: u64,
        /// Why it could not be taken back.
        message: String,
    },
    /// Everything back to the last commit point was taken back.
    RolledBack,
}

/// A record with its number and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 0, without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The record.
    #[serde(flatten)]
    pub record: Record,
}

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system said no.
    #[error("cannot read or write {path}: {source}", path = path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A line in the middle cannot be read.
    #[error("line {line} of journal {path} is damaged: {message}", path = path.display())]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A record that cannot follow the ones before.
    #[error("journal {path} is damaged: {source}", path = path.display())]
    Illegal {
        /// The journal.
        path: PathBuf,
        /// Which, after what.
        source: IllegalTransition,
    },
    /// No operation of that id.
    #[error("there is no operation {0}")]
    NotFound(String),
    /// Several operations begin with these letters.
    #[error("{matching} operations begin with {id}: which one is meant?")]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// How many fit.
        matching: usize,
    },
}

/// The folder that holds all journals of a machine.
#[derive(Debug, Clone)]
pub struct JournalDir(PathBuf);

impl JournalDir {
    /// Where journals live below a file system root (`/` on a real machine).
    pub fn below(root: &Path) -> Self {
        Self(root.join("var/lib/rkadm/operations"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the copies of what an operation replaced are.
    pub fn saved(&self, id: &str) -> PathBuf {
        self.path().join(id).join("saved")
    }

    /// Where the secrets of an operation are.
    pub fn private(&self, id: &str) -> PathBuf {
        self.0.join(id).join("private")
    }

    /// Ids of all operations, oldest first.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let mut ids = vec![];
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                ids.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Reads one operation. `id` may be a unique beginning of an id.
    pub fn load(&self, id: &str) -> Result<Operation, JournalError> {
        let ids = self.ids().map_err(|source| JournalError::Io { path: self.0.clone(), source })?;
        let matching: Vec<_> = ids.iter().filter(|known| known.starts_with(&id.to_uppercase())).collect();
        let id = match matching.as_slice() {
            [] => return Err(JournalError::NotFound(id.to_owned())),
            [one] => one,
            several => {
                return Err(JournalError::Ambiguous { id: id.to_owned(), matching: several.len() });
            }
        };
        let path = self.file(id);
        let (operation, _) = read(&path, id)?;
        Ok(operation)
    }

    /// The newest operation that has not come to its end.
    pub fn unfinished(&self) -> Result<Option<Operation>, JournalError> {
        Ok(self.load_all()?.into_iter().rev().find(|operation| !operation.status.is_settled()))
    }

    /// Reads every operation that can be read, oldest first; a journal whose first record never reached the disk
    /// stands for an operation that did nothing, and is left out.
    pub fn load_all(&self) -> Result<Vec<Operation>, JournalError> {
        let ids = self.ids().map_err(|source| JournalError::Io { path: self.0.clone(), source })?;
        let operations = ids.iter().map(|id| read(&self.file(id), id).map(|(operation, _)| operation));
        operations.filter(|result| !matches!(result, Ok(operation) if operation.entries.is_empty())).collect()
    }

    /// Later than all that are there: their order is that of the operations, also on a machine whose clock was set back.
    fn next_id(&self) -> Ulid {
        let new = Ulid::generate();
        let ids = self.ids().unwrap_or_default();
        let last = ids.iter().rev().find_map(|id| id.parse::<Ulid>().ok());
        last.filter(|last| *last >= new).and_then(|last| last.increment().ok()).unwrap_or(new)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.jsonl"))
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// What the records so far add up to.
    pub operation: Operation,
    saved: AtomicUsize,
}

impl Journal {
    /// Starts a new operation.
    pub fn create(dir: &JournalDir, begun: Record) -> Result<Self, JournalError> {
        let id = dir.next_id().to_string();
        let path = dir.file(&id);
        let fail = |source| JournalError::Io { path: path.clone(), source };
        make_private_dir(dir.path()).map_err(fail)?;
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path).map_err(fail)?;
        File::open(dir.path()).and_then(|dir| dir.sync_all()).map_err(fail)?;
        let mut journal = Self { file, path, operation: Operation::empty(id), saved: AtomicUsize::new(0) };
        journal.append(begun)?;
        Ok(journal)
    }

    /// Opens an operation to go on with it. A last line that a power loss cut is dropped.
    pub fn open(dir: &JournalDir, id: &str) -> Result<Self, JournalError> {
        let path = dir.file(id);
        let (operation, length) = read(&path, id)?;
        let fail = |source| JournalError::Io { path: path.clone(), source };
        let file = OpenOptions::new().append(true).open(&path).map_err(fail)?;
        file.set_len(length).map_err(fail)?;
        let saved = match fs::read_dir(dir.path().join(id).join("saved")) {
            Ok(entries) => entries.count(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(fail(source)),
        };
        Ok(Self { file, path, operation, saved: AtomicUsize::new(saved) })
    }

    /// All of a line, or nothing of it.
    fn write(&mut self, line: &[u8], durable: bool) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let written =
            self.file.write_all(line).and_then(|()| if durable { self.file.sync_data() } else { Ok(()) });
        written.inspect_err(|_| {
            let _ = self.file.set_len(length);
        })
    }

    /// Writes a record and returns when it is on the disk. Returns its number.
    pub fn append(&mut self, record: Record) -> Result<u64, JournalError> {
        let durable = record.must_be_durable();
        let entry = Entry { seq: self.operation.entries.len() as u64, at: Timestamp::now(), record };
        let seq = entry.seq;
        let mut line = serde_json::to_vec(&entry)
            .map_err(|error| JournalError::Io { path: self.path.clone(), source: error.into() })?;
        line.push(b'\n');
        let before = self.operation.status;
        self.operation
            .accept(entry)
            .map_err(|source| JournalError::Illegal { path: self.path.clone(), source })?;
        if let Err(source) = self.write(&line, durable) {
            // What is not on the disk has not happened.
            self.operation.entries.pop();
            self.operation.status = before;
            return Err(JournalError::Io { path: self.path.clone(), source });
        }
        Ok(seq)
    }

    /// The folder for this operation's copies, secrets and evidence.
    pub fn folder(&self) -> PathBuf {
        self.path.with_extension("")
    }
}

impl Record {
    /// Receipts need not reach the disk by themselves: the next intent takes them along, and a lost receipt only
    /// means that a step is planned again.
    fn must_be_durable(&self) -> bool {
        match self {
            Self::StepDone { .. }
            | Self::PhaseEnded { .. }
            | Self::PhaseStarted { .. }
            | Self::Undone { .. } => false,
            Self::StepStarted { undo, .. } => *undo != Undo::Nothing,
            _ => true,
        }
    }
}

impl Saver for Journal {
    fn save(&self, bytes: &[u8]) -> io::Result<String> {
        let dir = self.folder().join("saved");
        make_private_dir(&dir)?;
        let path = dir.join(self.saved.fetch_add(1, Ordering::Relaxed).to_string());
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        File::open(&dir)?.sync_all()?;
        Ok(path.display().to_string())
    }

    fn saved(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(name)
    }
}

/// A newer version may mean other things by the same words.
fn refuse_newer(entry: &Entry, path: &Path) -> Result<(), JournalError> {
    match &entry.record {
        Record::Begun { schema, rkadm, .. } if *schema > SCHEMA => Err(JournalError::Corrupt {
            path: path.to_owned(),
            line: 1,
            message: format!("written by rkadm {rkadm}, which is newer"),
        }),
        _ => Ok(()),
    }
}

/// Reads a journal, and how many of its bytes are whole records.
fn read(path: &Path, id: &str) -> Result<(Operation, u64), JournalError> {
    let bytes = fs::read(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    let mut operation = Operation::empty(id.to_owned());
    let mut length = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let parsed = serde_json::from_slice::<Entry>(line);
        let last = length + line.len() == bytes.len();
        match parsed {
            Ok(entry) if line.ends_with(b"\n") => {
                refuse_newer(&entry, path)?;
                operation
                    .accept(entry)
                    .map_err(|source| JournalError::Illegal { path: path.to_owned(), source })?;
                length += line.len();
            }
            // The write was cut off: the act it announced never began.
            _ if last && !line.ends_with(b"\n") => break,
            Ok(_) => break,
            Err(error) => {
                let message = error.to_string();
                // serde_json counts lines within the one line that it is given.
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                return Err(JournalError::Corrupt { path: path.to_owned(), line: index + 1, message });
            }
        }
    }
    Ok((operation, length as u64))
}
