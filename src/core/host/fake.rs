//! A machine in memory, for tests of phases and of the engine.
//!
//! It has just enough life of its own for whole workflows to run on it: a started kubelet leaves files behind,
//! runs the static pods it finds, and with the API server's manifest in place objects can be read and written.
//! Any change can be made to fail, by its number.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Actuator, ApiAccess, CommandOutput, ContainerState, FileKind, FileStat, Health, HealthTarget, HostError,
    Probe, Sandbox, ServiceState, ServiceVerb, Space,
};
use crate::{
    archive::Removal,
    backup::{
        remains::Remains,
        trial::{Rebase, Trial},
    },
    config::types::UnmountFlag,
    etcd::{EtcdAccess, EtcdError, Member, MemberStatus, types::HashKv},
    kube::{KubeError, ObjectRef},
};

/// Where the etcd of the machine has its data.
const DATA_DIR: &str = "/var/lib/etcd";

/// A path in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory with its permission bits.
    Dir(u32),
    /// A file with its content and permission bits.
    File(Vec<u8>, u32),
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Archived {
    paths: BTreeMap<PathBuf, Node>,
    objects: BTreeMap<String, Value>,
}

/// All that a fake machine is. Two equal worlds are the same machine.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World {
    /// Files and directories.
    pub paths: BTreeMap<PathBuf, Node>,
    /// API objects.
    pub objects: BTreeMap<String, Value>,
    /// Units.
    pub services: BTreeMap<String, ServiceState>,
    /// What archives hold: paths, and the objects in etcd's data.
    pub archives: BTreeMap<PathBuf, Archived>,
    /// What is mounted.
    pub mounts: BTreeSet<PathBuf>,
    /// Images that the runtime holds.
    pub images: BTreeSet<String>,
    /// Images that can be pulled.
    pub registry: BTreeSet<String>,
    /// Ports in use by others.
    pub ports: BTreeSet<u16>,
    /// Pods that the runtime runs.
    pub sandboxes: Vec<Sandbox>,
    /// Programs on PATH.
    pub programs: BTreeSet<String>,
    /// Answers of read-only commands, by command line.
    pub answers: BTreeMap<String, CommandOutput>,
    /// Whether a started kubelet brings the control plane up.
    pub kubelet_works: bool,
    /// Effective user id.
    pub uid: u32,
    /// Members of the etcd cluster, also those on other machines.
    pub members: Vec<Member>,
    /// Other machines of the cluster serve its API and its etcd.
    pub others_serve: bool,
    /// So many members of etcd are gone that the one here serves nothing, until its data is of a cluster of its own.
    pub quorum_lost: bool,
    /// Containers that were ended while no kubelet ran that would start them again.
    pub ended: BTreeSet<String>,
    /// The API server lets nobody write the status of an object.
    pub refuses_status: bool,
    /// Objects in data directories of etcd that are not in use, by their path.
    pub put_aside: BTreeMap<PathBuf, BTreeMap<String, Value>>,
}

/// A machine in memory.
#[derive(Debug)]
pub struct FakeHost {
    world: Mutex<World>,
    changes: Mutex<Vec<String>>,
    fault: Mutex<Option<(usize, Fault)>>,
}

/// What a test makes of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The host says no, once; nothing was changed.
    Refuse,
    /// The process dies before the change.
    CrashBefore,
    /// The process dies after the change, before anybody can note it.
    CrashAfter,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new(World::ready())
    }
}

impl World {
    /// A machine prepared for `init`: runtime, kubelet, programs, images.
    pub fn ready() -> Self {
        let dirs =
            ["/", "/etc", "/etc/ssl", "/etc/ssl/certs", "/var", "/var/lib", "/var/lib/kubelet", "/run"];
        let paths = dirs.into_iter().map(|dir| (PathBuf::from(dir), Node::Dir(0o755))).collect();
        let unit =
            |active: &str| ServiceState { exists: true, active: active.into(), enabled: true, restarts: 0 };
        let services = [("kubelet", "inactive"), ("containerd", "active")];
        Self {
            paths,
            objects: BTreeMap::new(),
            services: services.into_iter().map(|(name, active)| (name.to_owned(), unit(active))).collect(),
            archives: BTreeMap::new(),
            mounts: BTreeSet::new(),
            images: BTreeSet::new(),
            registry: BTreeSet::new(),
            ports: BTreeSet::new(),
            sandboxes: vec![],
            programs: BTreeSet::new(),
            answers: BTreeMap::new(),
            kubelet_works: true,
            uid: 0,
            members: vec![],
            others_serve: false,
            quorum_lost: false,
            ended: BTreeSet::new(),
            refuses_status: false,
            put_aside: BTreeMap::new(),
        }
    }

    /// Puts a file there.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: &str) -> Self {
        self.paths.insert(path.into(), Node::File(content.into(), 0o644));
        self
    }

    /// Puts the answer of a read-only command there.
    #[must_use]
    pub fn with_answer(mut self, command: &str, stdout: &str) -> Self {
        let output = CommandOutput { code: 0, stdout: stdout.into(), stderr: String::new() };
        self.answers.insert(command.into(), output);
        self
    }

    fn kubelet_is_up(&self) -> bool {
        self.services.get("kubelet").is_some_and(ServiceState::is_up)
    }

    fn serves(&self, component: &str) -> bool {
        self.kubelet_works
            && self.kubelet_is_up()
            && self.paths.contains_key(Path::new(&format!("/etc/kubernetes/manifests/{component}.yaml")))
    }

    /// What the kubelet would do by itself after a change.
    fn live(&mut self) {
        if !self.others_serve && !self.paths.contains_key(Path::new(ETCD_DATA)) {
            self.objects.clear();
        }
        if !self.kubelet_is_up() || !self.kubelet_works {
            return;
        }
        self.ended.clear();
        let made = ["/var/lib/kubelet/pki", "/var/lib/kubelet/pods", "/var/lib/kubelet/plugins"];
        self.paths.extend(made.into_iter().map(|dir| (PathBuf::from(dir), Node::Dir(0o750))));
        let cert = PathBuf::from("/var/lib/kubelet/pki/kubelet-client-current.pem");
        self.paths.entry(cert).or_insert_with(|| Node::File(b"PEM".to_vec(), 0o600));
        // A worker's Node is left out: its kubelet makes it, and nobody on a worker may remove it again.
        if self.paths.contains_key(Path::new("/etc/kubernetes/bootstrap-kubelet.conf")) {
            let conf = PathBuf::from("/etc/kubernetes/kubelet.conf");
            self.paths.entry(conf).or_insert_with(|| Node::File(b"kind: Config\n".to_vec(), 0o600));
        }
        self.mounts.insert("/var/lib/kubelet/pods/token".into());
        for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let known = self.sandboxes.iter().any(|sandbox| sandbox.pod.starts_with(component));
            if self.serves(component) && !known {
                let pod = format!("{component}-node1");
                self.sandboxes.push(Sandbox { id: component.into(), pod, namespace: "kube-system".into() });
                if component == "etcd" {
                    self.paths.insert(ETCD_DATA.into(), Node::Dir(0o700));
                }
            }
        }
        // In whatever order they came.
        self.sandboxes.sort_by(|one, other| one.id.cmp(&other.id));
        if self.serves("etcd") {
            // A member tells its name and its client URLs when it starts for the first time.
            for member in self.members.iter_mut().filter(|member| !member.has_started()) {
                member.name = "node1".into();
                let urls = member.peer_urls.iter();
                member.client_urls = urls.map(|url| url.replace(":2380", ":2379")).collect();
            }
        }
        if self.serves("kube-apiserver") && self.paths.contains_key(Path::new(ETCD_DATA)) {
            for (kind, name) in
                [("Namespace", "kube-system"), ("Namespace", "kube-public"), ("Node", "node1")]
            {
                let made = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": {}});
                self.objects.entry(key(&made)).or_insert(made);
            }
        }
    }
}

/// What etcd makes in its data directory; the objects live in it.
const ETCD_DATA: &str = "/var/lib/etcd/member";

fn key(object: &Value) -> String {
    ObjectRef::of(object).ok().map(|target| target.to_string()).unwrap_or_default()
}

impl FakeHost {
    /// A machine that is like this world.
    pub fn new(world: World) -> Self {
        Self { world: Mutex::new(world), changes: Mutex::default(), fault: Mutex::default() }
    }

    /// The machine as it is now.
    pub fn world(&self) -> World {
        lock(&self.world).clone()
    }

    /// Changes the machine behind everybody's back.
    pub fn edit(&self, edit: impl FnOnce(&mut World)) {
        edit(&mut lock(&self.world));
    }

    /// Every change asked for so far, in words; failed ones too.
    pub fn changes(&self) -> Vec<String> {
        lock(&self.changes).clone()
    }

    /// Makes something of the change with this number (from 0, counted from now on), once.
    pub fn inject(&self, number: usize, fault: Fault) {
        lock(&self.changes).clear();
        *lock(&self.fault) = Some((number, fault));
    }

    fn change(&self, what: String, change: impl FnOnce(&mut World)) -> Result<(), HostError> {
        let number = {
            let mut changes = lock(&self.changes);
            changes.push(what.clone());
            changes.len() - 1
        };
        let fault = lock(&self.fault).take_if(|(at, _)| *at == number).map(|(_, fault)| fault);
        match fault {
            Some(Fault::Refuse) => return Err(HostError::Injected(what)),
            Some(Fault::CrashBefore) => panic!("the process dies before: {what}"),
            _ => {}
        }
        {
            let mut world = lock(&self.world);
            change(&mut world);
            world.live();
        }
        assert!(fault != Some(Fault::CrashAfter), "the process dies after: {what}");
        Ok(())
    }

    fn etcd(&self, access: &EtcdAccess) -> Result<MutexGuard<'_, World>, HostError> {
        let world = lock(&self.world);
        if world.others_serve || world.serves("etcd") {
            return Ok(world);
        }
        let endpoints = access.endpoints.join(", ");
        Err(EtcdError::Unreachable { endpoints, message: "refused".into() }.into())
    }

    fn api(&self) -> Result<MutexGuard<'_, World>, HostError> {
        let world = lock(&self.world);
        if world.others_serve || world.serves("kube-apiserver") {
            return Ok(world);
        }
        Err(KubeError::Unreachable {
            server: "https://node1:6443".into(),
            waited: Duration::ZERO,
            source: None,
        }
        .into())
    }
}

/// What a member of a cluster without load says of itself.
/// The revision of the data that etcd serves, as `restore_etcd` leaves it.
fn revision_in(world: &World) -> i64 {
    match world.paths.get(Path::new("/var/lib/etcd/member/revision")) {
        Some(Node::File(text, _)) => String::from_utf8_lossy(text).parse().unwrap_or_default(),
        _ => 0,
    }
}

/// Data that was restored is of a cluster with nobody else in it.
fn has_no_quorum(world: &World) -> bool {
    world.quorum_lost && !world.paths.contains_key(Path::new("/var/lib/etcd/member/revision"))
}

fn status_of(world: &World, member: &Member) -> MemberStatus {
    MemberStatus {
        cluster_id: 1,
        member_id: member.id,
        revision: revision_in(world),
        version: "3.6.0".into(),
        leader: world.members.first().filter(|_| !has_no_quorum(world)).map_or(0, |first| first.id),
        is_learner: member.is_learner,
        ..MemberStatus::default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        Ok(0)
    }

    async fn space(&self, _path: &Path) -> Option<Space> {
        None
    }

    async fn sync_latency(&self, _path: &Path, _budget: Duration) -> Option<Duration> {
        None
    }

    async fn cgroup_driver(&self, _socket: &str) -> Result<Option<&'static str>, HostError> {
        Ok(None)
    }

    async fn object(&self, _access: &ApiAccess, target: &ObjectRef) -> Result<Option<Value>, HostError> {
        Ok(self.api()?.objects.get(&target.to_string()).cloned())
    }

    async fn objects(&self, _access: &ApiAccess, kind: &str) -> Result<Vec<Value>, HostError> {
        Ok(self.api()?.objects.values().filter(|object| object["kind"] == kind).cloned().collect())
    }

    async fn select(
        &self,
        _access: &ApiAccess,
        kind: &str,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, HostError> {
        let world = self.api()?;
        let selected = |object: &&Value| {
            object["kind"] == kind
                && object["metadata"]["namespace"] == namespace
                && labels
                    .split(',')
                    .filter_map(|label| label.split_once('='))
                    .all(|(name, value)| object["metadata"]["labels"][name] == value)
        };
        Ok(world.objects.values().filter(selected).cloned().collect())
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

    async fn api_health(&self, _access: &ApiAccess, _path: &str) -> Result<Health, String> {
        self.api().map(|_| Health { status: 200, body: "ok".into() }).map_err(|error| error.to_string())
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
        let member = world.members.iter().find(|member| member.client_urls.iter().any(|url| url == endpoint));
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

#[async_trait]
impl Actuator for FakeHost {
    fn probe(&self) -> &dyn Probe {
        self
    }

    async fn make_dir(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        self.change(format!("mkdir {}", path.display()), |world| {
            world.paths.insert(path.to_owned(), Node::Dir(mode));
        })
    }

    async fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
        self.change(format!("write {}", path.display()), |world| {
            world.paths.insert(path.to_owned(), Node::File(content.to_owned(), mode));
        })
    }

    async fn discard_partial(&self, _path: &Path) -> Result<(), HostError> {
        Ok(())
    }

    async fn set_mode(&self, path: &Path, mode: u32) -> Result<(), HostError> {
        self.change(format!("chmod {mode:o} {}", path.display()), |world| match world.paths.get_mut(path) {
            Some(Node::Dir(known) | Node::File(_, known)) => *known = mode,
            None => {}
        })
    }

    async fn remove_file(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("rm {}", path.display()), |world| {
            world.paths.remove(path);
        })
    }

    async fn remove_empty_dir(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("rmdir {}", path.display()), |world| {
            if !world.paths.keys().any(|known| known != path && known.starts_with(path)) {
                world.paths.remove(path);
            }
        })
    }

    async fn remove_tree(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("rm -r {}", path.display()), |world| {
            world.paths.retain(|known, _| !known.starts_with(path));
            world.put_aside.retain(|known, _| !known.starts_with(path));
        })
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        self.change(format!("rename {} to {}", from.display(), to.display()), |world| {
            let (moved, stay) = std::mem::take(&mut world.paths)
                .into_iter()
                .partition::<BTreeMap<_, _>, _>(|(path, _)| path.starts_with(from));
            world.paths = stay;
            for (path, node) in moved {
                let rest = path.strip_prefix(from).unwrap_or(&path);
                let path = if rest == Path::new("") { to.to_owned() } else { to.join(rest) };
                world.paths.insert(path, node);
            }
            // What the API server serves is what is in the directory that etcd uses.
            if from == Path::new(DATA_DIR) {
                world.put_aside.insert(to.to_owned(), std::mem::take(&mut world.objects));
            } else if to == Path::new(DATA_DIR) {
                world.objects = world.put_aside.remove(from).unwrap_or_default();
            }
        })
    }

    async fn rebase_etcd(&self, rebase: &Rebase) -> Result<bool, HostError> {
        // Data that was served, as far as this machine knows, has this in it.
        if !lock(&self.world).paths.contains_key(&rebase.served.join("member/served")) {
            return Ok(false);
        }
        self.change(format!("rebase {}", rebase.old.display()), |world| {
            let mut made = vec![];
            for (path, node) in &world.paths {
                if let Ok(rest) = path.strip_prefix(&rebase.old) {
                    made.push((rebase.target.join(rest), node.clone()));
                }
            }
            world.paths.extend(made);
        })?;
        Ok(true)
    }

    async fn restore_etcd(&self, trial: &Trial) -> Result<(), HostError> {
        self.change(format!("restore {}", trial.target.display()), |world| {
            for dir in [trial.target.clone(), trial.target.join("member")] {
                world.paths.insert(dir, Node::Dir(0o700));
            }
            let revision = trial.new_revision().to_string().into();
            world.paths.insert(trial.target.join("member/revision"), Node::File(revision, 0o600));
        })
    }

    async fn unmount(&self, path: &Path) -> Result<(), HostError> {
        self.change(format!("umount {}", path.display()), |world| {
            world.mounts.remove(path);
        })
    }

    async fn unmount_with(&self, path: &Path, _flags: &[UnmountFlag]) -> Result<(), HostError> {
        self.unmount(path).await
    }

    async fn archive(
        &self,
        archive: &Path,
        what: &[Removal],
        leave_out: &[PathBuf],
    ) -> Result<(), HostError> {
        self.change(format!("archive {}", archive.display()), |world| {
            let mut held = world.paths.clone();
            held.retain(|path, _| {
                what.iter().any(|removal| removal.unit(path).is_some())
                    && !leave_out.iter().any(|left| path.starts_with(left))
            });
            world.archives.insert(archive.into(), Archived { paths: held, objects: world.objects.clone() });
        })
    }

    async fn remove_archive(&self, archive: &Path) -> Result<(), HostError> {
        self.change(format!("rm {}", archive.display()), |world| {
            world.archives.remove(archive);
        })
    }

    async fn remove_units(&self, what: &[Removal]) -> Result<(), HostError> {
        for unit in units(self.world().paths.keys(), what) {
            self.change(format!("rm -r {}", unit.display()), |world| {
                world.paths.retain(|path, _| !path.starts_with(&unit));
            })?;
        }
        Ok(())
    }

    async fn unpack(&self, archive: &Path, what: &[Removal]) -> Result<(), HostError> {
        let world = self.world();
        let Some(held) = world.archives.get(archive) else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(HostError::File { what: "bring back", path: archive.to_owned(), source });
        };
        for unit in units(held.paths.keys(), what) {
            if world.paths.contains_key(&unit) {
                continue;
            }
            self.change(format!("bring back {}", unit.display()), |world| {
                let nodes = held.paths.iter().filter(|(path, _)| path.starts_with(&unit));
                world.paths.extend(nodes.map(|(path, node)| (path.clone(), node.clone())));
                if unit == Path::new(ETCD_DATA) {
                    world.objects.clone_from(&held.objects);
                }
            })?;
        }
        Ok(())
    }

    async fn control_service(&self, unit: &str, verb: ServiceVerb) -> Result<(), HostError> {
        self.change(format!("{verb:?} {unit}"), |world| {
            if let Some(state) = world.services.get_mut(unit) {
                state.active = if verb == ServiceVerb::Stop { "inactive" } else { "active" }.into();
            }
        })
    }

    async fn run(&self, argv: &[String]) -> Result<(), HostError> {
        self.change(argv.join(" "), |_| {})
    }

    async fn feed(&self, argv: &[String], input: &str) -> Result<(), HostError> {
        self.change(format!("{} <<< {input}", argv.join(" ")), |_| {})
    }

    async fn apply(&self, _access: &ApiAccess, object: &Value) -> Result<(), HostError> {
        drop(self.api()?);
        self.change(format!("apply {}", key(object)), |world| {
            let mut object = object.clone();
            object["metadata"]["uid"] = key(&object).into();
            world.objects.insert(key(&object), object);
        })
    }

    async fn patch(&self, _access: &ApiAccess, target: &ObjectRef, patch: &Value) -> Result<(), HostError> {
        drop(self.api()?);
        self.change(format!("patch {target}"), |world| {
            if let Some(object) = world.objects.get_mut(&target.to_string()) {
                merge(object, patch);
            }
        })
    }

    async fn patch_status(
        &self,
        _access: &ApiAccess,
        target: &ObjectRef,
        patch: &Value,
    ) -> Result<(), HostError> {
        let (there, refuses) = {
            let world = self.api()?;
            (world.objects.contains_key(&target.to_string()), world.refuses_status)
        };
        let action = format!("patch the status of {target}");
        if refuses {
            return Err(KubeError::Forbidden { action, message: "not you".into() }.into());
        }
        if !there {
            return Err(KubeError::NotFound { action, message: "it does not exist".into() }.into());
        }
        self.change(action, |world| {
            if let Some(object) = world.objects.get_mut(&target.to_string()) {
                merge_conditions(object, patch);
            }
        })
    }

    async fn delete(&self, _access: &ApiAccess, target: &ObjectRef) -> Result<(), HostError> {
        drop(self.api()?);
        self.change(format!("delete {target}"), |world| {
            world.objects.remove(&target.to_string());
        })
    }

    async fn pull_image(&self, _socket: &str, image: &str) -> Result<(), HostError> {
        if !lock(&self.world).registry.contains(image) {
            return Err(HostError::Injected(format!("no registry has {image}")));
        }
        self.change(format!("pull {image}"), |world| {
            world.images.insert(image.to_owned());
        })
    }

    async fn remove_sandbox(&self, _socket: &str, id: &str) -> Result<(), HostError> {
        self.change(format!("remove sandbox {id}"), |world| {
            world.sandboxes.retain(|sandbox| sandbox.id != id);
        })
    }

    async fn stop_container(&self, _socket: &str, id: &str, _grace: Duration) -> Result<(), HostError> {
        // A kubelet starts it again at once.
        self.change(format!("stop container {id}"), |world| {
            world.ended.insert(id.to_owned());
        })
    }

    async fn etcd_add_learner(&self, access: &EtcdAccess, peer_url: &str) -> Result<Member, HostError> {
        let known = self.etcd(access)?.members.clone();
        if known.iter().any(|member| member.is_learner) {
            return Err(EtcdError::TooManyLearners.into());
        }
        if known.iter().any(|member| member.peer_urls.iter().any(|url| url == peer_url)) {
            return Err(EtcdError::PeerUrlExists.into());
        }
        let id = known.iter().map(|member| member.id).max().unwrap_or_default() + 1;
        let member =
            Member { id, peer_urls: vec![peer_url.to_owned()], is_learner: true, ..Member::default() };
        let added = member.clone();
        self.change(format!("add member {peer_url}"), |world| world.members.push(added))?;
        Ok(member)
    }

    async fn etcd_promote(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError> {
        let member = self.etcd(access)?.members.iter().find(|member| member.id == id).cloned();
        match member {
            None => return Err(EtcdError::NoSuchMember.into()),
            Some(member) if !member.is_learner => return Err(EtcdError::NotALearner.into()),
            Some(member) if !member.has_started() => return Err(EtcdError::NotInSync.into()),
            Some(_) => {}
        }
        self.change(format!("promote member {id}"), |world| {
            for member in world.members.iter_mut().filter(|member| member.id == id) {
                member.is_learner = false;
            }
        })
    }

    async fn etcd_remove(&self, access: &EtcdAccess, id: u64) -> Result<(), HostError> {
        drop(self.etcd(access)?);
        self.change(format!("remove member {id}"), |world| world.members.retain(|member| member.id != id))
    }
}

/// The units of removals among these paths.
fn units<'a>(paths: impl Iterator<Item = &'a PathBuf>, what: &[Removal]) -> BTreeSet<PathBuf> {
    paths.filter_map(|path| what.iter().find_map(|removal| removal.unit(path))).collect()
}

/// What a strategic merge patch does to conditions: those of the same type are replaced or deleted, others stay.
fn merge_conditions(object: &mut Value, patch: &Value) {
    let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for change in patch["status"]["conditions"].as_array().into_iter().flatten() {
        conditions.retain(|known| known["type"] != change["type"]);
        if change["$patch"] != "delete" {
            conditions.push(change.clone());
        }
    }
    object["status"]["conditions"] = conditions.into();
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(name));
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}
