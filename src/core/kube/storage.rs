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
    fn what_is_none_is_refused() {
        assert_eq!(config_map(b"k8s:enc:aescbc:v1:key1:xyz"), Err(StorageError::Encrypted));
        for stored in [&b""[..], b"{}", b"k8s\0\xff", b"k8s\0\x12\x02\x12\x7f"] {
            assert_eq!(config_map(stored), Err(StorageError::Malformed), "{stored:?}");
        }
    }
}
