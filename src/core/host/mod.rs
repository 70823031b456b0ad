//! The only door to a machine: [`Probe`] reads, [`Actuator`] acts.
//!
//! [`local`] is the real machine, [`overlay`] a dry run over any other host, [`fake`] a machine in memory for tests.
//! Phases only ever hold a `Probe`, so a phase cannot change anything, by construction.

mod error;
pub mod fake;
pub mod images;
pub mod local;
pub mod overlay;
mod types;

pub use error::HostError;
pub use local::LocalHost;
pub use types::{
    ApiAccess, CommandOutput, ContainerState, FileKind, FileStat, Health, HealthTarget, Sandbox,
    ServiceState, ServiceVerb, Space, Trust,
};

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    archive::Removal,
    backup::{
        remains::Remains,
        trial::{Rebase, Trial},
    },
    config::types::UnmountFlag,
    etcd::{EtcdAccess, Member, MemberStatus, types::HashKv},
    kube::{Keep, ObjectRef, Selector, census::Census, storage::Objects},
};

/// Reads of a machine and of what it can reach. Nothing here changes anything.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Kind and mode, `None` where nothing is. Links are not followed.
    async fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError>;
    /// Whole content of a file, `None` where nothing is.
    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError>;
    /// Names in a directory, sorted; empty where nothing is.
    async fn list(&self, dir: &Path) -> Result<Vec<String>, HostError>;
    /// What is mounted below a directory, in the order of the mounts.
    async fn mounts_below(&self, dir: &Path) -> Result<Vec<PathBuf>, HostError>;
    /// Runs a command that only reads.
    async fn query(&self, argv: &[&str]) -> Result<CommandOutput, HostError>;
    /// Where a program is found on the host's PATH.
    async fn find_program(&self, name: &str) -> Option<PathBuf>;
    /// What the service manager says of a unit.
    async fn service(&self, unit: &str) -> Result<ServiceState, HostError>;
    /// Whether something listens there, or the address cannot be bound.
    async fn port_in_use(&self, address: SocketAddr) -> bool;
    /// This machine's host name.
    async fn hostname(&self) -> String;
    /// The address that the default route would use as source, or the first global one.
    async fn default_address(&self, ipv6: bool) -> Option<IpAddr>;
    /// Effective user id of this process.
    fn uid(&self) -> u32;
    /// Bytes on the disk of what a removal would take, without what is mounted there or left out.
    async fn tree_size(&self, removal: &Removal, leave_out: &[PathBuf]) -> Result<u64, HostError>;
    /// Room on the file system of a path, or of the nearest directory above it that exists.
    async fn space(&self, path: &Path) -> Option<Space>;
    /// How long writing a few kilobytes durably takes near this path: of tries during `budget`, the time that 99 of 100
    /// stay below. Leaves nothing behind. `None` where it cannot be measured.
    async fn sync_latency(&self, path: &Path, budget: Duration) -> Option<Duration>;
    /// A live API object, `None` where it is absent.
    async fn object(&self, access: &ApiAccess, target: &ObjectRef) -> Result<Option<Value>, HostError>;
    /// All live objects of a kind, of every namespace.
    async fn objects(&self, access: &ApiAccess, kind: &str) -> Result<Vec<Value>, HostError> {
        self.gather(access, kind, None, &Selector::default(), &Some).await
    }
    /// What `keep` says is to be kept of the live objects of a kind that a selector matches, in one namespace or, with `None`, in all.
    /// They are asked for page by page, and what is not kept is never held.
    async fn gather(
        &self,
        access: &ApiAccess,
        kind: &str,
        namespace: Option<&str>,
        selector: &Selector,
        keep: Keep<'_>,
    ) -> Result<Vec<Value>, HostError>;
    /// These columns of what `kubectl get` shows of all objects of a kind: much less than the objects, where they are many. `None` where
    /// there is no such thing.
    async fn table(
        &self,
        _access: &ApiAccess,
        _kind: &str,
        _columns: &[&str],
    ) -> Result<Option<Vec<Vec<String>>>, HostError> {
        Ok(None)
    }
    /// How many live objects there are of each kind, and where there are others than `before`.
    async fn census(&self, access: &ApiAccess, before: Option<&Objects>) -> Result<Census, HostError>;
    /// The live objects of a kind, in one namespace, that a label selector matches.
    async fn select(
        &self,
        access: &ApiAccess,
        kind: &str,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, HostError> {
        let selector = Selector { labels: labels.to_owned(), ..Selector::default() };
        self.gather(access, kind, Some(namespace), &selector, &Some).await
    }
    /// The pods on a node, of every namespace.
    async fn pods_on(&self, access: &ApiAccess, node: &str) -> Result<Vec<Value>, HostError>;
    /// Asks a health endpoint once, with a short timeout. `Err` holds why it could not be reached.
    async fn health(&self, target: &HealthTarget) -> Result<Health, String>;
    /// Asks the API server once on a path such as `/readyz`. `Err` holds why it could not be reached.
    async fn api_health(&self, access: &ApiAccess, path: &str) -> Result<Health, String>;
    /// The lines of one of the API server's metrics.
    async fn api_metric(&self, access: &ApiAccess, name: &str) -> Result<Vec<String>, HostError>;
    /// The container runtime's name and version.
    async fn runtime_version(&self, socket: &str) -> Result<String, HostError>;
    /// Why the container runtime cannot start containers, in its own words; `None` when it can.
    async fn runtime_trouble(&self, _socket: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }
    /// The image that the container runtime starts every pod with; `None` where it cannot tell.
    async fn sandbox_image(&self, _socket: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }
    /// The cgroup driver that the container runtime uses, `systemd` or `cgroupfs`; `None` where it cannot tell
    /// (containerd before 2.0).
    async fn cgroup_driver(&self, socket: &str) -> Result<Option<&'static str>, HostError>;
    /// Whether the container runtime holds an image.
    async fn image_present(&self, socket: &str, image: &str) -> Result<bool, HostError>;
    /// The pod sandboxes that the container runtime knows.
    async fn sandboxes(&self, socket: &str) -> Result<Vec<Sandbox>, HostError>;
    /// The containers of one namespace's pods, newest attempt of each name.
    async fn containers(&self, socket: &str, namespace: &str) -> Result<Vec<ContainerState>, HostError>;
    /// The members of an etcd cluster, as its quorum knows them.
    async fn etcd_members(&self, access: &EtcdAccess) -> Result<Vec<Member>, HostError>;
    /// What the etcd member at one of the endpoints says of itself.
    async fn etcd_status(&self, access: &EtcdAccess, endpoint: &str) -> Result<MemberStatus, HostError>;
    /// The hash of all keys of the etcd member at one of the endpoints, at a revision; 0 for its newest.
    async fn etcd_hash_kv(
        &self,
        access: &EtcdAccess,
        endpoint: &str,
        revision: i64,
    ) -> Result<HashKv, HostError>;
    /// The members, and the newest revision, as the data directory of an etcd has them, for one that does not answer.
    async fn etcd_stored(&self, data_dir: &Path) -> Result<(Vec<Member>, i64), HostError>;
    /// What is left in the data directory of a member whose cluster has no quorum.
    async fn etcd_remains(&self, data_dir: &Path) -> Result<Remains, HostError>;
}

/// Changes to a machine. Only the engine holds one.
#[async_trait]
pub trait Actuator: Probe {
    /// The same host, for reading only.
    fn probe(&self) -> &dyn Probe;
    /// Lets time pass on the host: for what only time can change.
    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
    /// Makes one directory (its parent exists) with these permission bits.
    async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError>;
    /// Replaces a file atomically and durably: temporary name beside it, mode, fsync, rename, fsync of the directory.
    async fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError>;
    /// Removes what an interrupted write of this path may have left beside it.
    async fn discard_partial(&self, path: &Path) -> Result<(), HostError>;
    /// Sets permission bits.
    async fn set_mode(&self, path: &Path, mode: u32) -> Result<(), HostError>;
    /// Removes a file; nothing there is fine.
    async fn remove_file(&self, path: &Path) -> Result<(), HostError>;
    /// Gives a file or directory another name on the same file system, durably. The new name must be free.
    async fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError>;
    /// Backs up this machine's etcd into a directory of the machine, and proves the backup. Gives the archive.
    async fn backup_etcd(&self, dir: &Path) -> Result<PathBuf, HostError>;
    /// Deletes the keys of etcd that begin with `prefix`, but one.
    async fn etcd_delete_beside(
        &self,
        access: &EtcdAccess,
        prefix: &str,
        kept: &str,
    ) -> Result<(), HostError>;
    /// Begins the formal way of an etcd cluster back to the minor before, `3.6`.
    async fn etcd_downgrade(&self, access: &EtcdAccess, minor: &str) -> Result<(), HostError>;
    /// Ends it.
    async fn etcd_end_downgrade(&self, access: &EtcdAccess) -> Result<(), HostError>;
    /// Makes a data directory of etcd from a backup, in place of what an earlier try left, and verifies it.
    async fn restore_etcd(&self, trial: &Trial) -> Result<(), HostError>;
    /// Makes a data directory of old data that is newer than all that was served meanwhile. False where there is no need, or
    /// no way.
    async fn rebase_etcd(&self, rebase: &Rebase) -> Result<bool, HostError>;
    /// Removes a directory that is empty; one that is not stays, and nothing there is fine.
    async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError>;
    /// Removes a directory with all it holds, never crossing into another file system; nothing there is fine.
    async fn remove_tree(&self, path: &Path) -> Result<(), HostError>;
    /// Unmounts what is mounted at the path.
    async fn unmount(&self, path: &Path) -> Result<(), HostError>;
    /// The same with flags of umount2(2).
    async fn unmount_with(&self, path: &Path, flags: &[UnmountFlag]) -> Result<(), HostError>;
    /// Writes an archive (mode 0600) of what the removals would take, atomically, and reads it back.
    async fn archive(&self, archive: &Path, what: &[Removal], leave_out: &[PathBuf])
    -> Result<(), HostError>;
    /// Removes an archive, and what an interrupted write of it left; nothing there is fine.
    async fn remove_archive(&self, archive: &Path) -> Result<(), HostError>;
    /// Removes all of it unit by unit, in this order, never crossing into another file system; nothing there is fine.
    async fn remove_units(&self, what: &[Removal]) -> Result<(), HostError>;
    /// Brings back every unit of the removals that the archive holds and the machine does not.
    async fn unpack(&self, archive: &Path, what: &[Removal]) -> Result<(), HostError>;
    /// Starts, restarts or stops a unit, and returns when the service manager says that it is so.
    async fn control_service(&self, unit: &str, verb: ServiceVerb) -> Result<(), HostError>;
    /// Runs a command; a code other than 0 is an error.
    async fn run(&self, argv: &[String]) -> Result<(), HostError>;
    /// The same with this text on its standard input.
    async fn feed(&self, argv: &[String], input: &str) -> Result<(), HostError>;
    /// Server-side apply with field manager `rkadm`.
    async fn apply(&self, access: &ApiAccess, object: &Value) -> Result<(), HostError>;
    /// JSON merge patch.
    async fn patch(&self, access: &ApiAccess, target: &ObjectRef, patch: &Value) -> Result<(), HostError>;
    /// Strategic merge patch of a built-in object's status.
    async fn patch_status(
        &self,
        access: &ApiAccess,
        target: &ObjectRef,
        patch: &Value,
    ) -> Result<(), HostError>;
    /// Deletes an object; nothing there is fine.
    async fn delete(&self, access: &ApiAccess, target: &ObjectRef) -> Result<(), HostError>;
    /// Asks for the eviction of a pod, once. `Err` of [`KubeError::Throttled`] while a budget forbids it.
    async fn evict(&self, access: &ApiAccess, namespace: &str, name: &str) -> Result<(), HostError>;
    /// Pulls an image.
    async fn pull_image(&self, socket: &str, image: &str) -> Result<(), HostError>;
    /// Stops and removes a pod sandbox with its containers.
    async fn remove_sandbox(&self, socket: &str, id: &str) -> Result<(), HostError>;
    /// Asks a container to end, and ends it after the grace time. The kubelet starts it again.
    async fn stop_container(&self, socket: &str, id: &str, grace: Duration) -> Result<(), HostError>;
    /// Adds an etcd member without a vote, at this peer URL.
    async fn etcd_add_learner(&self, access: &EtcdAccess, peer_url: &str) -> Result<Member, HostError>;
    /// Gives an etcd learner its vote.
    async fn etcd_promote(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError>;
    /// Removes an etcd member; nothing there is fine.
    async fn etcd_remove(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError>;
}
