//! Objects as an API server stores them in etcd, for clusters that have no API server any more.
//!
//! The form is described at kubernetes.io under "Kubernetes Protobuf encoding": four bytes of magic, then a
//! `runtime.Unknown` with the object's own message in it. Field numbers are those of the published `generated.proto`.

use std::collections::BTreeMap;

use prost::Message;

/// Begins every object that is stored as protobuf.
const MAGIC: &[u8] = b"k8s\0";
/// Begins every object that is encrypted before it is stored.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// Where an API server keeps its objects unless it is told otherwise (`--etcd-prefix`).
pub const PREFIX: &str = "/registry";

/// Why a stored object cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Only an API server with the keys can.
    #[error("it is encrypted at rest")]
    Encrypted,
    /// It is no such object.
    #[error("it is no object as API servers store them")]
    Malformed,
}

/// `runtime.Unknown`
#[derive(Clone, PartialEq, Eq, Message)]
struct Unknown {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

/// `k8s.io.api.core.v1.ConfigMap`
#[derive(Clone, PartialEq, Eq, Message)]
struct ConfigMap {
    #[prost(btree_map = "string, string", tag = "2")]
    data: BTreeMap<String, String>,
}

/// What etcd calls an object of the core group.
pub fn key(prefix: &str, resource: &str, namespace: &str, name: &str) -> String {
    format!("/{}/{resource}/{namespace}/{name}", prefix.trim_matches('/'))
}

/// How many objects there are: by resource and by namespace, which is empty for objects of the whole cluster.
pub type Objects = BTreeMap<String, BTreeMap<String, u64>>;

/// The API server's own notes beside the objects: allocators, and which servers there are.
const NO_OBJECTS: [&str; 3] = ["ranges", "masterleases", "peerserverleases"];

/// Groups that keep their objects below their name although they are built in. Every other built-in group keeps them below
/// the resource alone.
const BELOW_THEIR_GROUP: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// Resources that are stored under another name than they have in the API, as they were called when they were new.
const OTHER_NAMES: [(&str, &str); 5] = [
    ("controllers", "replicationcontrollers"),
    ("ingress", "ingresses"),
    ("minions", "nodes"),
    ("services/endpoints", "endpoints"),
    ("services/specs", "services"),
];

/// Counts objects by where they are stored: how many keys there are, by what stands before the last `/` of their names. A
/// resource of a custom group is called by both, such as `widgets.example.com`; a built-in one by its name alone.
pub fn objects(directories: &BTreeMap<String, u64>, prefix: &str) -> Objects {
    let mut objects = Objects::new();
    let prefix = format!("/{}/", prefix.trim_matches('/'));
    for (directory, count) in directories {
        let Some((resource, namespace)) = directory.strip_prefix(&prefix).and_then(place) else { continue };
        let counts = objects.entry(resource).or_default();
        *counts.entry(namespace.to_owned()).or_default() += count;
    }
    objects
}

/// Resource and namespace of what is stored in a directory.
fn place(directory: &str) -> Option<(String, &str)> {
    let (first, rest) = directory.split_once('/').unwrap_or((directory, ""));
    if NO_OBJECTS.contains(&first) {
        return None;
    }
    if first.contains('.') {
        let (resource, namespace) = rest.split_once('/').unwrap_or((rest, ""));
        return (!resource.is_empty()).then(|| (format!("{resource}.{first}"), namespace));
    }
    for (stored, name) in OTHER_NAMES {
        if let Some(rest) = directory.strip_prefix(stored)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return Some((name.to_owned(), rest.trim_start_matches('/')));
        }
    }
    Some((first.to_owned(), rest))
}

/// What [`objects`] calls a resource of the API.
pub fn resource_name(group: &str, plural: &str, custom: bool) -> String {
    if custom || BELOW_THEIR_GROUP.contains(&group) { format!("{plural}.{group}") } else { plural.to_owned() }
}

/// The data of a stored ConfigMap.
///
/// # Errors
/// It is encrypted, or none.
pub fn config_map(stored: &[u8]) -> Result<BTreeMap<String, String>, StorageError> {
    if stored.starts_with(ENCRYPTED) {
        return Err(StorageError::Encrypted);
    }
    let message = stored.strip_prefix(MAGIC).ok_or(StorageError::Malformed)?;
    let unknown = Unknown::decode(message).map_err(|_| StorageError::Malformed)?;
    let config_map = ConfigMap::decode(unknown.raw.as_slice()).map_err(|_| StorageError::Malformed)?;
    Ok(config_map.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_config_map_reads_back() {
        let data = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let raw = ConfigMap { data: data.clone() }.encode_to_vec();
        let stored = [MAGIC, &Unknown { raw }.encode_to_vec()].concat();
        assert_eq!(config_map(&stored), Ok(data));
        assert_eq!(key("/registry", "configmaps", "kube-system", "x"), "/registry/configmaps/kube-system/x");
    }

    #[test]
    fn objects_are_counted_by_where_they_are_stored() {
        let stored = [
            ("/registry/pods/kube-system", 8),
            ("/registry/minions", 3),
            ("/registry/services/specs/default", 1),
            ("/registry/services/endpoints/default", 1),
            ("/registry/ranges", 2),
            ("/registry/masterleases", 1),
            ("/registry/apiregistration.k8s.io/apiservices", 20),
            ("/registry/example.com/widgets/shop", 4),
            ("/registry/example.com", 1),
            ("/calico/ipam", 9),
        ];
        let stored = stored.map(|(directory, count)| (directory.to_owned(), count)).into();
        let found: Vec<_> = objects(&stored, "/registry")
            .into_iter()
            .flat_map(|(resource, counts)| {
                counts.into_iter().map(move |(ns, count)| format!("{resource} {ns} {count}"))
            })
            .collect();
        assert_eq!(
            found,
            [
                "apiservices.apiregistration.k8s.io  20",
                "endpoints default 1",
                "nodes  3",
                "pods kube-system 8",
                "services default 1",
                "widgets.example.com shop 4",
            ]
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        assert_eq!(config_map(b"k8s:enc:aescbc:v1:key1:xyz"), Err(StorageError::Encrypted));
        for stored in [&b""[..], b"{}", b"k8s\0\xff", b"k8s\0\x12\x02\x12\x7f"] {
            assert_eq!(config_map(stored), Err(StorageError::Malformed), "{stored:?}");
        }
    }
}
