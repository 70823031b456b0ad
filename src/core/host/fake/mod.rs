//! A machine in memory, for tests of phases and of the engine.
//!
//! It has just enough life of its own for whole workflows to run on it: a started kubelet leaves files behind,
//! runs the static pods it finds, and with the API server's manifest in place objects can be read and written.
//! Any change can be made to fail, by its number.

mod actuator;
mod probe;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use super::{ApiAccess, CommandOutput, HostError, Sandbox, ServiceState};
use crate::{
    etcd::{EtcdAccess, EtcdError, Member, MemberStatus},
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
    /// What was there.
    pub paths: BTreeMap<PathBuf, Node>,
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
    /// Answers of read-only commands, by command line, and of API servers, by `GET` and the URL.
    pub answers: BTreeMap<String, CommandOutput>,
    /// Whether a started kubelet brings the control plane up.
    pub kubelet_works: bool,
    /// Effective user id.
    pub uid: u32,
    /// Members of the etcd cluster, also those on other machines.
    pub members: Vec<Member>,
    /// Other machines of the cluster serve its API and its etcd.
    pub others_serve: bool,
    /// How large any directory is.
    pub tree_bytes: u64,
    /// How long a durable write takes, where that can be measured.
    pub sync_latency: Option<Duration>,
    /// The driver that the runtime tells of.
    pub cgroup_driver: Option<&'static str>,
    /// So many members of etcd are gone that the one here serves nothing, until its data is of a cluster of its own.
    pub quorum_lost: bool,
    /// The etcd that is started here never gets so far that it tells its name.
    pub learner_sleeps: bool,
    /// The revisions of the learner and of the others: it comes closer by one whenever it is to get its vote.
    pub catching_up: Option<(i64, i64)>,
    /// Containers that were ended while no kubelet ran that would start them again.
    pub ended: BTreeSet<String>,
    /// This machine's own API server answers nobody, while those of others do.
    pub own_is_silent: bool,
    /// The API server lets nobody write the status of an object.
    pub refuses_status: bool,
    /// The minor that the data of etcd is of: servers of older ones do not open it.
    pub etcd_storage: Option<(u64, u64)>,
    /// The minor that etcd is on its way back to, until a server of that minor runs.
    pub etcd_downgrading: Option<(u64, u64)>,
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
            tree_bytes: 0,
            sync_latency: None,
            cgroup_driver: None,
            own_is_silent: false,
            quorum_lost: false,
            learner_sleeps: false,
            catching_up: None,
            ended: BTreeSet::new(),
            refuses_status: false,
            etcd_storage: None,
            etcd_downgrading: None,
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

    /// What an API server was told to answer: `GET https://10.0.0.1:6443/version`, and `GET /version` for the kubeconfig's.
    fn answer_of_api(&self, access: &ApiAccess, path: &str) -> Option<String> {
        let server = access.server.as_deref().unwrap_or_default();
        self.answers.get(&format!("GET {server}{path}")).map(|answer| answer.stdout.clone())
    }

    fn kubelet_is_up(&self) -> bool {
        self.services.get("kubelet").is_some_and(ServiceState::is_up)
    }

    fn serves(&self, component: &str) -> bool {
        let opens = self.etcd_storage.is_none() || self.etcd_storage <= self.etcd_minor();
        self.kubelet_works
            && opens
            && self.kubelet_is_up()
            && self.paths.contains_key(Path::new(&format!("/etc/kubernetes/manifests/{component}.yaml")))
    }

    fn manifest(&self, component: &str) -> Option<String> {
        match self.paths.get(Path::new(&format!("/etc/kubernetes/manifests/{component}.yaml")))? {
            Node::File(text, _) => Some(String::from_utf8_lossy(text).into_owned()),
            Node::Dir(_) => None,
        }
    }

    /// The minor of the etcd in the manifest.
    fn etcd_minor(&self) -> Option<(u64, u64)> {
        let text = self.manifest("etcd")?;
        let (_, tag) = text.split_once("/etcd:")?;
        let mut numbers = tag.split('.').map_while(|number| number.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    }

    /// What the kubelet would do by itself after a change.
    fn live(&mut self) {
        if !self.paths.contains_key(Path::new(ETCD_DATA)) {
            (self.etcd_storage, self.etcd_downgrading) = (None, None);
        }
        if !self.others_serve && !self.paths.contains_key(Path::new(ETCD_DATA)) {
            self.objects.clear();
        }
        let manifests: Vec<_> =
            STATIC_PODS.into_iter().filter(|name| self.manifest(name).is_some()).collect();
        self.objects.retain(|_, object| {
            let of_here = object["kind"] == "Pod" && object["spec"]["nodeName"] == "node1";
            !of_here || manifests.iter().any(|name| object["metadata"]["labels"]["component"] == *name)
        });
        let configured = self.paths.contains_key(Path::new(crate::kubelet::CONFIG_FILE));
        if !self.kubelet_is_up() || !self.kubelet_works || !configured {
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
        for component in STATIC_PODS {
            let known = self.sandboxes.iter().any(|sandbox| sandbox.pod.starts_with(component));
            if self.serves(component) && !known {
                let pod = format!("{component}-node1");
                self.sandboxes.push(Sandbox {
                    id: component.into(),
                    pod,
                    namespace: "kube-system".into(),
                    ready: true,
                });
                if component == "etcd" {
                    self.paths.insert(ETCD_DATA.into(), Node::Dir(0o700));
                }
            }
        }
        // In whatever order they came.
        self.sandboxes.sort_by(|one, other| one.id.cmp(&other.id));
        if self.serves("etcd") {
            self.etcd_downgrading = self.etcd_downgrading.filter(|target| self.etcd_minor() > Some(*target));
            self.etcd_storage = self.etcd_downgrading.or_else(|| self.etcd_minor());
            // A member tells its name and its client URLs when it starts for the first time.
            let sleeps = self.learner_sleeps;
            for member in self.members.iter_mut().filter(|member| !sleeps && !member.has_started()) {
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
            self.mirror_static_pods();
        }
    }

    /// The kubelet tells the API server of the pods that it runs.
    fn mirror_static_pods(&mut self) {
        for component in STATIC_PODS {
            let Some(text) = self.manifest(component) else { continue };
            let image =
                text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image: "));
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": format!("{component}-node1"), "namespace": "kube-system",
                    "labels": {"component": component, "tier": "control-plane"},
                },
                "spec": {"nodeName": "node1", "containers": [{"name": component, "image": image}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            });
            self.objects.insert(key(&pod), pod);
        }
    }
}

/// What the kubelet runs by itself.
const STATIC_PODS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

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

    /// The API server that is meant: this machine's own, or whichever the kubeconfig names.
    fn api_of(&self, access: &ApiAccess) -> Result<MutexGuard<'_, World>, HostError> {
        let world = self.api()?;
        if access.server.is_some() && world.own_is_silent { Err(Self::silence()) } else { Ok(world) }
    }

    fn api(&self) -> Result<MutexGuard<'_, World>, HostError> {
        let world = lock(&self.world);
        if world.others_serve || world.serves("kube-apiserver") {
            return Ok(world);
        }
        Err(Self::silence())
    }

    fn silence() -> HostError {
        KubeError::Unreachable { server: "https://node1:6443".into(), waited: Duration::ZERO, source: None }
            .into()
    }
}

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

/// What a member says of itself.
fn status_of(world: &World, member: &Member) -> MemberStatus {
    let (major, minor) = world.etcd_storage.unwrap_or((3, 6));
    let revision = match world.catching_up {
        Some((own, _)) if member.is_learner => own,
        Some((_, others)) => others,
        None => revision_in(world),
    };
    MemberStatus {
        storage_version: format!("{major}.{minor}.0"),
        cluster_id: 1,
        member_id: member.id,
        revision,
        version: "3.6.0".into(),
        leader: world.members.first().filter(|_| !has_no_quorum(world)).map_or(0, |first| first.id),
        is_learner: member.is_learner,
        ..MemberStatus::default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
