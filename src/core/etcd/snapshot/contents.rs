//! What etcd keeps in its small buckets: about itself, the cluster, alarms, leases and users.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::bolt::{Bucket, Item, Node, Range, Walker};
use super::error::{Fault, SnapshotError};
use super::keys::Compaction;
use super::proto::{AlarmMember, Field, Fields, Lease};
use super::record::Revision;
use prost::Message as _;

type Result<T, E = SnapshotError> = std::result::Result<T, E>;

/// Removed members or alarms; more are none of etcd's.
const MAX_LIST: usize = 100_000;
/// Members, and bytes of each. They take many times that in memory, and a file may say anything.
const MAX_MEMBERS: usize = 500;
const MAX_MEMBER: usize = 8 << 10;

/// A member of the cluster that the snapshot was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    pub id: u64,
    /// Empty until the member started for the first time.
    #[serde(default)]
    pub name: String,
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    #[serde(rename = "clientURLs", default)]
    pub client_urls: Vec<String>,
    #[serde(rename = "isLearner", default)]
    pub learner: bool,
}

/// An alarm that a member raised and nobody disarmed. etcd refuses writes while there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    pub member: u64,
    pub kind: AlarmKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// The database reached its quota.
    NoSpace,
    /// Members differed from each other.
    Corrupt,
    /// One that this rkadm does not know.
    Other(i32),
}

impl AlarmKind {
    fn of(number: i32) -> Self {
        match number {
            1 => Self::NoSpace,
            2 => Self::Corrupt,
            other => Self::Other(other),
        }
    }
}

/// What the small buckets say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The raft index of the last entry that was applied.
    pub consistent_index: u64,
    /// The raft term of that entry.
    pub term: u64,
    /// The version of the storage format, such as `3.6.0`. etcd 3.5 writes none.
    pub storage_version: Option<String>,
    /// The version that all members of the cluster had agreed on, such as `3.6.0`.
    pub cluster_version: Option<String>,
    pub members: Vec<Member>,
    /// Ids of members that were removed. They can never come back.
    pub removed_members: Vec<u64>,
    pub alarms: Vec<Alarm>,
    pub leases: u64,
    pub auth_enabled: bool,
    pub users: u64,
    pub roles: u64,
    /// The revision up to which history was given up, and whether the records are gone yet.
    pub(crate) finished_compaction: Option<i64>,
    pub(crate) scheduled_compaction: Option<i64>,
    /// Entries of buckets that etcd has not, as of a newer version.
    pub unknown_buckets: Vec<String>,
}

impl Contents {
    /// Reads every bucket but `key`.
    pub(crate) fn read(walker: &mut Walker<'_>, buckets: &[Bucket]) -> Result<Self> {
        let mut contents = Self::default();
        for bucket in buckets.iter().filter(|bucket| bucket.name != b"key") {
            let known = known(&bucket.name);
            if known.is_none() {
                contents.unknown_buckets.push(bucket.name());
            }
            walker.bucket(bucket, Range::ALL, &mut |node, _| match known {
                Some((name, entry)) => entries(node, name, &mut |item| entry(&mut contents, item)),
                None => Ok(()),
            })?;
        }
        Ok(contents)
    }

    pub(crate) fn compaction(&self) -> Compaction {
        let (finished, scheduled) = (self.finished_compaction, self.scheduled_compaction);
        Compaction { finished: finished.unwrap_or(-1), scheduled: scheduled.unwrap_or(-1) }
    }

    fn meta(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        match item.key {
            b"consistent_index" => self.consistent_index = number(item.value)?,
            b"term" => self.term = number(item.value)?,
            b"storageVersion" => self.storage_version = Some(text(item.value)?),
            b"finishedCompactRev" => self.finished_compaction = Some(revision(item.value)?),
            b"scheduledCompactRev" => self.scheduled_compaction = Some(revision(item.value)?),
            b"confState" => {
                serde_json::from_slice::<IgnoredAny>(item.value).map_err(|_| "it is not JSON")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn member(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        if item.value.len() > MAX_MEMBER || self.members.len() == MAX_MEMBERS {
            return Err("it is larger than a member, or there are more than there can be");
        }
        let member: Member =
            serde_json::from_slice(item.value).map_err(|_| "it is not the JSON of a member")?;
        if id(item.key)? != member.id {
            return Err("its key is not the id of the member");
        }
        self.members.push(member);
        Ok(())
    }

    fn removed_member(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        push(&mut self.removed_members, id(item.key)?)
    }

    fn cluster(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        if item.key == b"clusterVersion" {
            self.cluster_version = Some(text(item.value)?);
        }
        Ok(())
    }

    fn alarm(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        let alarm = AlarmMember::decode(item.key).map_err(|_| "it is not an alarm")?;
        push(&mut self.alarms, Alarm { member: alarm.member, kind: AlarmKind::of(alarm.alarm) })
    }

    fn lease(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        let lease = Lease::decode(item.value).map_err(|_| "it is not a lease")?;
        if item.key != lease.id.to_be_bytes() {
            return Err("its key is not the id of the lease");
        }
        self.leases += 1;
        Ok(())
    }

    fn auth(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        match item.key {
            b"authEnabled" => self.auth_enabled = item.value == [1],
            b"authRevision" => {
                number(item.value)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn user(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        self.users += 1;
        named(item)
    }

    fn role(&mut self, item: &Item<'_>) -> Result<(), &'static str> {
        self.roles += 1;
        named(item)
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), &'static str> {
    if list.len() == MAX_LIST {
        return Err("there are more of them than any cluster has");
    }
    list.push(item);
    Ok(())
}

type Entry = fn(&mut Contents, &Item<'_>) -> Result<(), &'static str>;

/// How to read the entries of a bucket of etcd.
fn known(bucket: &[u8]) -> Option<(&'static str, Entry)> {
    Some(match bucket {
        b"meta" => ("meta", Contents::meta),
        b"members" => ("members", Contents::member),
        b"members_removed" => ("members_removed", Contents::removed_member),
        b"cluster" => ("cluster", Contents::cluster),
        b"alarm" => ("alarm", Contents::alarm),
        b"lease" => ("lease", Contents::lease),
        b"auth" => ("auth", Contents::auth),
        b"authUsers" => ("authUsers", Contents::user),
        b"authRoles" => ("authRoles", Contents::role),
        _ => return None,
    })
}

fn entries(
    node: &Node,
    bucket: &'static str,
    entry: &mut dyn FnMut(&Item<'_>) -> Result<(), &'static str>,
) -> Result<()> {
    for item in node.items() {
        let index = item.index;
        entry(&item).map_err(|why| node.place.damage(Fault::Entry { bucket, index, why }))?;
    }
    Ok(())
}

/// Users and roles are messages whose first field is the name, which is also the key.
fn named(item: &Item<'_>) -> Result<(), &'static str> {
    match Fields::of(item.value).next().flatten() {
        Some((1, Field::Bytes(name))) if name == item.key => Ok(()),
        _ => Err("its key is not the name in it"),
    }
}

fn number(value: &[u8]) -> Result<u64, &'static str> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| "it is not a number of 8 bytes")
}

fn text(value: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= 64 && text.is_ascii());
    text.map(str::to_owned).ok_or("it is not a version")
}

fn revision(value: &[u8]) -> Result<i64, &'static str> {
    Revision::parse(value).map(|revision| revision.main).ok_or("it is not a revision")
}

/// Members' ids are keys in hexadecimal, without leading zeros.
fn id(key: &[u8]) -> Result<u64, &'static str> {
    let text = std::str::from_utf8(key).ok().filter(|text| !text.starts_with('+'));
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or("its key is not the id of a member")
}
