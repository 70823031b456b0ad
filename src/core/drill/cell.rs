//! Inside: etcd and the API server are started and asked.

use std::{fs, io::BufRead, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{process::Command, sync::oneshot};

use super::{
    ApiFindings, ApiOrder, Expected, Findings, Order,
    fault::{Fault, rejected},
    program::Program,
};
use crate::{
    etcd::EtcdClient,
    health::Tls,
    kube::{KubeClient, KubeError},
    text::chain,
};

pub(super) const CLIENT_URL: &str = "http://127.0.0.1:2379";
pub(super) const PEER_URL: &str = "http://127.0.0.1:2380";
/// To open a database of several GiB on a slow disk.
const ETCD: Duration = Duration::from_mins(5);
/// An API server reads all that it serves.
const API_SERVER: Duration = Duration::from_mins(5);

/// What the cell says on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The backup works.
    Works(Findings),
    /// It does not, or nobody knows.
    Fails(Fault),
}

/// Reads the order from standard input, and stops when that ends: whoever gave the order is gone. The caller has to end the
/// process then; all that was started ends with it.
pub async fn run() -> Answer {
    let (send_order, order) = oneshot::channel();
    let (send_end, end) = oneshot::channel::<()>();
    // A thread of its own, which nobody waits for: reading cannot be stopped.
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut line = String::new();
        let _ = stdin.read_line(&mut line);
        let _ = send_order.send(line);
        let _ = std::io::copy(&mut stdin, &mut std::io::sink());
        drop(send_end);
    });
    let order = order.await.unwrap_or_default();
    let work = async {
        match serde_json::from_str::<Order>(&order) {
            Ok(order) => carry_out(&order).await,
            Err(error) => Err(Fault::Machine(format!("there is no order: {error}"))),
        }
    };
    let result = tokio::select! {
        result = work => result,
        _ = end => Err(Fault::Machine("whoever gave the order is gone".into())),
    };
    result.map_or_else(Answer::Fails, Answer::Works)
}

async fn carry_out(order: &Order) -> Result<Findings, Fault> {
    // A new network namespace has a loopback interface that is down.
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).output().await;
    let up = up.map_err(|error| Fault::Namespace(format!("ip: {error}")))?;
    if !up.status.success() {
        let why = String::from_utf8_lossy(&up.stderr);
        return Err(Fault::Namespace(format!("ip link set lo up: {}", why.trim())));
    }
    let mut etcd = start_etcd(order)?;
    let client =
        EtcdClient::new(&[CLIENT_URL.to_owned()], &Tls::PLAIN).map_err(|error| Fault::machine(&error))?;
    let status = loop {
        match client.status(CLIENT_URL).await {
            Ok(status) if status.leader != 0 => break status,
            Ok(_) => etcd.not_yet("it has no leader").await,
            Err(error) => etcd.not_yet(&chain(&error)).await,
        }
        .map_err(|not| rejected(not, order))?;
    };
    let etcd_ms = etcd.elapsed_ms();
    let said = |error: crate::etcd::EtcdError| Fault::Machine(format!("etcd answered: {}", chain(&error)));
    if status.revision != order.expected.revision {
        let (has, wanted) = (status.revision, order.expected.revision);
        return Err(Fault::Backup(format!("etcd has revision {has}, the backup {wanted}")));
    }
    let hash = client.hash_kv(CLIENT_URL, order.expected.revision).await.map_err(said)?;
    // Leases go on in here, and keys expire while the hash is computed.
    let keys = client.count("", order.expected.revision).await.map_err(said)?;
    let found = Expected { revision: status.revision, hash_kv: hash.hash, keys };
    compare(&order.expected, &found)?;
    let api_server = match &order.api_server {
        Some(api) => Some(serve(order, api, &client).await?),
        None => None,
    };
    Ok(Findings {
        etcd_version: status.version,
        etcd_ms,
        revision: found.revision,
        hash_kv: format!("{:08x}", found.hash_kv),
        keys,
        api_server,
    })
}

fn start_etcd(order: &Order) -> Result<Program, Fault> {
    let arguments = [
        "--name=drill".to_owned(),
        format!("--data-dir={}", order.dir.join("etcd-data").display()),
        format!("--listen-client-urls={CLIENT_URL}"),
        format!("--advertise-client-urls={CLIENT_URL}"),
        format!("--listen-peer-urls={PEER_URL}"),
        format!("--initial-advertise-peer-urls={PEER_URL}"),
        format!("--initial-cluster=drill={PEER_URL}"),
        // Without a quota: what fits is not in question.
        "--quota-backend-bytes=-1".to_owned(),
    ];
    Program::start("etcd", &order.etcd, &arguments, &order.dir, ETCD)
        .map_err(|error| Fault::Machine(format!("etcd cannot be started: {error}")))
}

fn compare(expected: &Expected, found: &Expected) -> Result<(), Fault> {
    if expected == found {
        return Ok(());
    }
    let text =
        |it: &Expected| format!("revision {}, hash {:08x} and {} keys", it.revision, it.hash_kv, it.keys);
    Err(Fault::Backup(format!("etcd has {}, the backup {}", text(found), text(expected))))
}

async fn serve(order: &Order, api: &ApiOrder, etcd: &EtcdClient) -> Result<ApiFindings, Fault> {
    let prefix = format!("{}/namespaces/", api.prefix.trim_end_matches('/'));
    let expected = etcd.count(&prefix, 0).await.map_err(|error| Fault::machine(&error))?;
    let mut server = Program::start("kube-apiserver", &api.program, &api.arguments, &order.dir, API_SERVER)
        .map_err(|error| Fault::Machine(format!("kube-apiserver cannot be started: {error}")))?;
    let file = fs::read(&api.kubeconfig).map_err(|error| Fault::machine(&error))?;
    let client = KubeClient::from_kubeconfig(&file).map_err(|error| Fault::machine(&error))?;
    loop {
        let why = match client.raw_get("/readyz").await {
            Ok((200, _)) => break,
            Ok((status, body)) => format!("status {status}: {}", body.trim()),
            Err(error) => chain(&error),
        };
        // Whether its flags, the machine or the backup are to blame, only its log tells.
        server.not_yet(&why).await.map_err(|not| Fault::Machine(not.to_string()))?;
    }
    let ready_ms = server.elapsed_ms();
    let said = |error: KubeError| {
        let text = format!("the API server answered: {}", chain(&error));
        // It has read an object and can make nothing of it. An etcd that is slow is another matter.
        let unreadable = matches!(&error, KubeError::Server { status: 500, message, .. } if !message.contains("etcdserver"));
        if unreadable { Fault::Backup(text) } else { Fault::Machine(text) }
    };
    let namespaces = client.list("Namespace", None).await.map_err(said)?.len();
    if (namespaces as u64) < expected {
        let text = format!("the API server lists {namespaces} namespaces, etcd has {expected}");
        return Err(Fault::Backup(text));
    }
    // What is encrypted in etcd can be read with the keys of the backup.
    let secrets = client.list("Secret", None).await.map_err(said)?.len();
    let (_, version) = client.raw_get("/version").await.map_err(said)?;
    let version: serde_json::Value = serde_json::from_str(&version).unwrap_or_default();
    let version = version["gitVersion"].as_str().unwrap_or_default().to_owned();
    Ok(ApiFindings { version, ready_ms, namespaces, secrets })
}
