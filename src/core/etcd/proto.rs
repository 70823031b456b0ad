//! The messages of etcd's v3 API that are used here, with the fields that are used.
//!
//! Written by hand, so that no protobuf compiler is needed to build. Field numbers are those of
//! `etcdserverpb/rpc.proto`, where they never change; fields left out are skipped on decoding.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    pub(super) cluster_id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) member_id: u64,
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Member {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) peer_urls: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) client_urls: Vec<String>,
    #[prost(bool, tag = "5")]
    pub(super) is_learner: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MemberAddRequest {
    #[prost(string, repeated, tag = "1")]
    pub(super) peer_urls: Vec<String>,
    #[prost(bool, tag = "2")]
    pub(super) is_learner: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MemberAddResponse {
    #[prost(message, optional, tag = "2")]
    pub(super) member: Option<Member>,
}

/// Of `KV.Range`, to count keys.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// The first key behind the range; a zero byte: to the end of all keys.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    /// As of then; 0 for now.
    #[prost(int64, tag = "4")]
    pub(super) revision: i64,
    #[prost(bool, tag = "9")]
    pub(super) count_only: bool,
}

/// Of `KV.DeleteRange`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteRangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// The first key behind the range.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeResponse {
    #[prost(int64, tag = "4")]
    pub(super) count: i64,
}

/// `MemberRemoveRequest` and `MemberPromoteRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MemberIdRequest {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MemberListRequest {
    /// Asks the quorum, not this member's memory.
    #[prost(bool, tag = "1")]
    pub(super) linearizable: bool,
}

/// `MemberListResponse`, and the answers to changes of members.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MembersResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    pub(super) members: Vec<Member>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(int64, tag = "3")]
    pub(super) db_size: i64,
    #[prost(uint64, tag = "4")]
    pub(super) leader: u64,
    #[prost(uint64, tag = "5")]
    pub(super) raft_index: u64,
    #[prost(uint64, tag = "6")]
    pub(super) raft_term: u64,
    #[prost(uint64, tag = "7")]
    pub(super) raft_applied_index: u64,
    #[prost(string, repeated, tag = "8")]
    pub(super) errors: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) db_size_in_use: i64,
    #[prost(bool, tag = "10")]
    pub(super) is_learner: bool,
    /// Since 3.6.
    #[prost(string, tag = "11")]
    pub(super) storage_version: String,
    /// Since 3.6.
    #[prost(message, optional, tag = "13")]
    pub(super) downgrade_info: Option<DowngradeInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DowngradeInfo {
    #[prost(bool, tag = "1")]
    pub(super) enabled: bool,
    #[prost(string, tag = "2")]
    pub(super) target_version: String,
}

/// Of `Maintenance.Downgrade`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DowngradeRequest {
    /// 0 to validate, 1 to enable, 2 to cancel.
    #[prost(int32, tag = "1")]
    pub(super) action: i32,
    /// `3.6`.
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DowngradeResponse {
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HashKvRequest {
    /// 0 for the latest.
    #[prost(int64, tag = "1")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HashKvResponse {
    #[prost(uint32, tag = "2")]
    pub(super) hash: u32,
    #[prost(int64, tag = "3")]
    pub(super) compact_revision: i64,
    #[prost(int64, tag = "4")]
    pub(super) hash_revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SnapshotResponse {
    #[prost(bytes = "vec", tag = "3")]
    pub(super) blob: Vec<u8>,
}
