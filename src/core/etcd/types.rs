//! What etcd says of itself, in words of this project.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::proto;

/// How to reach an etcd cluster: client URLs, and the files of a client that its members accept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdAccess {
    /// Client URLs, tried in this order.
    pub endpoints: Vec<String>,
    /// CA file that the members' certificates are checked against; empty where they serve without TLS.
    pub ca: PathBuf,
    /// Client certificate file; empty where etcd asks for none.
    pub certificate: PathBuf,
    /// Its key file.
    pub key: PathBuf,
}

impl EtcdAccess {
    /// With the client certificate that kubeadm makes for probes, in the directory of etcd's PKI (`pki/etcd`).
    pub fn of_health_check(pki: &Path, endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            ca: pki.join("ca.crt"),
            certificate: pki.join("healthcheck-client.crt"),
            key: pki.join("healthcheck-client.key"),
        }
    }

    /// The same client at other endpoints.
    #[must_use]
    pub fn at(&self, endpoints: Vec<String>) -> Self {
        Self { endpoints, ..self.clone() }
    }
}

/// A member of the cluster, as the quorum knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id; etcd's tools print it as hex.
    pub id: u64,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started for the first time.
    pub client_urls: Vec<String>,
    /// It gets the log but has no vote.
    pub is_learner: bool,
}

impl Member {
    /// Whether the member has ever told the cluster its name, which it does when it starts for the first time.
    pub fn has_started(&self) -> bool {
        !self.name.is_empty()
    }

    /// The id as etcd's tools print it.
    pub fn hex_id(&self) -> String {
        format!("{:x}", self.id)
    }

    /// Name, or where there is none yet the peer URL, with the id.
    pub fn describe(&self) -> String {
        let name = if self.name.is_empty() { self.peer_urls.join(", ") } else { self.name.clone() };
        format!("{name} ({:x})", self.id)
    }
}

impl From<proto::Member> for Member {
    fn from(wire: proto::Member) -> Self {
        Self {
            id: wire.id,
            name: wire.name,
            peer_urls: wire.peer_urls,
            client_urls: wire.client_urls,
            is_learner: wire.is_learner,
        }
    }
}

/// What one member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Id of the cluster.
    pub cluster_id: u64,
    /// Its id.
    pub member_id: u64,
    /// The newest revision that it has.
    pub revision: i64,
    /// Version of the server, without `v`.
    pub version: String,
    /// Bytes of its database file.
    pub db_size: i64,
    /// Bytes of it that hold data.
    pub db_size_in_use: i64,
    /// Id of the leader, 0 where there is none.
    pub leader: u64,
    /// Newest index of its raft log.
    pub raft_index: u64,
    /// Raft term.
    pub raft_term: u64,
    /// Newest index that it has applied.
    pub raft_applied_index: u64,
    /// Alarms and the like.
    pub errors: Vec<String>,
    /// It has no vote.
    pub is_learner: bool,
    /// Version of the schema of its database, `3.6.0`: servers of older minors do not open it. Empty before 3.6.
    #[serde(default)]
    pub storage_version: String,
    /// The minor, `3.6`, that the cluster is on its way back to.
    #[serde(default)]
    pub downgrading_to: Option<String>,
}

impl From<proto::StatusResponse> for MemberStatus {
    fn from(wire: proto::StatusResponse) -> Self {
        let header = wire.header.unwrap_or_default();
        Self {
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            revision: header.revision,
            version: wire.version,
            db_size: wire.db_size,
            db_size_in_use: wire.db_size_in_use,
            leader: wire.leader,
            raft_index: wire.raft_index,
            raft_term: wire.raft_term,
            raft_applied_index: wire.raft_applied_index,
            errors: wire.errors,
            storage_version: wire.storage_version,
            downgrading_to: wire.downgrade_info.filter(|info| info.enabled).map(|info| info.target_version),
            is_learner: wire.is_learner,
        }
    }
}

/// A member's hash of all keys at a revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashKv {
    /// CRC-32C of the keys and their history.
    pub hash: u32,
    /// Revision before which history was compacted.
    pub compact_revision: i64,
    /// Revision that was hashed; 0 from members that do not tell (before 3.6).
    pub hash_revision: i64,
}

/// How many voting members of so many must be up for the cluster to take writes.
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_member_adds_no_tolerance() {
        let tolerated: Vec<_> = (1..=5).map(|voters| voters - quorum(voters)).collect();
        assert_eq!(tolerated, [0, 0, 1, 1, 2]);
    }

    #[test]
    fn a_member_without_a_name_is_told_by_its_peer_url() {
        let member =
            Member { id: 0xab, peer_urls: vec!["https://10.0.0.2:2380".into()], ..Member::default() };
        assert_eq!(member.describe(), "https://10.0.0.2:2380 (ab)");
        assert!(!member.has_started());
    }
}
