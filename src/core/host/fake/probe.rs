//! What the machine in memory answers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;

use super::{FakeHost, Node, has_no_quorum, lock, status_of};
use crate::{
    archive::Removal,
    backup::remains::Remains,
    etcd::{EtcdAccess, EtcdError, Member, MemberStatus, types::HashKv},
    host::{
        ApiAccess, CommandOutput, ContainerState, FileKind, FileStat, Health, HealthTarget, HostError, Probe,
        Sandbox, ServiceState, Space,
    },
    kube::{Keep, ObjectRef, Selector, census::Census, storage::Objects},
};

#[async_trait]
impl Probe for FakeHost {
    async fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError> {
        let world = lock(&self.world);
        if world.archives.contains_key(path) {
            return Ok(Some(FileStat { kind: FileKind::File, mode: 0o600 }));
        }
        Ok(world.paths.get(path).map(|node| match node {
            Node::Dir(mode) => FileStat { kind: FileKind::Dir, mode: *mode },
            Node::File(_, mode) => FileStat { kind: FileKind::File, mode: *mode },
        }))
    }

    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        match lock(&self.world).paths.get(path) {
            Some(Node::File(content, _)) => Ok(Some(content.clone())),
            Some(Node::Dir(_)) => Err(HostError::File {
                what: "read",
                path: path.to_owned(),
                source: std::io::ErrorKind::IsADirectory.into(),
            }),
            None => Ok(None),
        }
    }

    async fn list(&self, dir: &Path) -> Result<Vec<String>, HostError> {
        let world = lock(&self.world);
        let names = world.paths.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    async fn mounts_below(&self, dir: &Path) -> Result<Vec<PathBuf>, HostError> {
        Ok(lock(&self.world).mounts.iter().filter(|mount| mount.starts_with(dir)).cloned().collect())
    }

    async fn query(&self, argv: &[&str]) -> Result<CommandOutput, HostError> {
        let command = argv.join(" ");
        let missing =
            CommandOutput { code: 127, stdout: String::new(), stderr: format!("{command}: not found") };
        Ok(lock(&self.world).answers.get(&command).cloned().unwrap_or(missing))
    }

    async fn find_program(&self, name: &str) -> Option<PathBuf> {
        lock(&self.world).programs.contains(name).then(|| Path::new("/usr/bin").join(name))
    }

    async fn service(&self, unit: &str) -> Result<ServiceState, HostError> {
        let absent = ServiceState { exists: false, active: "inactive".into(), enabled: false, restarts: 0 };
        Ok(lock(&self.world).services.get(unit).cloned().unwrap_or(absent))
    }

    async fn port_in_use(&self, address: SocketAddr) -> bool {
        lock(&self.world).ports.contains(&address.port())
    }

    async fn hostname(&self) -> String {
        "node1".into()
    }

    async fn default_address(&self, ipv6: bool) -> Option<IpAddr> {
        (!ipv6).then_some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)))
    }

    fn uid(&self) -> u32 {
        lock(&self.world).uid
    }

    async fn tree_size(&self, _removal: &Removal, _leave_out: &[PathBuf]) -> Result<u64, HostError> {
        Ok(lock(&self.world).tree_bytes)
    }

    async fn space(&self, _path: &Path) -> Option<Space> {
        None
    }

    async fn sync_latency(&self, _path: &Path, _budget: Duration) -> Option<Duration> {
        lock(&self.world).sync_latency
    }

    async fn cgroup_driver(&self, _socket: &str) -> Result<Option<&'static str>, HostError> {
        Ok(lock(&self.world).cgroup_driver)
    }

    async fn object(&self, _access: &ApiAccess, target: &ObjectRef) -> Result<Option<Value>, HostError> {
        Ok(self.api()?.objects.get(&target.to_string()).cloned())
    }

    async fn gather(
        &self,
        _access: &ApiAccess,
        kind: &str,
        namespace: Option<&str>,
        selector: &Selector,
        keep: Keep<'_>,
    ) -> Result<Vec<Value>, HostError> {
        let world = self.api()?;
        let selected = |object: &&Value| {
            object["kind"] == kind
                && namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
                && has_labels(object, &selector.labels)
        };
        Ok(world.objects.values().filter(selected).cloned().filter_map(keep).collect())
    }

    async fn census(&self, _access: &ApiAccess, before: Option<&Objects>) -> Result<Census, HostError> {
        let mut now = Objects::new();
        for object in self.api()?.objects.values() {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let counts = now.entry(format!("{}s", text("/kind").to_lowercase())).or_default();
            *counts.entry(text("/metadata/namespace").to_owned()).or_default() += 1;
        }
        Ok(Census::of(&now, before))
    }

    async fn health(&self, target: &HealthTarget) -> Result<Health, String> {
        let world = lock(&self.world);
        let up = world.kubelet_works && world.kubelet_is_up();
        if up {
            Ok(Health { status: 200, body: "ok".into() })
        } else {
            Err(format!("{} refused", target.url))
        }
    }

    async fn api_health(&self, access: &ApiAccess, path: &str) -> Result<Health, String> {
        let world = self.api_of(access).map_err(|error| error.to_string())?;
        let body = match world.answer_of_api(access, path) {
            Some(body) => body,
            None if path == "/version" => return Err("refused".into()),
            None => "ok".into(),
        };
        Ok(Health { status: 200, body })
    }

    async fn pods_on(&self, _access: &ApiAccess, node: &str) -> Result<Vec<Value>, HostError> {
        let world = self.api()?;
        let on_it = |object: &&Value| object["kind"] == "Pod" && object["spec"]["nodeName"] == node;
        Ok(world.objects.values().filter(on_it).cloned().collect())
    }

    async fn api_metric(&self, access: &ApiAccess, name: &str) -> Result<Vec<String>, HostError> {
        let answer = self.api()?.answer_of_api(access, "/metrics").unwrap_or_default();
        Ok(answer.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect())
    }

    async fn runtime_version(&self, _socket: &str) -> Result<String, HostError> {
        Ok("containerd 1.6.20".into())
    }

    async fn image_present(&self, _socket: &str, image: &str) -> Result<bool, HostError> {
        Ok(lock(&self.world).images.contains(image))
    }

    async fn sandboxes(&self, _socket: &str) -> Result<Vec<Sandbox>, HostError> {
        Ok(lock(&self.world).sandboxes.clone())
    }

    async fn containers(&self, _socket: &str, _namespace: &str) -> Result<Vec<ContainerState>, HostError> {
        let running = |sandbox: &Sandbox| ContainerState {
            id: format!("{}-container", sandbox.id),
            name: sandbox.id.clone(),
            pod_uid: String::new(),
            attempt: 0,
            running: true,
            exit_code: 0,
            reason: String::new(),
            log_path: String::new(),
        };
        let world = lock(&self.world);
        let states = world.sandboxes.iter().map(running);
        Ok(states
            .map(|state| ContainerState { running: !world.ended.contains(&state.id), ..state })
            .collect())
    }

    async fn etcd_members(&self, access: &EtcdAccess) -> Result<Vec<Member>, HostError> {
        let world = self.etcd(access)?;
        if has_no_quorum(&world) {
            return Err(EtcdError::Unavailable { message: "no leader".into() }.into());
        }
        Ok(world.members.clone())
    }

    async fn etcd_status(&self, access: &EtcdAccess, endpoint: &str) -> Result<MemberStatus, HostError> {
        let world = self.etcd(access)?;
        let own = |member: &Member| endpoint.starts_with("https://127.0.0.1:") && member.name == "node1";
        let at = |member: &&Member| own(member) || member.client_urls.iter().any(|url| url == endpoint);
        let member = world.members.iter().find(at);
        let member = member.filter(|member| !has_no_quorum(&world) || member.name == "node1");
        let refused = || EtcdError::Unreachable { endpoints: endpoint.to_owned(), message: "refused".into() };
        Ok(status_of(&world, member.ok_or_else(refused)?))
    }

    async fn etcd_hash_kv(
        &self,
        access: &EtcdAccess,
        _endpoint: &str,
        revision: i64,
    ) -> Result<HashKv, HostError> {
        drop(self.etcd(access)?);
        Ok(HashKv { hash: 1, compact_revision: 0, hash_revision: revision })
    }

    async fn etcd_stored(&self, _data_dir: &Path) -> Result<(Vec<Member>, i64), HostError> {
        Ok((lock(&self.world).members.clone(), 1))
    }

    async fn etcd_remains(&self, _data_dir: &Path) -> Result<Remains, HostError> {
        Ok(Remains { members: lock(&self.world).members.clone(), revision: 1, ..Remains::default() })
    }
}

fn has_labels(object: &Value, selector: &str) -> bool {
    let mut wanted = selector.split(',').filter_map(|label| label.split_once('='));
    wanted.all(|(name, value)| object["metadata"]["labels"][name] == value)
}
