//! The write-ahead log of a cluster that has just begun: who its members are, and that all of it is applied.
//!
//! A frame is a length of 8 bytes and a protobuf record, filled up with zeros to a multiple of 8. The high byte of the
//! length says how many zeros. Each record has the CRC32C of all data up to and with its own.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use prost::Message as _;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::membership::NewCluster;
use super::{RestoreError, Result, create};
use crate::etcd::snapshot::proto::{
    ConfChange, ConfState, Entry, HardState, Metadata, WalRecord, WalSnapshot,
};
use crate::etcd::snapshot::raft_log::{CRC, ENTRY, METADATA, SNAPSHOT, STATE};

/// The room that etcd takes for each file of the log.
const SEGMENT: u64 = 64_000_000;
/// Sequence number 0, first index 0.
const NAME: &str = "0000000000000000-0000000000000000.wal";

/// An entry that changes the membership.
const CONF_CHANGE: i32 = 1;
const ADD_NODE: i32 = 0;

pub(super) fn write(dir: &Path, cluster: &NewCluster) -> Result<()> {
    let path = dir.join(NAME);
    let file = create(&path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SEGMENT) {
        Ok(()) => {}
        // File systems that cannot reserve room, such as NFS: etcd goes on without, too.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            file.set_len(SEGMENT).map_err(RestoreError::io("make room in", &path))?;
        }
        Err(error) => return Err(RestoreError::io("make room in", &path)(error.into())),
    }
    file.write_all_at(&log(cluster), 0).map_err(RestoreError::io("write", &path))?;
    file.sync_all().map_err(RestoreError::io("sync", &path))
}

/// The voters of the new cluster: all members.
pub(super) fn conf_state(cluster: &NewCluster) -> ConfState {
    ConfState { voters: cluster.ids(), auto_leave: Some(false), ..ConfState::default() }
}

fn log(cluster: &NewCluster) -> Vec<u8> {
    let mut log = Log::default();
    log.frame(CRC, None);
    let metadata = Metadata { node: Some(cluster.this), cluster: Some(cluster.id) };
    log.frame(METADATA, Some(metadata.encode_to_vec()));
    let nothing = WalSnapshot { index: Some(0), term: Some(0), conf_state: None };
    log.frame(SNAPSHOT, Some(nothing.encode_to_vec()));
    let term = Some(NewCluster::TERM);
    for (member, index) in cluster.members.iter().zip(1..) {
        let context = Some(member.json());
        let change = ConfChange { id: Some(0), kind: Some(ADD_NODE), node: Some(member.id), context };
        let data = Some(change.encode_to_vec());
        let entry = Entry { kind: Some(CONF_CHANGE), term, index: Some(index), data };
        log.frame(ENTRY, Some(entry.encode_to_vec()));
    }
    let (vote, commit) = (cluster.ids().first().copied(), Some(cluster.index()));
    log.frame(STATE, Some(HardState { term, vote, commit }.encode_to_vec()));
    let snapshot = WalSnapshot { index: commit, term, conf_state: Some(conf_state(cluster)) };
    log.frame(SNAPSHOT, Some(snapshot.encode_to_vec()));
    log.bytes
}

#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    crc: u32,
}

impl Log {
    fn frame(&mut self, kind: i64, data: Option<Vec<u8>>) {
        self.crc = crc32c::crc32c_append(self.crc, data.as_deref().unwrap_or_default());
        let record = WalRecord { kind: Some(kind), crc: Some(self.crc), data }.encode_to_vec();
        let padding = record.len().next_multiple_of(8) - record.len();
        let mark = if padding == 0 { 0 } else { 0x80 | padding as u64 };
        self.bytes.extend((record.len() as u64 | mark << 56).to_le_bytes());
        self.bytes.extend(record);
        self.bytes.extend(std::iter::repeat_n(0, padding));
    }
}

#[cfg(test)]
mod tests {
    use super::super::membership::NewMember;
    use super::*;

    /// Offsets and checksums are those of the log that etcdutl 3.6 wrote for the same members.
    #[test]
    fn the_log_is_that_of_etcdutl() {
        let member = |name: &str, url: &str| NewMember { name: name.into(), peer_urls: vec![url.into()] };
        let members = [member("n1", "http://127.0.0.1:12380"), member("n2", "http://127.0.0.1:12390")];
        let cluster = NewCluster::new(&members, "n1", "etcd-cluster").unwrap();
        let log = log(&cluster);
        let mut at = 0;
        let mut found = vec![];
        while at < log.len() {
            let head = u64::from_le_bytes(log[at..at + 8].try_into().unwrap());
            let len = usize::try_from(head & 0xff_ffff).unwrap();
            let record = WalRecord::decode(&log[at + 8..at + 8 + len]).unwrap();
            found.push((at, record.kind.unwrap(), record.crc.unwrap()));
            at += 8 + len.next_multiple_of(8);
        }
        let expected = [
            (0, 4, 0),
            (16, 1, 1_152_560_814),
            (56, 5, 2_949_145_394),
            (80, 2, 2_703_819_608),
            (200, 2, 2_060_645_721),
            (320, 3, 3_019_616_386),
            (352, 5, 3_454_990_497),
        ];
        assert_eq!(found, expected);
    }
}
