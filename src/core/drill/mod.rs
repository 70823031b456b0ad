//! Drills: a backup is restored for real, and the real etcd, and on request the real API server, are started on it.
//!
//! They run in a network and a process namespace of their own (`unshare` of util-linux): nothing reaches them, they reach
//! nothing, and when the drill ends, however it ends, they end. Inside runs rkadm itself ([`cell`]), which starts and asks
//! them. The programs are those that this machine's static pods run at this moment, read through `/proc`, or such as the
//! caller names. The runtime is not asked to run them: the kubelet ends every pod that it does not know within seconds.
//!
//! - `prepare`: outside: makes the data directory, finds the programs, writes what the API server needs.
//! - [`cell`]: inside, starts and asks them.
//! - [`mod@record`]: what came of it, in a file beside the backup.

mod api;
pub mod cell;
mod error;
mod fault;
mod prepare;
mod program;
pub mod record;

use std::{
    ffi::OsString,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::backup::scratch::Scratch;

pub use error::DrillError;
pub use record::Record;

use cell::Answer;
use fault::Fault;

/// How long what is inside may take to end once it is told to.
const END: Duration = Duration::from_secs(10);

/// What to try, and with what.
#[derive(Debug, Clone)]
pub struct Request {
    /// File system root of the machine.
    pub root: PathBuf,
    /// The backup: an archive, or a plain snapshot.
    pub file: PathBuf,
    /// Files with private keys that open it.
    pub identities: Vec<PathBuf>,
    /// A directory with room for the snapshot, twice for one in an archive.
    pub scratch: PathBuf,
    /// The etcd to start; `None`: the one that this machine runs.
    pub etcd: Option<PathBuf>,
    /// Whether to start an API server too, and which; `None`: the one that this machine runs.
    pub api_server: Option<Option<PathBuf>>,
    /// The command that runs [`cell::run`].
    pub cell: Vec<OsString>,
}

/// What the cell is told.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Where everything is.
    pub dir: PathBuf,
    /// The program of etcd.
    pub etcd: PathBuf,
    /// What etcd must have.
    pub expected: Expected,
    /// The version of its data; etcd 3.5 writes none.
    #[serde(default)]
    pub storage_version: Option<String>,
    /// The API server to start.
    pub api_server: Option<ApiOrder>,
}

/// What the snapshot has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// Revision.
    pub revision: i64,
    /// etcd's own hash of all keys at that revision.
    pub hash_kv: u32,
    /// Keys at that revision.
    pub keys: u64,
}

/// An API server to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiOrder {
    /// Its program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// An administrator's way in.
    pub kubeconfig: PathBuf,
    /// Where Kubernetes keeps its keys in etcd.
    pub prefix: String,
}

/// What was found inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Version of the etcd that was started.
    pub etcd_version: String,
    /// From its start until it answered.
    pub etcd_ms: u64,
    /// Its revision.
    pub revision: i64,
    /// Its hash of all keys at that revision, hexadecimal.
    pub hash_kv: String,
    /// Its keys.
    pub keys: u64,
    /// The API server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ApiFindings>,
}

/// What the API server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiFindings {
    /// Its version.
    pub version: String,
    /// From its start until it was ready.
    pub ready_ms: u64,
    /// Namespaces that it lists.
    pub namespaces: usize,
    /// Secrets that it lists: it could decrypt them.
    pub secrets: usize,
}

/// Does it. Everything but the record is gone afterwards; what a killed drill left goes first.
///
/// # Errors
/// The backup cannot be used, which is what a drill is for, or the drill cannot be made.
pub async fn run(request: &Request, stop: impl Future<Output = ()>) -> Result<Record, DrillError> {
    let (began, at) = (Instant::now(), Timestamp::now());
    let scratch = Scratch::make(&request.scratch)?;
    let (wanted, dir) = (request.clone(), scratch.path().to_owned());
    let prepared = tokio::task::spawn_blocking(move || prepare::prepare(&wanted, &dir)).await;
    let order = prepared.map_err(|error| DrillError::Isolation(error.to_string()))??;
    let findings = isolated(&request.cell, &order, stop).await?;
    Ok(Record {
        schema: record::SCHEMA,
        at,
        elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        findings: Some(findings),
        error: None,
    })
}

/// Runs the cell in namespaces of its own. It ends when its standard input does, so it ends with this process.
async fn isolated(
    cell: &[OsString],
    order: &Order,
    stop: impl Future<Output = ()>,
) -> Result<Findings, DrillError> {
    let spawned = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--"])
        .args(cell)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| DrillError::Isolation(format!("unshare: {error}")))?;
    let mut stdin = child.stdin.take();
    let mut line = serde_json::to_vec(order).map_err(|error| DrillError::Isolation(error.to_string()))?;
    line.push(b'\n');
    if let Some(stdin) = &mut stdin {
        // One that ends before it has read everything says why on its own.
        let _ = stdin.write_all(&line).await;
    }
    let mut output = std::pin::pin!(child.wait_with_output());
    let output = tokio::select! {
        output = &mut output => output.map_err(|error| DrillError::Isolation(error.to_string()))?,
        () = stop => {
            drop(stdin);
            let _ = tokio::time::timeout(END, output).await;
            return Err(DrillError::Stopped);
        }
    };
    match serde_json::from_slice::<Answer>(&output.stdout) {
        Ok(Answer::Works(findings)) => Ok(findings),
        Ok(Answer::Fails(Fault::Backup(why))) => Err(DrillError::Failed(why)),
        Ok(Answer::Fails(Fault::Machine(why))) => Err(DrillError::Inconclusive(why)),
        Ok(Answer::Fails(Fault::Namespace(why))) => Err(DrillError::Isolation(why)),
        Err(_) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.trim().lines().last().unwrap_or("it ended without an answer");
            Err(DrillError::Isolation(last.to_owned()))
        }
    }
}
