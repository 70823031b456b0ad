//! Values of single keys, read from the file alone.

use std::collections::BTreeMap;

use super::bolt::{Range, Walker};
use super::error::{Fault, SnapshotError};
use super::proto::{Field, Fields};
use super::record::{Change, Record};
use super::verify::Verified;

/// More is no setting, and not worth the memory.
const MOST: usize = 4 << 20;

/// The newest values of those of the keys that exist. Reads the records once more.
///
/// # Errors
/// The file cannot be read, or changed since it was verified.
pub fn values(verified: &Verified, keys: &[String]) -> Result<BTreeMap<String, Vec<u8>>, SnapshotError> {
    let missing = || SnapshotError::NotEtcd { bucket: "key" };
    let bucket = verified.buckets.iter().find(|bucket| bucket.name == b"key").ok_or_else(missing)?;
    let mut newest = BTreeMap::new();
    // Records stand in the order of their revisions, so the last one of a key is its newest.
    Walker::new(&verified.db).bucket(bucket, Range::ALL, &mut |node, _| {
        for item in node.items() {
            let record = Record::parse(item.key, item.value)
                .map_err(|why| node.place.damage(Fault::Record { index: item.index, why }))?;
            let Some(key) = keys.iter().find(|key| key.as_bytes() == record.key) else { continue };
            match record.change {
                Change::Deleted | Change::Placeholder => drop(newest.remove(key)),
                Change::Created | Change::Updated => drop(newest.insert(key.clone(), value(item.value))),
            }
        }
        Ok(())
    })?;
    Ok(newest)
}

/// `mvccpb.KeyValue.value`.
fn value(record: &[u8]) -> Vec<u8> {
    let value = Fields::of(record).flatten().find_map(|field| match field {
        (5, Field::Bytes(bytes)) if bytes.len() <= MOST => Some(bytes.to_vec()),
        _ => None,
    });
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::etcd::snapshot::{VerifyOptions, verify};

    #[test]
    fn the_newest_value_of_a_key_is_found() {
        for line in ["3.5", "3.6", "3.7"] {
            let file =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("etcd/snapshot/fixtures/{line}.db"));
            let verified = verify(&file, VerifyOptions::default()).unwrap();
            let keys = ["000001", "000050", "000058", "none"].map(|name| format!("/registry/pods/{name}"));
            let found = values(&verified, &keys).unwrap();
            let sizes: Vec<_> = keys.iter().map(|key| found.get(key).map(Vec::len)).collect();
            // Written with 30 bytes, then some with 40, then some with 60.
            assert_eq!(sizes, [Some(40), Some(60), Some(30), None], "{line}");
        }
    }
}
