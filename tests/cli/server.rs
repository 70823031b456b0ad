//! An API server that holds Nodes, and Secrets, ConfigMaps and Pods of kube-system, and nothing else: over plain HTTP, each answer
//! on a connection of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rkadm_core::pki::{CertSpec, CertUsage, KeyAlgorithm, PrivateKey, Sans, issue_ca};
use serde_json::{Value, json};

use crate::machine::{Machine, PKI};

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const NODES: &str = "/api/v1/nodes";
const CONFIG_MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const PODS: &str = "/api/v1/namespaces/kube-system/pods";

/// What a server does with calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// What it is asked for.
    Willing,
    /// Refuses them all: 403.
    Forbids,
    /// Reads, and refuses to change anything: 403.
    ReadOnly,
}

/// A server, until the test ends.
pub struct Server {
    address: String,
    secrets: Arc<Mutex<BTreeMap<String, Value>>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            secrets: Arc::default(),
            calls: Arc::default(),
        };
        let (secrets, calls) = (Arc::clone(&server.secrets), Arc::clone(&server.calls));
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&mut stream.unwrap(), mood, &secrets, &calls);
            }
        });
        server
    }

    /// A kubeconfig for it, in the machine's usual place.
    pub fn admin_of(&self, machine: &Machine) {
        let server = format!("http://{}", self.address);
        machine.write("/etc/kubernetes/admin.conf", kubeconfig(machine, &server));
    }

    /// The Secrets that it holds, by name.
    pub fn secrets(&self) -> BTreeMap<String, Value> {
        self.secrets.lock().unwrap().clone()
    }

    /// Puts an object there.
    pub fn put(&self, secret: Value) {
        let name = secret["metadata"]["name"].as_str().unwrap().to_owned();
        self.secrets.lock().unwrap().insert(name, secret);
    }

    /// Whether it was asked for any change.
    pub fn was_written_to(&self) -> bool {
        self.calls.lock().unwrap().iter().any(|call| !call.starts_with("GET"))
    }

    /// Takes its address out of a text.
    pub fn normalise(&self, text: &str) -> String {
        text.replace(&self.address, "<SERVER>")
    }
}

/// A kubeconfig whose user needs no credentials, with an authority of its own.
pub fn kubeconfig(machine: &Machine, server: &str) -> String {
    let spec = CertSpec {
        common_name: "kubernetes".into(),
        organizations: vec![],
        sans: Sans::default(),
        usage: CertUsage::Ca,
        validity: Duration::from_hours(24),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let ca = issue_ca(&spec, &key, "2030-01-01T00:00:00Z".parse().unwrap()).unwrap();
    machine.write(&format!("{PKI}/ca.crt"), ca.to_pem());
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": machine.pki("ca.crt")}}],
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    })
    .to_string()
}

fn serve(
    stream: &mut TcpStream,
    mood: Mood,
    secrets: &Mutex<BTreeMap<String, Value>>,
    calls: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let Some(first) = lines.first() else { return };
    let length = lines.iter().find_map(|line| {
        line.to_lowercase().strip_prefix("content-length:").map(|length| length.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    calls.lock().unwrap().push(first.clone());
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (status, answer) = answer(method, path, &body, mood, &mut secrets.lock().unwrap());
    let text = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .unwrap();
}

fn answer(
    method: &str,
    path: &str,
    body: &[u8],
    mood: Mood,
    secrets: &mut BTreeMap<String, Value>,
) -> (u16, Value) {
    let refused = |code: u16, reason: &str, message: &str| {
        (
            code,
            json!({"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}),
        )
    };
    // It has been up for long: who is refused now is refused for good.
    if path == "/readyz" {
        return (200, json!("ok"));
    }
    if mood == Mood::Forbids || (mood == Mood::ReadOnly && method != "GET") {
        return refused(403, "Forbidden", "secrets is forbidden: User \"u\" cannot do that");
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if method == "GET" && !path.starts_with(SECRETS) {
        let found = read(path, query, secrets);
        return found.map_or_else(|| refused(404, "NotFound", "not found"), |found| (200, found));
    }
    let name = path.strip_prefix(SECRETS).unwrap().trim_start_matches('/').to_owned();
    match (method, name.as_str()) {
        ("GET", "") => (200, json!({"items": secrets.values().collect::<Vec<_>>()})),
        ("POST", "") => {
            let secret: Value = serde_json::from_slice(body).unwrap();
            let name = secret["metadata"]["name"].as_str().unwrap().to_owned();
            if secrets.contains_key(&name) {
                return refused(409, "AlreadyExists", "it exists");
            }
            secrets.insert(name, secret.clone());
            (201, secret)
        }
        ("GET", name) => match secrets.get(name) {
            Some(secret) => (200, secret.clone()),
            None => refused(404, "NotFound", "not found"),
        },
        ("DELETE", name) => match secrets.remove(name) {
            Some(_) => (200, json!({"kind": "Status", "status": "Success"})),
            None => refused(404, "NotFound", "not found"),
        },
        _ => refused(405, "MethodNotAllowed", "no"),
    }
}

/// What is no Secret: Nodes, and ConfigMaps and Pods of kube-system.
fn read(path: &str, query: &str, objects: &BTreeMap<String, Value>) -> Option<Value> {
    let kinds = [("Node", NODES), ("ConfigMap", CONFIG_MAPS), ("Pod", PODS)];
    let (kind, of_kind) = kinds.into_iter().find(|(_, of_kind)| path.starts_with(of_kind))?;
    let mut all = objects.values().filter(|object| object["kind"] == kind);
    if let Some(name) = path.strip_prefix(of_kind).and_then(|rest| rest.strip_prefix('/')) {
        return all.find(|object| object["metadata"]["name"] == name).cloned();
    }
    let selector = query.split('&').find_map(|it| it.strip_prefix("labelSelector=")).unwrap_or_default();
    let selector = selector.replace("%3D", "=").replace("%2C", ",");
    let mut wanted = vec![];
    wanted.extend(selector.split(',').filter_map(|label| label.split_once('=')));
    let selected =
        |object: &&Value| wanted.iter().all(|(name, value)| object["metadata"]["labels"][name] == *value);
    Some(json!({"items": all.filter(selected).collect::<Vec<_>>()}))
}
