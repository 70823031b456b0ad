//! Outside: the data directory, the programs, and what the API server needs.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::Pod;

use super::{DrillError, Expected, Order, Request, api, cell::PEER_URL};
use crate::{
    backup::{
        BackupError,
        crypt::Identities,
        open::{self, Opened},
        read,
        source::StaticPods,
        take,
    },
    etcd::snapshot::{self, History, NewMember, RestoreOptions},
    manifest::pod,
};

/// Programs, logs, and what etcd writes at its start.
const REST: u64 = 512 << 20;

/// Makes everything in `dir`. Blocks.
pub fn prepare(request: &Request, dir: &Path) -> Result<Order, DrillError> {
    let identities = Identities::read(&request.identities)?;
    room(&request.file, &identities, dir)?;
    let pods = StaticPods::read(&request.root)?;
    // First what costs nothing to find missing.
    let etcd = program(request, "etcd", request.etcd.as_deref(), &pods, dir)?;
    let api_server = match &request.api_server {
        Some(named) => Some(program(request, "kube-apiserver", named.as_deref(), &pods, dir)?),
        None => None,
    };
    let opened = open::open(&request.file, &identities, dir)?;
    let report = &opened.snapshot.report;
    let expected =
        Expected { revision: report.revision, hash_kv: report.hash_kv.hash, keys: report.records.keys };
    restore(&opened, dir)?;
    if opened.manifest.is_some() {
        fs::remove_file(&opened.path).map_err(DrillError::io("remove", &opened.path))?;
    }
    let api_server = api_server.map(|program| api::prepare(program, &opened, dir)).transpose()?;
    let storage_version = report.contents.storage_version.clone();
    Ok(Order { dir: dir.to_owned(), etcd, expected, storage_version, api_server })
}

/// With its history as it is, so that etcd's hash of it is that of the backup.
fn restore(opened: &Opened, dir: &Path) -> Result<(), DrillError> {
    let member = NewMember { name: "drill".into(), peer_urls: vec![PEER_URL.into()] };
    let options = RestoreOptions {
        history: History::Keep,
        token: "rkadm-drill".into(),
        ..RestoreOptions::new("drill", vec![member])
    };
    let target = dir.join("etcd-data");
    snapshot::restore(&opened.snapshot, &target, &options).map_err(BackupError::from)?;
    Ok(())
}

fn room(file: &Path, identities: &Identities, dir: &Path) -> Result<(), DrillError> {
    let opened = fs::File::open(file).map_err(DrillError::io("read", file))?;
    let meta = opened.metadata().map_err(DrillError::io("read", file))?;
    let size = if read::is_plain_snapshot(file) {
        meta.len()
    } else {
        // Once unpacked, once restored.
        read::manifest(file, opened, identities)?.snapshot.size * 2
    };
    Ok(take::room(dir, size + REST)?)
}

/// A copy of the program that was named, or that the static pod runs: the pod may get another one meanwhile.
fn program(
    request: &Request,
    name: &'static str,
    named: Option<&Path>,
    pods: &StaticPods,
    dir: &Path,
) -> Result<PathBuf, DrillError> {
    let from = match named {
        Some(path) => path.to_owned(),
        // Another machine's processes are not here.
        None if request.root != Path::new("/") => return Err(DrillError::NoProgram { name }),
        None => pods.component(name).and_then(running).ok_or(DrillError::NoProgram { name })?.join("exe"),
    };
    let to = dir.join(name);
    fs::copy(&from, &to).map_err(DrillError::io("copy", &from))?;
    fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).map_err(DrillError::io("write", &to))?;
    Ok(to)
}

/// The process, below `/proc`, that has the command line of a static pod.
fn running(pod: &Pod) -> Option<PathBuf> {
    let container = pod::container(pod)?;
    let words: Vec<_> = container.command.iter().flatten().chain(container.args.iter().flatten()).collect();
    let same = |dir: &Path| {
        let line = fs::read(dir.join("cmdline")).unwrap_or_default();
        let found: Vec<_> = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
        !found.is_empty()
            && found.iter().eq(words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().iter())
    };
    let entries = fs::read_dir("/proc").ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).find(|dir| same(dir))
}
