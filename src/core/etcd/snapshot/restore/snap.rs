//! The snapshot file of raft. Up to 3.6 etcd looks for one when it starts; it holds the members as etcd 2 kept them, in
//! JSON. What raft needs of it, the voters, stands in the log too.

use std::io::Write as _;
use std::path::Path;

use prost::Message as _;
use serde_json::{Map, Value, json};

use super::membership::{ClusterMember, NewCluster};
use super::{RestoreError, Result, create, wal};
use crate::etcd::snapshot::proto::{RaftSnapshot, SnapFile, SnapshotMetadata};

/// How many events etcd 2 remembered. The queue must have that length, or etcd cannot add to it.
const EVENTS: usize = 1000;

pub(super) fn write(dir: &Path, cluster: &NewCluster) -> Result<()> {
    let path = dir.join(format!("{:016x}-{:016x}.snap", NewCluster::TERM, cluster.index()));
    let mut file = create(&path)?;
    file.write_all(&content(cluster)).map_err(RestoreError::io("write", &path))?;
    file.sync_all().map_err(RestoreError::io("sync", &path))
}

fn content(cluster: &NewCluster) -> Vec<u8> {
    let (index, term) = (Some(cluster.index()), Some(NewCluster::TERM));
    let metadata = SnapshotMetadata { conf_state: Some(wal::conf_state(cluster)), index, term };
    let data = serde_json::to_vec(&store(cluster)).unwrap_or_default();
    let data = RaftSnapshot { data: Some(data), metadata: Some(metadata) }.encode_to_vec();
    SnapFile { crc: Some(crc32c::crc32c(&data)), data: Some(data) }.encode_to_vec()
}

fn node(path: &str, index: usize, value: &str, children: &Value) -> Value {
    json!({
        "Path": path,
        "CreatedIndex": index,
        "ModifiedIndex": index,
        "ExpireTime": "0001-01-01T00:00:00Z",
        "Value": value,
        "Children": children,
    })
}

fn member(member: &ClusterMember, index: usize) -> (String, Value) {
    let path = format!("/0/members/{}", member.key());
    let attributes = json!({ "peerURLs": member.peer_urls }).to_string();
    let attributes = node(&format!("{path}/raftAttributes"), index, &attributes, &Value::Null);
    (member.key(), node(&path, index, "", &json!({ "raftAttributes": attributes })))
}

fn store(cluster: &NewCluster) -> Value {
    let members: Map<_, _> = cluster.members.iter().zip(1..).map(|(it, index)| member(it, index)).collect();
    let members = node("/0/members", 1, "", &Value::Object(members));
    let children = json!({
        "0": node("/0", 0, "", &json!({ "members": members })),
        "1": node("/1", 0, "", &json!({})),
    });
    let queue =
        json!({ "Events": vec![Value::Null; EVENTS], "Size": 0, "Front": 0, "Back": 0, "Capacity": EVENTS });
    let counters = [
        "getsSuccess",
        "getsFail",
        "setsSuccess",
        "setsFail",
        "deleteSuccess",
        "deleteFail",
        "updateSuccess",
        "updateFail",
        "createSuccess",
        "createFail",
        "compareAndSwapSuccess",
        "compareAndSwapFail",
        "compareAndDeleteSuccess",
        "compareAndDeleteFail",
        "expireCount",
        "watchers",
    ];
    let stats: Map<_, _> = counters.iter().map(|name| ((*name).to_owned(), json!(0))).collect();
    json!({
        "Root": node("/", 0, "", &children),
        "WatcherHub": { "EventHistory": { "Queue": queue, "StartIndex": 0, "LastIndex": 0 } },
        "CurrentIndex": cluster.members.len(),
        "Stats": stats,
        "CurrentVersion": 2,
    })
}
