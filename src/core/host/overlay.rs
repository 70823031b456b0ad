//! A dry run: reads fall through to the real host, planned changes are seen by later phases, nothing is written.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    ApiAccess, CommandOutput, ContainerState, FileKind, FileStat, Health, HealthTarget, HostError, Probe,
    Sandbox, ServiceState, ServiceVerb, Space,
};
use crate::{
    archive::Removal,
    backup::remains::Remains,
    engine::{Step, content::Content, step::ObjectSource},
    etcd::{EtcdAccess, Member, MemberStatus, types::HashKv},
    kube::{Keep, ObjectRef, Selector, census::Census, storage::Objects},
};

/// What a path would be after the plan.
#[derive(Debug, Clone)]
enum Planned {
    Absent,
    Dir(u32),
    /// `None`: the content is made at apply time.
    File(Option<Vec<u8>>, u32),
}

/// A host as it would be after the steps absorbed so far.
pub struct Overlay<'a> {
    inner: &'a dyn Probe,
    paths: Mutex<HashMap<PathBuf, Planned>>,
    objects: Mutex<HashMap<ObjectRef, Value>>,
    services: Mutex<HashMap<String, bool>>,
    removed: Mutex<Vec<Removal>>,
    unmounted: Mutex<Vec<PathBuf>>,
    no_pods: Mutex<bool>,
    /// Kubeconfigs that get a new certificate: the one that they have is good for reading.
    renewed: Mutex<Vec<PathBuf>>,
}

impl<'a> Overlay<'a> {
    /// An overlay without a change.
    pub fn over(inner: &'a dyn Probe) -> Self {
        Self {
            inner,
            paths: Mutex::default(),
            objects: Mutex::default(),
            services: Mutex::default(),
            removed: Mutex::default(),
            unmounted: Mutex::default(),
            no_pods: Mutex::default(),
            renewed: Mutex::default(),
        }
    }

    /// Takes a planned step for done.
    pub fn absorb(&self, step: &Step) {
        match step {
            Step::EnsureDir { path, mode, .. } => self.set(path, Planned::Dir(*mode)),
            Step::WriteFile { path, mode, content, .. } => {
                if let (Content::Renewed(_), Ok(mut renewed)) = (content, self.renewed.lock()) {
                    renewed.push(path.clone());
                }
                let known = match content {
                    Content::Bytes(bytes) | Content::Private(bytes) => Some(bytes.clone()),
                    _ => None,
                };
                self.set(path, Planned::File(known, *mode));
            }
            Step::RemoveFile { path, .. } => self.set(path, Planned::Absent),
            Step::Apply { objects, .. } => {
                for object in objects {
                    if let (Some(target), ObjectSource::Plain(value)) = (object.reference(), object) {
                        self.set_object(target, (**value).clone());
                    }
                }
            }
            Step::Service { unit, verb } => {
                if let Ok(mut services) = self.services.lock() {
                    services.insert(unit.clone(), *verb != ServiceVerb::Stop);
                }
            }
            Step::Remove { what, .. } => {
                if let Ok(mut removed) = self.removed.lock() {
                    removed.extend(what.iter().cloned());
                }
            }
            Step::Unmount { dir, .. } => {
                if let Ok(mut removed) = self.unmounted.lock() {
                    removed.push(dir.clone());
                }
            }
            Step::StopPods { .. } => {
                if let Ok(mut pods) = self.no_pods.lock() {
                    *pods = true;
                }
            }
            Step::SetMode { .. }
            | Step::Run { .. }
            | Step::Feed { .. }
            | Step::Archive { .. }
            | Step::DeleteObject { .. }
            | Step::CommitPoint { .. }
            | Step::Patch { .. }
            | Step::PullImages { .. }
            | Step::NewSecret { .. }
            | Step::Record { .. }
            | Step::Wait { .. } => {}
            Step::Action(action) => {
                if let Some((path, text)) = action.file() {
                    self.set(path, Planned::File(Some(text.as_bytes().to_vec()), 0o600));
                }
            }
        }
    }

    fn set(&self, path: &Path, planned: Planned) {
        if let Ok(mut paths) = self.paths.lock() {
            paths.insert(path.to_owned(), planned);
        }
    }

    fn set_object(&self, target: ObjectRef, object: Value) {
        if let Ok(mut objects) = self.objects.lock() {
            objects.insert(target, object);
        }
    }

    fn planned(&self, path: &Path) -> Option<Planned> {
        let planned = self.paths.lock().ok()?.get(path).cloned();
        planned.or_else(|| self.is_removed(path).then_some(Planned::Absent))
    }

    fn is_removed(&self, path: &Path) -> bool {
        self.removed.lock().is_ok_and(|removed| removed.iter().any(|removal| removal.unit(path).is_some()))
    }

    /// A kubeconfig that is only planned belongs to an API server that does not run yet.
    fn has_no_server(&self, access: &ApiAccess) -> bool {
        let renewed = self.renewed.lock().is_ok_and(|renewed| renewed.contains(&access.kubeconfig));
        !renewed && matches!(self.planned(&access.kubeconfig), Some(Planned::File(None, _)))
    }

    /// Nobody can log in with a certificate that is only planned.
    fn known_files(&self, access: &EtcdAccess) -> Result<(), HostError> {
        for path in [&access.ca, &access.certificate, &access.key] {
            if self.planned(path).is_some() {
                return Err(HostError::KnownAfterApply(path.clone()));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Probe for Overlay<'_> {
    async fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError> {
        match self.planned(path) {
            None => self.inner.stat(path).await,
            Some(Planned::Absent) => Ok(None),
            Some(Planned::Dir(mode)) => Ok(Some(FileStat { kind: FileKind::Dir, mode })),
            Some(Planned::File(_, mode)) => Ok(Some(FileStat { kind: FileKind::File, mode })),
        }
    }

    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        match self.planned(path) {
            None | Some(Planned::Dir(_)) => self.inner.read(path).await,
            Some(Planned::Absent) => Ok(None),
            Some(Planned::File(Some(bytes), _)) => Ok(Some(bytes)),
            Some(Planned::File(None, _)) => Err(HostError::KnownAfterApply(path.to_owned())),
        }
    }

    async fn list(&self, dir: &Path) -> Result<Vec<String>, HostError> {
        let mut names = self.inner.list(dir).await?;
        names.retain(|name| !self.is_removed(&dir.join(name)));
        if let Ok(paths) = self.paths.lock() {
            for (path, planned) in paths.iter().filter(|(path, _)| path.parent() == Some(dir)) {
                let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
                    continue;
                };
                names.retain(|known| *known != name);
                if !matches!(planned, Planned::Absent) {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }

    async fn mounts_below(&self, dir: &Path) -> Result<Vec<PathBuf>, HostError> {
        let mut mounts = self.inner.mounts_below(dir).await?;
        if let Ok(unmounted) = self.unmounted.lock() {
            mounts.retain(|mount| !unmounted.iter().any(|dir| mount.starts_with(dir)));
        }
        Ok(mounts)
    }

    async fn query(&self, argv: &[&str]) -> Result<CommandOutput, HostError> {
        self.inner.query(argv).await
    }

    async fn find_program(&self, name: &str) -> Option<PathBuf> {
        self.inner.find_program(name).await
    }

    async fn service(&self, unit: &str) -> Result<ServiceState, HostError> {
        let mut state = self.inner.service(unit).await?;
        let planned = self.services.lock().ok().and_then(|services| services.get(unit).copied());
        if let Some(up) = planned {
            state.active = if up { "active" } else { "inactive" }.into();
        }
        Ok(state)
    }

    async fn port_in_use(&self, address: SocketAddr) -> bool {
        self.inner.port_in_use(address).await
    }

    async fn hostname(&self) -> String {
        self.inner.hostname().await
    }

    async fn default_address(&self, ipv6: bool) -> Option<IpAddr> {
        self.inner.default_address(ipv6).await
    }

    fn uid(&self) -> u32 {
        self.inner.uid()
    }

    async fn tree_size(&self, removal: &Removal, leave_out: &[PathBuf]) -> Result<u64, HostError> {
        self.inner.tree_size(removal, leave_out).await
    }

    async fn space(&self, path: &Path) -> Option<Space> {
        self.inner.space(path).await
    }

    async fn sync_latency(&self, _path: &Path, _budget: Duration) -> Option<Duration> {
        // A dry run writes nothing.
        None
    }

    async fn object(&self, access: &ApiAccess, target: &ObjectRef) -> Result<Option<Value>, HostError> {
        let planned = self.objects.lock().ok().and_then(|objects| objects.get(target).cloned());
        match planned {
            Some(object) => Ok(Some(object)),
            None if self.has_no_server(access) => Ok(None),
            None => self.inner.object(access, target).await,
        }
    }

    async fn gather(
        &self,
        access: &ApiAccess,
        kind: &str,
        namespace: Option<&str>,
        selector: &Selector,
        keep: Keep<'_>,
    ) -> Result<Vec<Value>, HostError> {
        self.inner.gather(access, kind, namespace, selector, keep).await
    }

    async fn table(
        &self,
        access: &ApiAccess,
        kind: &str,
        columns: &[&str],
    ) -> Result<Option<Vec<Vec<String>>>, HostError> {
        self.inner.table(access, kind, columns).await
    }

    async fn census(&self, access: &ApiAccess, before: Option<&Objects>) -> Result<Census, HostError> {
        self.inner.census(access, before).await
    }

    async fn select(
        &self,
        access: &ApiAccess,
        kind: &str,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, HostError> {
        if self.has_no_server(access) {
            return Err(HostError::KnownAfterApply(access.kubeconfig.clone()));
        }
        self.inner.select(access, kind, namespace, labels).await
    }

    async fn health(&self, target: &HealthTarget) -> Result<Health, String> {
        self.inner.health(target).await
    }

    async fn api_health(&self, access: &ApiAccess, path: &str) -> Result<Health, String> {
        self.inner.api_health(access, path).await
    }

    async fn pods_on(&self, access: &ApiAccess, node: &str) -> Result<Vec<Value>, HostError> {
        self.inner.pods_on(access, node).await
    }

    async fn api_metric(&self, access: &ApiAccess, name: &str) -> Result<Vec<String>, HostError> {
        self.inner.api_metric(access, name).await
    }

    async fn runtime_version(&self, socket: &str) -> Result<String, HostError> {
        self.inner.runtime_version(socket).await
    }

    async fn runtime_trouble(&self, socket: &str) -> Result<Option<String>, HostError> {
        self.inner.runtime_trouble(socket).await
    }

    async fn sandbox_image(&self, socket: &str) -> Result<Option<String>, HostError> {
        self.inner.sandbox_image(socket).await
    }

    async fn cgroup_driver(&self, socket: &str) -> Result<Option<&'static str>, HostError> {
        self.inner.cgroup_driver(socket).await
    }

    async fn image_present(&self, socket: &str, image: &str) -> Result<bool, HostError> {
        self.inner.image_present(socket, image).await
    }

    async fn sandboxes(&self, socket: &str) -> Result<Vec<Sandbox>, HostError> {
        if self.no_pods.lock().is_ok_and(|none| *none) {
            return Ok(vec![]);
        }
        self.inner.sandboxes(socket).await
    }

    async fn containers(&self, socket: &str, namespace: &str) -> Result<Vec<ContainerState>, HostError> {
        self.inner.containers(socket, namespace).await
    }

    async fn etcd_members(&self, access: &EtcdAccess) -> Result<Vec<Member>, HostError> {
        self.known_files(access)?;
        self.inner.etcd_members(access).await
    }

    async fn etcd_status(&self, access: &EtcdAccess, endpoint: &str) -> Result<MemberStatus, HostError> {
        self.known_files(access)?;
        self.inner.etcd_status(access, endpoint).await
    }

    async fn etcd_hash_kv(
        &self,
        access: &EtcdAccess,
        endpoint: &str,
        revision: i64,
    ) -> Result<HashKv, HostError> {
        self.known_files(access)?;
        self.inner.etcd_hash_kv(access, endpoint, revision).await
    }

    async fn etcd_stored(&self, data_dir: &Path) -> Result<(Vec<Member>, i64), HostError> {
        self.inner.etcd_stored(data_dir).await
    }

    async fn etcd_remains(&self, data_dir: &Path) -> Result<Remains, HostError> {
        self.inner.etcd_remains(data_dir).await
    }
}
