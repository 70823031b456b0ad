//! The members of a new cluster and their ids, which etcd derives from names and addresses.

use std::collections::HashSet;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use serde::Serialize;

/// A member that the new cluster begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// As in etcd's `--name`.
    pub name: String,
    /// As in `--initial-advertise-peer-urls`, such as `https://192.0.2.1:2380`.
    pub peer_urls: Vec<String>,
}

/// Why no cluster can be made of the members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    #[error("a member has no name")]
    NoName,
    #[error("two members are called {name}")]
    SameName { name: String },
    #[error("member {name} has no peer URL")]
    NoUrl { name: String },
    #[error(
        "{url} is no peer URL of a member: etcd takes http://HOST:PORT or https://HOST:PORT, without a path"
    )]
    Url { url: String },
    #[error("members {first} and {second} have the same peer URLs")]
    SameUrls { first: String, second: String },
    #[error("{name} is none of the members")]
    NotAMember { name: String },
}

/// A member as etcd keeps it, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ClusterMember {
    pub id: u64,
    #[serde(rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    pub name: String,
}

impl ClusterMember {
    /// The id as etcd writes it in keys.
    pub(super) fn key(&self) -> String {
        format!("{:x}", self.id)
    }

    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The members of a new cluster in the order of their ids, and which of them this is.
#[derive(Debug)]
pub(super) struct NewCluster {
    pub id: u64,
    pub members: Vec<ClusterMember>,
    pub this: u64,
}

impl NewCluster {
    /// The term that the log begins with.
    pub(super) const TERM: u64 = 1;

    pub(super) fn new(members: &[NewMember], name: &str, token: &str) -> Result<Self, MembershipError> {
        let mut names = HashSet::new();
        let mut list: Vec<ClusterMember> = vec![];
        for member in members {
            let name = member.name.clone();
            if name.is_empty() {
                return Err(MembershipError::NoName);
            }
            if !names.insert(&member.name) {
                return Err(MembershipError::SameName { name });
            }
            let mut peer_urls =
                member.peer_urls.iter().map(|url| checked(url)).collect::<Result<Vec<_>, _>>()?;
            peer_urls.sort();
            if peer_urls.is_empty() {
                return Err(MembershipError::NoUrl { name });
            }
            let id = sha1(peer_urls.iter().map(String::as_bytes).chain([token.as_bytes()]));
            if let Some(first) = list.iter().find(|other| other.id == id) {
                return Err(MembershipError::SameUrls { first: first.name.clone(), second: name });
            }
            list.push(ClusterMember { id, peer_urls, name });
        }
        let this = list.iter().find(|member| member.name == name);
        let this = this
            .map(|member| member.id)
            .ok_or_else(|| MembershipError::NotAMember { name: name.to_owned() })?;
        list.sort_by_key(|member| member.id);
        let ids: Vec<_> = list.iter().map(|member| member.id.to_be_bytes()).collect();
        let id = sha1(ids.iter().map(<[u8; 8]>::as_slice));
        Ok(Self { id, members: list, this })
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.id).collect()
    }

    /// The index of the last entry of the log: one for each member.
    pub(super) fn index(&self) -> u64 {
        self.members.len() as u64
    }
}

fn checked(url: &str) -> Result<String, MembershipError> {
    let url = url.trim();
    let bad = || MembershipError::Url { url: url.to_owned() };
    let (scheme, address) = url.split_once("://").ok_or_else(bad)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let plain = |c: char| c.is_ascii_graphic() && !"/?#@\"\\<>".contains(c);
    let good = matches!(scheme, "http" | "https" | "unix" | "unixs")
        && !host.is_empty()
        && host.chars().all(plain)
        && port.parse::<u16>().is_ok();
    if good { Ok(url.to_owned()) } else { Err(bad()) }
}

/// The first 8 bytes of a SHA-1, big endian. No secret depends on it; etcd chose it for its ids.
fn sha1<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    pieces.for_each(|piece| context.update(piece));
    let digest = context.finish();
    digest.as_ref().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, url: &str) -> NewMember {
        NewMember { name: name.to_owned(), peer_urls: vec![url.to_owned()] }
    }

    /// The ids are those that etcdutl 3.6 made for the same members.
    #[test]
    fn ids_are_etcds() {
        let members = [member("n1", "http://127.0.0.1:12380"), member("n2", "http://127.0.0.1:12390")];
        let cluster = NewCluster::new(&members, "n1", "etcd-cluster").unwrap();
        assert_eq!(cluster.this, 15_985_099_378_392_235_387);
        assert_eq!(cluster.ids(), [3_544_609_687_393_156_342, 15_985_099_378_392_235_387]);
        assert_eq!(cluster.id, 8_589_310_301_948_475_703);
        let json = r#"{"id":3544609687393156342,"peerURLs":["http://127.0.0.1:12390"],"name":"n2"}"#;
        assert_eq!(cluster.members[0].json(), json.as_bytes());
    }

    #[test]
    fn members_that_make_no_cluster_are_refused() {
        let new = |members: &[NewMember]| NewCluster::new(members, "a", "t").unwrap_err().to_string();
        let (a, b) = (member("a", "http://10.0.0.1:2380"), member("b", "http://10.0.0.1:2380"));
        assert_eq!(new(&[]), "a is none of the members");
        assert_eq!(new(&[a.clone(), a.clone()]), "two members are called a");
        assert_eq!(new(&[a, b]), "members a and b have the same peer URLs");
        assert_eq!(new(&[member("", "http://x:1")]), "a member has no name");
        for url in ["http://10.0.0.1", "10.0.0.1:2380", "http://10.0.0.1:2380/", "ftp://x:1", "http://:1", ""]
        {
            assert!(new(&[member("a", url)]).contains("is no peer URL"), "{url}");
        }
        let none = NewMember { name: "a".to_owned(), peer_urls: vec![] };
        assert_eq!(new(&[none]), "member a has no peer URL");
    }
}
