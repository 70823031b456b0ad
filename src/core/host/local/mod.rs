//! The real machine, below a file system root (`/`, or a scratch directory).

mod api;
mod etcd;
mod files;
mod system;
mod trees;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    Actuator, ApiAccess, CommandOutput, ContainerState, FileStat, Health, HealthTarget, HostError, Probe,
    Sandbox, ServiceState, ServiceVerb, Space,
};
use crate::{
    archive::Removal,
    backup::{
        remains::{self, Remains},
        trial::{self, Rebase, Trial},
    },
    config::types::UnmountFlag,
    cri,
    cri::CriClient,
    etcd::{EtcdAccess, EtcdClient, Member, MemberStatus, types::HashKv},
    kube::{Keep, KubeClient, ObjectRef, Selector, census::Census, storage::Objects},
};

/// This machine.
pub struct LocalHost {
    root: PathBuf,
    api_timeout: Duration,
    /// API clients by access and kubeconfig content: a renewed kubeconfig gets a new client.
    clients: Mutex<HashMap<(ApiAccess, String), Arc<KubeClient>>>,
    runtimes: Mutex<HashMap<String, Arc<CriClient>>>,
    /// By access and digest of its files: renewed certificates get a new client.
    etcds: Mutex<HashMap<(EtcdAccess, String), EtcdClient>>,
}

impl LocalHost {
    /// The machine whose files, programs and sockets are below `root`. Its network, host name and processes are those of
    /// the running kernel. `api_timeout` bounds one API call with its retries.
    pub fn new(root: impl Into<PathBuf>, api_timeout: Duration) -> Self {
        Self {
            root: root.into(),
            api_timeout,
            clients: Mutex::default(),
            runtimes: Mutex::default(),
            etcds: Mutex::default(),
        }
    }

    /// Where a path of the machine really is.
    fn real(&self, path: &Path) -> PathBuf {
        below(&self.root, path)
    }
}

/// A path of the machine whose file system is at `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new("/") { path.to_owned() } else { root.join(path.strip_prefix("/").unwrap_or(path)) }
}

#[async_trait]
impl Probe for LocalHost {
    async fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError> {
        files::stat(&self.real(path))
    }

    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        files::read(&self.real(path))
    }

    async fn list(&self, dir: &Path) -> Result<Vec<String>, HostError> {
        files::list(&self.real(dir))
    }

    async fn mounts_below(&self, dir: &Path) -> Result<Vec<PathBuf>, HostError> {
        files::mounts_below(&self.real(dir))
    }

    async fn query(&self, argv: &[&str]) -> Result<CommandOutput, HostError> {
        system::output(&self.root, argv).await
    }

    async fn find_program(&self, name: &str) -> Option<PathBuf> {
        system::find_program(&self.root, name)
    }

    async fn service(&self, unit: &str) -> Result<ServiceState, HostError> {
        system::service(&self.root, unit).await
    }

    async fn port_in_use(&self, address: SocketAddr) -> bool {
        std::net::TcpListener::bind(address).is_err()
    }

    async fn hostname(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    async fn default_address(&self, ipv6: bool) -> Option<IpAddr> {
        system::default_address(ipv6)
    }

    fn uid(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    async fn tree_size(&self, removal: &Removal, leave_out: &[PathBuf]) -> Result<u64, HostError> {
        trees::size(&self.root, removal, leave_out).await
    }

    async fn space(&self, path: &Path) -> Option<Space> {
        files::space(&self.real(path))
    }

    async fn sync_latency(&self, path: &Path, budget: Duration) -> Option<Duration> {
        let path = self.real(path);
        tokio::task::spawn_blocking(move || files::sync_latency(&path, budget)).await.ok().flatten()
    }

    async fn object(&self, access: &ApiAccess, target: &ObjectRef) -> Result<Option<Value>, HostError> {
        Ok(self.client(access).await?.get(target).await?)
    }

    async fn gather(
        &self,
        access: &ApiAccess,
        kind: &str,
        namespace: Option<&str>,
        selector: &Selector,
        keep: Keep<'_>,
    ) -> Result<Vec<Value>, HostError> {
        Ok(self.client(access).await?.gather(kind, namespace, selector, keep).await?)
    }

    async fn table(
        &self,
        access: &ApiAccess,
        kind: &str,
        columns: &[&str],
    ) -> Result<Option<Vec<Vec<String>>>, HostError> {
        Ok(self.client(access).await?.table(kind, columns).await?)
    }

    async fn census(&self, access: &ApiAccess, before: Option<&Objects>) -> Result<Census, HostError> {
        Ok(self.client(access).await?.census(before).await?)
    }

    async fn health(&self, target: &HealthTarget) -> Result<Health, String> {
        self.ask_health(target).await
    }

    async fn api_health(&self, access: &ApiAccess, path: &str) -> Result<Health, String> {
        self.ask_api_health(access, path).await
    }

    async fn pods_on(&self, access: &ApiAccess, node: &str) -> Result<Vec<Value>, HostError> {
        let selector = Selector { fields: format!("spec.nodeName={node}"), ..Selector::default() };
        Ok(self.client(access).await?.list_selected("Pod", None, &selector).await?)
    }

    async fn api_metric(&self, access: &ApiAccess, name: &str) -> Result<Vec<String>, HostError> {
        let (_, text) = self.client(access).await?.raw_get("/metrics").await?;
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        Ok(text.lines().filter(of_it).map(str::to_owned).collect())
    }

    async fn runtime_version(&self, socket: &str) -> Result<String, HostError> {
        let version = self.runtime(socket).await?.version().await?;
        Ok(format!("{} {}", version.runtime_name, version.runtime_version))
    }

    async fn runtime_trouble(&self, socket: &str) -> Result<Option<String>, HostError> {
        Ok(cri::trouble(&self.runtime(socket).await?.ready().await?))
    }

    async fn sandbox_image(&self, socket: &str) -> Result<Option<String>, HostError> {
        Ok(self.runtime(socket).await?.sandbox_image().await?)
    }

    async fn cgroup_driver(&self, socket: &str) -> Result<Option<&'static str>, HostError> {
        let driver = self.runtime(socket).await?.cgroup_driver().await?;
        Ok(driver.map(|driver| match driver {
            cri::CgroupDriver::Systemd => "systemd",
            cri::CgroupDriver::Cgroupfs => "cgroupfs",
        }))
    }

    async fn image_present(&self, socket: &str, image: &str) -> Result<bool, HostError> {
        Ok(self.runtime(socket).await?.image_present(image).await?)
    }

    async fn sandboxes(&self, socket: &str) -> Result<Vec<Sandbox>, HostError> {
        self.list_sandboxes(socket).await
    }

    async fn containers(&self, socket: &str, namespace: &str) -> Result<Vec<ContainerState>, HostError> {
        self.list_containers(socket, namespace).await
    }

    async fn etcd_members(&self, access: &EtcdAccess) -> Result<Vec<Member>, HostError> {
        Ok(self.etcd(access).await?.members().await?)
    }

    async fn etcd_status(&self, access: &EtcdAccess, endpoint: &str) -> Result<MemberStatus, HostError> {
        Ok(self.etcd(access).await?.status(endpoint).await?)
    }

    async fn etcd_hash_kv(
        &self,
        access: &EtcdAccess,
        endpoint: &str,
        revision: i64,
    ) -> Result<HashKv, HostError> {
        Ok(self.etcd(access).await?.hash_kv(endpoint, revision).await?)
    }

    async fn etcd_stored(&self, data_dir: &Path) -> Result<(Vec<Member>, i64), HostError> {
        let dir = self.real(data_dir);
        etcd::blocking(move || trial::stored(&dir)).await
    }

    async fn etcd_remains(&self, data_dir: &Path) -> Result<Remains, HostError> {
        let dir = self.real(data_dir);
        etcd::blocking(move || remains::remains(&dir)).await
    }
}

#[async_trait]
impl Actuator for LocalHost {
    fn probe(&self) -> &dyn Probe {
        self
    }

    async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        files::make_dir(&self.real(path), mode)
    }

    async fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
        files::write(&self.real(path), content, mode)
    }

    async fn discard_partial(&self, path: &Path) -> Result<(), HostError> {
        files::discard_partial(&self.real(path))
    }

    async fn set_mode(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        files::set_mode(&self.real(path), mode)
    }

    async fn remove_file(&self, path: &Path) -> Result<(), HostError> {
        files::remove_file(&self.real(path))
    }

    async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError> {
        files::remove_empty_dir(&self.real(path))
    }

    async fn remove_tree(&self, path: &Path) -> Result<(), HostError> {
        files::remove_tree(&self.real(path))
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        files::rename(&self.real(from), &self.real(to))
    }

    async fn backup_etcd(&self, dir: &Path) -> Result<PathBuf, HostError> {
        etcd::backup(&self.root, dir, self.hostname().await).await
    }

    async fn etcd_downgrade(&self, access: &EtcdAccess, minor: &str) -> Result<(), HostError> {
        Ok(self.etcd(access).await?.downgrade(minor).await?)
    }

    async fn etcd_delete_beside(
        &self,
        access: &EtcdAccess,
        prefix: &str,
        kept: &str,
    ) -> Result<(), HostError> {
        Ok(self.etcd(access).await?.delete_beside(prefix, kept).await?)
    }

    async fn etcd_end_downgrade(&self, access: &EtcdAccess) -> Result<(), HostError> {
        Ok(self.etcd(access).await?.end_downgrade().await?)
    }

    async fn restore_etcd(&self, trial: &Trial) -> Result<(), HostError> {
        let (root, trial) = (self.root.clone(), trial.clone());
        etcd::blocking(move || trial::restore(&root, &trial)).await
    }

    async fn rebase_etcd(&self, rebase: &Rebase) -> Result<bool, HostError> {
        let (root, rebase) = (self.root.clone(), rebase.clone());
        etcd::blocking(move || trial::rebase(&root, &rebase)).await
    }

    async fn unmount(&self, path: &Path) -> Result<(), HostError> {
        files::unmount(&self.real(path))
    }

    async fn unmount_with(&self, path: &Path, flags: &[UnmountFlag]) -> Result<(), HostError> {
        trees::unmount(&self.real(path), flags)
    }

    async fn archive(
        &self,
        archive: &Path,
        what: &[Removal],
        leave_out: &[PathBuf],
    ) -> Result<(), HostError> {
        trees::archive(&self.root, archive, what, leave_out).await
    }

    async fn remove_archive(&self, archive: &Path) -> Result<(), HostError> {
        trees::remove_archive(&self.real(archive))
    }

    async fn remove_units(&self, what: &[Removal]) -> Result<(), HostError> {
        trees::remove(&self.root, what).await
    }

    async fn unpack(&self, archive: &Path, what: &[Removal]) -> Result<(), HostError> {
        trees::unpack(&self.root, archive, what).await
    }

    async fn control_service(&self, unit: &str, verb: ServiceVerb) -> Result<(), HostError> {
        system::control(&self.root, unit, verb).await
    }

    async fn run(&self, argv: &[String]) -> Result<(), HostError> {
        system::run(&self.root, argv).await
    }

    async fn feed(&self, argv: &[String], input: &str) -> Result<(), HostError> {
        system::feed(&self.root, argv, input).await
    }

    async fn apply(&self, access: &ApiAccess, object: &Value) -> Result<(), HostError> {
        self.client(access).await?.apply(object).await?;
        Ok(())
    }

    async fn patch(&self, access: &ApiAccess, target: &ObjectRef, patch: &Value) -> Result<(), HostError> {
        self.client(access).await?.patch_merge(target, patch.clone()).await?;
        Ok(())
    }

    async fn patch_status(
        &self,
        access: &ApiAccess,
        target: &ObjectRef,
        patch: &Value,
    ) -> Result<(), HostError> {
        self.client(access).await?.patch_status(target, patch).await?;
        Ok(())
    }

    async fn delete(&self, access: &ApiAccess, target: &ObjectRef) -> Result<(), HostError> {
        self.client(access).await?.delete(target).await?;
        Ok(())
    }

    async fn evict(&self, access: &ApiAccess, namespace: &str, name: &str) -> Result<(), HostError> {
        Ok(self.client(access).await?.evict(namespace, name).await?)
    }

    async fn pull_image(&self, socket: &str, image: &str) -> Result<(), HostError> {
        self.runtime(socket).await?.pull(image).await?;
        Ok(())
    }

    async fn remove_sandbox(&self, socket: &str, id: &str) -> Result<(), HostError> {
        Ok(self.runtime(socket).await?.remove_sandbox(id).await?)
    }

    async fn stop_container(&self, socket: &str, id: &str, grace: Duration) -> Result<(), HostError> {
        Ok(self.runtime(socket).await?.stop_container(id, grace).await?)
    }

    async fn etcd_add_learner(&self, access: &EtcdAccess, peer_url: &str) -> Result<Member, HostError> {
        Ok(self.etcd(access).await?.add_learner(peer_url).await?)
    }

    async fn etcd_promote(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError> {
        Ok(self.etcd(access).await?.promote(id).await?)
    }

    async fn etcd_remove(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError> {
        Ok(self.etcd(access).await?.remove(id).await?)
    }
}
