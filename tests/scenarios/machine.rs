//! The workflows under test, and the machine they run on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{joining, upgrading};
use jiff::Timestamp;
use rkadm_core::{
    backup::{lost::LostFile, trial::Peer},
    config::{
        Documents, HostFacts, InitFlags, ResolvedInit, Source, resolve_init, types::ResetConfiguration,
    },
    engine::{
        Cancel, Event, OnFailure, Reporter, RunError, RunOptions, RunReport, Runner, Workflow,
        event::Silent,
        journal::JournalDir,
        operation::Status,
        rollback::{self, RollbackError, Stubborn, TakenBack},
        runner::Header,
    },
    etcd::{EtcdAccess, Member},
    host::fake::{FakeHost, Node, World},
    pki::{KeyAlgorithm, PrivateKey, issue_ca, list},
};
use rkadm_phases::{
    csr::{self, Requests},
    init::{self, Cluster, Environment},
    join,
    renew::{self, Renewal},
    reset::Reset,
    restore::{self, ClusterRestore, NodeEtcd, Restore},
    upgrade,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// ECDSA keys: the scenarios make thousands.
const CONFIG: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
encryptionAlgorithm: ECDSA-P256
";

pub fn config() -> ResolvedInit {
    config_of("v1.37.2")
}

/// The same of another version.
pub fn config_of(version: &str) -> ResolvedInit {
    let text = CONFIG.replace("v1.37.2", version);
    let documents = Documents::load(&[Source::new("scenario.yaml", text)]).unwrap();
    let flags = InitFlags { upload_certs: true, ..InitFlags::default() };
    let facts = HostFacts {
        hostname: "node1".into(),
        default_ipv4: Some([10, 0, 0, 1].into()),
        cri_sockets: vec!["unix:///run/containerd/containerd.sock".into()],
        ..HostFacts::default()
    };
    resolve_init(&documents, &flags, &facts).unwrap()
}

/// A workflow that can be built again and again.
#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    config: Arc<ResolvedInit>,
    what: What,
    without: Option<&'static str>,
    digest: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Init,
    JoinWorker,
    JoinControlPlane,
    Renewal,
    Requests,
    Reset,
    Restore,
    Survivor,
    Together,
    Cluster,
    Upgrade,
    UpgradeNode,
}

/// Every workflow that exists.
pub fn workflows() -> Vec<Scenario> {
    let config = Arc::new(config());
    let scenario =
        |name, what| Scenario { name, config: Arc::clone(&config), what, without: None, digest: None };
    vec![
        scenario("init", What::Init),
        scenario("join (worker)", What::JoinWorker),
        scenario("join (control plane)", What::JoinControlPlane),
        scenario("certs renew all", What::Renewal),
        scenario("certs generate-csr", What::Requests),
        scenario("reset", What::Reset),
        scenario("restore etcd", What::Restore),
        scenario("restore etcd --from-survivor", What::Survivor),
        scenario("restore etcd --initial-cluster", What::Together),
        scenario("restore cluster", What::Cluster),
        scenario("upgrade apply", What::Upgrade),
        scenario("upgrade node", What::UpgradeNode),
    ]
}

/// With all that can be asked for, but what belongs to a cluster that goes on.
pub fn reset() -> Arc<Reset> {
    let config = ResetConfiguration {
        cleanup_tmp_dir: true,
        certificates_dir: "/etc/kubernetes/pki".into(),
        cri_socket: "unix:///run/containerd/containerd.sock".into(),
        ..ResetConfiguration::default()
    };
    Arc::new(Reset {
        config,
        archive_dir: Some("/var/lib/rkadm/archives".into()),
        cni: true,
        interfaces: true,
        ..Reset::default()
    })
}

impl Scenario {
    pub fn build(&self) -> Workflow {
        let mut workflow = match self.what {
            What::Init => {
                let environment = Environment { whole: true, ..Environment::default() };
                init::workflow(Arc::clone(&self.config), environment)
            }
            What::JoinWorker | What::JoinControlPlane => {
                join::workflow(joining::node(self.what == What::JoinControlPlane))
            }
            What::Renewal => renew::workflow(&Arc::new(Renewal {
                names: vec![],
                cert_dir: "/etc/kubernetes/pki".into(),
                config: None,
                names_from_config: false,
                restart: true,
                cri_socket: "unix:///run/containerd/containerd.sock".into(),
            })),
            What::Restore | What::Survivor | What::Together => restore::workflow(&Arc::new(Restore {
                id: "1".into(),
                node: NodeEtcd {
                    name: "node1".into(),
                    peer_urls: vec!["https://10.0.0.1:2380".into()],
                    data_dir: "/var/lib/etcd".into(),
                    pki: "/etc/kubernetes/pki".into(),
                    api_url: Some("https://10.0.0.1:6443".into()),
                    access: EtcdAccess {
                        endpoints: vec!["https://10.0.0.1:2379".into()],
                        ..EtcdAccess::default()
                    },
                    ..NodeEtcd::default()
                },
                // The backup is not said to be of these keys.
                force: true,
                survivor: self.what == What::Survivor,
                others: match self.what {
                    What::Together => {
                        vec![Peer { name: "node2".into(), peer_urls: vec!["https://10.0.0.2:2380".into()] }]
                    }
                    _ => vec![],
                },
                bump: 1,
                cri_socket: "unix:///run/containerd/containerd.sock".into(),
                ..Restore::default()
            })),
            What::Cluster => restore::cluster_workflow(&Arc::new(ClusterRestore {
                id: "1".into(),
                config: (*self.config).clone(),
                environment: Environment { whole: true, ..Environment::default() },
                bump: 1,
                files: lost_files(),
                ..ClusterRestore::default()
            })),
            What::Requests => csr::workflow(&Arc::new(Requests {
                config: (*self.config).clone(),
                cert_dir: "/etc/csr/pki".into(),
                kubeconfig_dir: Some("/etc/csr".into()),
            })),
            What::Reset => reset().workflow(),
            What::Upgrade => upgrade::apply(&upgrading::of(upgrade::Scope::Cluster)),
            What::UpgradeNode => upgrade::node(&upgrading::of(upgrade::Scope::Node)),
        };
        workflow.phases.retain(|phase| Some(phase.meta().id) != self.without);
        workflow
    }

    /// Whether a second run finds nothing to do. To renew is to do it again.
    pub fn is_idempotent(&self) -> bool {
        matches!(self.what, What::Init | What::JoinWorker | What::JoinControlPlane | What::Reset)
    }

    /// A machine that it can run on.
    pub async fn machine(&self) -> Machine {
        static FINISHED: OnceCell<World> = OnceCell::const_new();
        match self.what {
            What::Upgrade | What::UpgradeNode => return Machine::from_world(upgrading::world().await),
            What::Renewal | What::Reset | What::Restore | What::Survivor | What::Together => {}
            What::JoinWorker | What::JoinControlPlane => {
                return Machine::from_world(joining::world(Machine::ready().host.world()));
            }
            What::Init | What::Requests => return Machine::ready(),
            What::Cluster => {
                let mut world = Machine::ready().host.world();
                world.members = vec![member(1)];
                return Machine::from_world(world);
            }
        }
        let finished = FINISHED.get_or_init(|| async {
            let machine = Machine::ready();
            machine.run(&workflows()[0]).await.unwrap();
            machine.host.world()
        });
        let mut world = finished.await.clone();
        match self.what {
            What::Restore => world.members = vec![member(1)],
            What::Together => world.members = vec![member(1), member(2)],
            What::Survivor => {
                world.members = vec![member(1), member(2)];
                world.quorum_lost = true;
            }
            _ => {}
        }
        Machine::from_world(world)
    }

    pub fn without(&self, phase: &'static str) -> Self {
        Self { without: Some(phase), ..self.clone() }
    }

    /// Of another version of Kubernetes.
    pub fn of_version(&self, version: &str) -> Self {
        Self { config: Arc::new(config_of(version)), ..self.clone() }
    }

    pub fn with_digest(&self, digest: &'static str) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    fn header(&self) -> Header {
        Header {
            command: vec!["rkadm".into(), "init".into()],
            config: serde_json::to_value(&*self.config).unwrap(),
            digest: self.digest.map_or_else(|| self.config.digest(), str::to_owned),
            secrets: vec![],
        }
    }

    /// How many changes an undisturbed run makes.
    pub async fn changes(&self) -> usize {
        let machine = self.machine().await;
        machine.run(self).await.unwrap();
        machine.host.changes().len()
    }

    /// What an undisturbed run leaves.
    pub async fn outcome(&self) -> Shape {
        let machine = self.machine().await;
        machine.run(self).await.unwrap();
        shape(&machine.host.world())
    }
}

fn member(id: u64) -> Member {
    Member {
        id,
        name: format!("node{id}"),
        peer_urls: vec![format!("https://10.0.0.{id}:2380")],
        client_urls: vec![format!("https://10.0.0.{id}:2379")],
        is_learner: false,
    }
}

/// Keys of a cluster that is no more, and a file of its operators.
fn lost_files() -> Vec<LostFile> {
    static FILES: LazyLock<Vec<LostFile>> = LazyLock::new(|| {
        let file = |path: PathBuf, bytes: Vec<u8>| LostFile { path, mode: 0o600, owner: None, bytes };
        let mut files = vec![file("/srv/audit/policy.yaml".into(), b"kind: Policy\n".to_vec())];
        let pki = Path::new("/etc/kubernetes/pki");
        let inputs = Cluster::new(Arc::new(config()), Environment::default()).cert_inputs().unwrap();
        for name in ["ca", "front-proxy-ca", "etcd-ca"] {
            let entry = list::entry(name).unwrap();
            let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
            let cert = issue_ca(&entry.spec(&inputs), &key, Timestamp::now()).unwrap();
            files.push(file(pki.join(entry.cert_file()), cert.to_pem().into_bytes()));
            files.push(file(pki.join(entry.key_file()), key.to_pem().as_bytes().to_vec()));
        }
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        files.push(file(pki.join("sa.pub"), key.public_key_pem().into_bytes()));
        files.push(file(pki.join("sa.key"), key.to_pem().as_bytes().to_vec()));
        files
    });
    FILES.clone()
}

/// A machine in memory with its journals on disk.
pub struct Machine {
    pub host: FakeHost,
    root: TempDir,
}

impl Machine {
    /// Prepared for `init`.
    pub fn ready() -> Self {
        Self::ready_for(&config())
    }

    /// With the images of this configuration.
    pub fn ready_for(config: &ResolvedInit) -> Self {
        let mut world = World::ready()
            .with_answer("kubelet --version", &format!("Kubernetes {}\n", config.kubernetes_version))
            .with_answer("getent ahosts node1", "10.0.0.1 STREAM node1\n")
            .with_file("/proc/swaps", "")
            .with_file("/proc/sys/net/ipv4/ip_forward", "1\n");
        world.images = config.images().into_iter().collect();
        world.programs = ["losetup", "mount", "cp"].into_iter().map(str::to_owned).collect();
        Self::from_world(world)
    }

    pub fn from_world(world: World) -> Self {
        Self { host: FakeHost::new(world), root: memory_dir() }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub async fn run(&self, scenario: &Scenario) -> Result<RunReport, RunError> {
        self.run_with(scenario, OnFailure::Rollback).await
    }

    pub async fn run_with(&self, scenario: &Scenario, on_failure: OnFailure) -> Result<RunReport, RunError> {
        self.run_watched(scenario, on_failure, &Silent).await
    }

    pub async fn run_watched(
        &self,
        scenario: &Scenario,
        on_failure: OnFailure,
        reporter: &dyn Reporter,
    ) -> Result<RunReport, RunError> {
        self.run_until(scenario, on_failure, reporter, &Cancel::default()).await
    }

    /// The same, with an operator who may ask to stop.
    pub async fn run_until(
        &self,
        scenario: &Scenario,
        on_failure: OnFailure,
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<RunReport, RunError> {
        let registry = rkadm_phases::actions();
        let runner =
            Runner { host: &self.host, reporter, registry: &registry, cancel, root: self.root().to_owned() };
        let options =
            RunOptions { skip: BTreeSet::new(), on_failure, key_algorithm: Some(KeyAlgorithm::EcdsaP256) };
        runner.run(&scenario.build(), scenario.header(), &options).await
    }

    /// A reset that is not the one of the scenarios.
    pub async fn run_reset(&self, reset: &Arc<Reset>) -> Result<RunReport, RunError> {
        self.run_workflow(&reset.workflow(), &Silent).await
    }

    /// A workflow that is none of the scenarios.
    pub async fn run_workflow(
        &self,
        workflow: &Workflow,
        reporter: &dyn Reporter,
    ) -> Result<RunReport, RunError> {
        let registry = rkadm_phases::actions();
        let cancel = Cancel::default();
        let runner = Runner {
            host: &self.host,
            reporter,
            registry: &registry,
            cancel: &cancel,
            root: self.root().to_owned(),
        };
        let header = Header {
            command: vec!["rkadm".into(), workflow.name.clone()],
            config: serde_json::Value::Null,
            digest: workflow.name.clone(),
            secrets: vec![],
        };
        runner.run(workflow, header, &RunOptions::default()).await
    }

    /// Runs it until the process dies; false when it does not.
    pub async fn crashes_in_reset(&self, reset: &Arc<Reset>) -> bool {
        died(self.run_reset(reset)).await
    }

    /// Runs until the process dies; false when it does not.
    pub async fn crashes(&self, scenario: &Scenario) -> bool {
        died(self.run(scenario)).await
    }

    /// The same with a reporter that dies.
    pub async fn crashes_at(&self, scenario: &Scenario, crashing: Crashing) -> bool {
        died(self.run_watched(scenario, OnFailure::Rollback, &crashing)).await
    }

    /// The same with a rollback.
    pub async fn crashes_in_rollback(&self) -> bool {
        died(self.roll_back()).await
    }

    pub async fn roll_back(&self) -> Result<usize, RollbackError> {
        self.roll_back_watched(&Silent).await
    }

    pub async fn roll_back_watched(&self, reporter: &dyn Reporter) -> Result<usize, RollbackError> {
        self.roll_back_until(Stubborn::Stop, reporter, &Cancel::default()).await.map(|taken| taken.undone)
    }

    /// The same, with an operator who may ask to stop, or to leave what cannot be taken back.
    pub async fn roll_back_until(
        &self,
        stubborn: Stubborn,
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<TakenBack, RollbackError> {
        let registry = rkadm_phases::actions();
        let runner =
            Runner { host: &self.host, reporter, registry: &registry, cancel, root: self.root().to_owned() };
        rollback::roll_back_operation(&runner, &self.newest(), stubborn).await.map(|(_, taken)| taken)
    }

    /// Where the newest operation stands.
    pub fn status(&self) -> Status {
        JournalDir::below(self.root())
            .load_all()
            .unwrap()
            .pop()
            .map_or(Status::New, |operation| operation.status)
    }

    /// Whether the newest operation has gone past where it can be taken back from.
    pub fn has_committed(&self) -> bool {
        let newest = JournalDir::below(self.root()).load_all().unwrap().pop();
        newest.is_some_and(|operation| operation.commit_point().is_some())
    }

    pub fn journal_text(&self, operation: &str) -> String {
        fs::read_to_string(JournalDir::below(self.root()).path().join(format!("{operation}.jsonl"))).unwrap()
    }

    /// The id of the newest operation.
    pub fn newest(&self) -> String {
        JournalDir::below(self.root()).ids().unwrap().pop().expect("an operation")
    }

    pub fn newest_journal(&self) -> String {
        self.journal_text(&self.newest())
    }

    pub fn plant_journal(&self, operation: &str, text: &str) {
        let dir = JournalDir::below(self.root());
        fs::create_dir_all(dir.path()).unwrap();
        fs::write(dir.path().join(format!("{operation}.jsonl")), text).unwrap();
    }
}

/// Whether a run ended in a panic, which stands for a killed process.
async fn died<T>(run: impl Future<Output = T>) -> bool {
    use futures::FutureExt;
    std::panic::AssertUnwindSafe(run).catch_unwind().await.is_err()
}

/// A reporter in which the process dies at the event with this number.
pub struct Crashing {
    at: usize,
    seen: AtomicUsize,
}

impl Crashing {
    pub fn at(at: usize) -> Self {
        Self { at, seen: AtomicUsize::new(0) }
    }
}

impl Reporter for Crashing {
    fn report(&self, event: Event) {
        // Once the operation is finished there is nothing to resume.
        if matches!(event, Event::OperationFinished { .. }) {
            return;
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        assert!(number != self.at, "the process dies at event {number}");
    }
}

/// A machine without what is random: keys, tokens, what they sign and encrypt.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    paths: BTreeMap<String, String>,
    objects: BTreeSet<String>,
    services: BTreeMap<String, String>,
    sandboxes: BTreeSet<String>,
}

pub fn shape(world: &World) -> Shape {
    let path = |(path, node): (&PathBuf, &Node)| {
        let kind = match node {
            Node::Dir(mode) => format!("dir {mode:o}"),
            Node::File(content, mode) => {
                format!("file {mode:o} {}", if content.is_empty() { "empty" } else { "full" })
            }
        };
        (path.display().to_string(), kind)
    };
    // A token's id is random; how many tokens there are is not compared: each attempt may leave one that expires.
    let object = |name: &String| match name.split_once("bootstrap-token-") {
        Some((kind, _)) => format!("{kind}bootstrap-token"),
        None => name.clone(),
    };
    Shape {
        paths: world.paths.iter().map(path).collect(),
        objects: world.objects.keys().map(object).collect(),
        services: world.services.iter().map(|(name, state)| (name.clone(), state.active.clone())).collect(),
        sandboxes: world.sandboxes.iter().map(|sandbox| sandbox.pod.clone()).collect(),
    }
}

/// Journals are synced to the disk record by record; thousands of scenarios need not wait for a real one.
fn memory_dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}
