//! Nodes that join: what their cluster told them, and the world that it is in.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use rkadm_core::{
    config::{Documents, HostFacts, JoinFlags, Secret, resolve_join},
    discovery::{ClusterSettings, FoundCluster, NodeSeen},
    etcd::Member,
    host::fake::{Fault, Node, World},
    kubeconfig::{self, Credentials},
    pki::{
        self, KeyAlgorithm, PrivateKey,
        encrypt::{CertificateKey, SHARED_FILES},
        list,
    },
};
use rkadm_phases::{
    init::Environment,
    join::{JoinRequest, Joining},
};
use serde_json::json;

use crate::machine::config;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "https://10.0.0.9";

/// A node that joins, with all that it asked its cluster for.
pub fn node(control_plane: bool) -> &'static Arc<Joining> {
    static WORKER: OnceLock<Arc<Joining>> = OnceLock::new();
    static CONTROL_PLANE: OnceLock<Arc<Joining>> = OnceLock::new();
    let made = if control_plane { &CONTROL_PLANE } else { &WORKER };
    made.get_or_init(|| Arc::new(Joining::new(request(control_plane)).unwrap()))
}

/// What it asked for, and what it was told.
pub fn request(control_plane: bool) -> JoinRequest {
    let flags = JoinFlags {
        endpoint: Some("10.0.0.9:6443".into()),
        token: Some("abcdef.0123456789abcdef".into()),
        unsafe_skip_ca_verification: true,
        control_plane,
        certificate_key: control_plane.then(|| Secret::from(KEY)),
        ..JoinFlags::default()
    };
    let facts = HostFacts {
        hostname: "node1".into(),
        default_ipv4: Some([10, 0, 0, 1].into()),
        cri_sockets: vec!["unix:///run/containerd/containerd.sock".into()],
        ..HostFacts::default()
    };
    let mut cluster = config();
    cluster.cluster.control_plane_endpoint = "10.0.0.9:6443".into();
    let files = shared_files();
    let ca = files.iter().find(|(name, _)| *name == "ca.crt").map(|(_, pem)| pem.clone()).unwrap();
    let key: CertificateKey = KEY.parse().unwrap();
    let certs = files.iter().map(|(name, plain)| {
        use base64::Engine as _;
        let encrypted = key.encrypt(plain.as_bytes()).unwrap();
        ((*name).to_owned(), Secret::new(base64::engine::general_purpose::STANDARD.encode(encrypted)))
    });
    let server = format!("{OTHER}:6443");
    let token = Credentials::Token("abcdef.0123456789abcdef");
    let bootstrap = kubeconfig::build("kubernetes", &server, Some(ca.as_bytes()), "token", &token);
    JoinRequest {
        join: resolve_join(&Documents::none(), &flags, &facts).unwrap(),
        found: FoundCluster {
            server,
            ca,
            bootstrap: Secret::new(bootstrap.to_yaml().as_str()),
            ..FoundCluster::default()
        },
        settings: ClusterSettings {
            cluster: rkadm_core::yaml::to_string(&{
                use rkadm_core::config::types::Kind as _;
                cluster.cluster.to_document()
            }),
            kubelet: rkadm_core::yaml::to_string(&cluster.kubelet),
            node: NodeSeen::Absent,
            certs: control_plane.then(|| certs.collect()),
        },
        environment: Environment { whole: true, ..Environment::default() },
        ..JoinRequest::default()
    }
}

/// What the control planes of the cluster share, by names of the uploaded Secret.
fn shared_files() -> Vec<(&'static str, String)> {
    let key = || PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let now = Timestamp::now();
    let mut files = vec![];
    for (name, file) in SHARED_FILES {
        let Some(base) = file.strip_suffix(".crt") else { continue };
        let entry = list::ENTRIES.iter().find(|entry| entry.base_name == base).unwrap();
        let ca_key = key();
        let inputs =
            rkadm_phases::init::Cluster::new(Arc::new(config()), Environment::default()).cert_inputs();
        let ca = pki::issue_ca(&entry.spec(&inputs.unwrap()), &ca_key, now).unwrap();
        files.push((name, ca.to_pem()));
        let key_name = SHARED_FILES.iter().find(|(_, other)| *other == format!("{base}.key")).unwrap().0;
        files.push((key_name, ca_key.to_pem().to_string()));
    }
    let account = key();
    files.push(("sa.key", account.to_pem().to_string()));
    files.push(("sa.pub", account.public_key_pem()));
    files
}

/// A machine beside a cluster of one control plane, which serves.
pub fn world(mut ready: World) -> World {
    ready.others_serve = true;
    ready.members = vec![Member {
        id: 9,
        name: "node9".into(),
        peer_urls: vec![format!("{OTHER}:2380")],
        client_urls: vec![format!("{OTHER}:2379")],
        is_learner: false,
    }];
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "etcd-node9", "namespace": "kube-system",
            "labels": {"component": "etcd", "tier": "control-plane"},
            "annotations": {"kubeadm.kubernetes.io/etcd.advertise-client-urls": format!("{OTHER}:2379")},
        },
    });
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {}});
    for object in [pod, namespace("kube-system"), namespace("kube-public")] {
        let key = rkadm_core::kube::ObjectRef::of(&object).unwrap().to_string();
        ready.objects.insert(key, object);
    }
    ready
}

/// Certificates that were brought, of a cluster with another service subnet: pods would not trust this API server.
#[tokio::test]
async fn a_certificate_of_another_service_subnet_is_told() {
    use rkadm_core::{
        engine::OnFailure,
        pki::{CertSpec, CertUsage, Certificate, Sans},
    };
    let join = crate::machine::workflows().into_iter().find(|it| it.name == "join (control plane)").unwrap();
    let machine = join.machine().await;
    let shared = node(true).request.settings.certs.clone().unwrap();
    let key: CertificateKey = KEY.parse().unwrap();
    let plain = |name: &str| {
        use base64::Engine as _;
        let encrypted = base64::engine::general_purpose::STANDARD.decode(shared[name].expose()).unwrap();
        key.decrypt(&encrypted).unwrap()
    };
    let ca = Certificate::from_pem(&plain("ca.crt")).unwrap();
    let ca_key = PrivateKey::from_pem(&plain("ca.key")).unwrap();
    let own = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let spec = CertSpec {
        common_name: "kube-apiserver".into(),
        organizations: vec![],
        sans: Sans { dns: vec!["node1".into()], ips: vec!["10.200.0.1".parse().unwrap()] },
        usage: CertUsage::Server,
        validity: std::time::Duration::from_hours(24),
    };
    let certificate = pki::issue(&spec, &own, &ca, &ca_key, Timestamp::now()).unwrap();
    machine.host.edit(|world| {
        for dir in ["/etc/kubernetes", "/etc/kubernetes/pki"] {
            world.paths.insert(dir.into(), Node::Dir(0o755));
        }
        let mut put = |name: &str, text: &str| {
            world.paths.insert(format!("/etc/kubernetes/pki/{name}").into(), Node::File(text.into(), 0o600));
        };
        put("apiserver.crt", &certificate.to_pem());
        put("apiserver.key", &own.to_pem());
    });
    let heard = crate::unfinished::Heard::default();
    machine.run_watched(&join, OnFailure::Rollback, &heard).await.unwrap();
    let warnings = heard.0.into_inner().unwrap();
    let told = warnings.iter().find(|it| it.starts_with("certs/apiserver: ")).expect("nothing is told");
    assert!(told.contains("not valid for") && told.contains("10.96.0.1"), "{told}");
}

/// etcd compares the list of its manifest with the members that there are, and does not start where they differ.
#[tokio::test]
async fn a_manifest_that_etcd_has_not_started_with_is_made_anew_with_the_members_of_now() {
    const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
    const GONE: &str = "https://10.0.0.8:2380";
    let join = crate::machine::workflows().into_iter().find(|it| it.name == "join (control plane)").unwrap();
    let with_eight = async || {
        let machine = join.machine().await;
        machine.host.edit(|world| {
            let nine = world.members[0].clone();
            let urls = (vec![GONE.to_owned()], vec!["https://10.0.0.8:2379".to_owned()]);
            world.members.push(Member {
                id: 8,
                name: "node8".into(),
                peer_urls: urls.0,
                client_urls: urls.1,
                ..nine
            });
        });
        machine
    };
    let undisturbed = with_eight().await;
    undisturbed.run(&join).await.unwrap();
    let changes = undisturbed.host.changes();
    let written =
        changes.iter().position(|change| change.contains(MANIFEST)).expect("no manifest is written");
    let machine = with_eight().await;
    machine.host.inject(written, Fault::CrashAfter);
    assert!(machine.crashes(&join).await);
    let manifest = |machine: &crate::machine::Machine| match &machine.host.world().paths[Path::new(MANIFEST)]
    {
        Node::File(text, _) => String::from_utf8_lossy(text).into_owned(),
        Node::Dir(_) => unreachable!(),
    };
    assert!(manifest(&machine).contains(GONE), "the list of then");
    // The power went before the kubelet saw the manifest, and the other was removed until it came back.
    machine.host.edit(|world| {
        world.paths.remove(Path::new("/var/lib/etcd/member"));
        world.sandboxes.retain(|sandbox| sandbox.id != "etcd");
        world.members.retain(|member| member.id != 8);
        for own in world.members.iter_mut().filter(|member| member.id != 9) {
            (own.name, own.client_urls) = (String::new(), vec![]);
        }
    });
    machine.run(&join).await.unwrap();
    assert!(!manifest(&machine).contains(GONE), "{}", manifest(&machine));
    assert!(machine.host.world().members.iter().all(|member| !member.is_learner));
}
