//! How many keys there are, by what stands before the last `/` of their names.

use std::collections::{BTreeMap, HashMap};

/// Some thousands of namespaces with a dozen resources in each; what is remembered takes no more than some MiB.
const MAX_DIRECTORIES: usize = 50_000;
/// Bytes of their names.
const MAX_BYTES: usize = 8 << 20;

/// Counts of keys; forgotten altogether where there are too many directories to remember.
#[derive(Debug, Default)]
pub(super) struct Directories {
    counts: HashMap<Box<[u8]>, u64>,
    bytes: usize,
    full: bool,
}

impl Directories {
    /// A key that exists.
    pub(super) fn add(&mut self, key: &[u8]) {
        let Some(dir) = directory(key).filter(|_| !self.full) else { return };
        if let Some(count) = self.counts.get_mut(dir) {
            *count += 1;
            return;
        }
        self.bytes += dir.len();
        self.full = self.counts.len() == MAX_DIRECTORIES || self.bytes > MAX_BYTES;
        if self.full {
            self.counts = HashMap::new();
        } else {
            self.counts.insert(dir.into(), 1);
        }
    }

    /// A key that was added and exists no more.
    pub(super) fn remove(&mut self, key: &[u8]) {
        if let Some(count) = directory(key).and_then(|dir| self.counts.get_mut(dir)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Counts again from nothing.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Directories in which a key exists; `None` where they were too many.
    pub(super) fn finish(self) -> Option<BTreeMap<String, u64>> {
        let there = self.counts.into_iter().filter(|(_, count)| *count > 0);
        let named = there.map(|(dir, count)| (String::from_utf8_lossy(&dir).into_owned(), count));
        (!self.full).then(|| named.collect())
    }
}

/// What is in none, such as a key without a slash, is no object of anybody's.
fn directory(key: &[u8]) -> Option<&[u8]> {
    key.iter().rposition(|byte| *byte == b'/').map(|at| &key[..at]).filter(|dir| !dir.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_where_they_are() {
        let mut found = Directories::default();
        for key in ["/r/pods/a/x", "/r/pods/a/y", "/r/pods/b/x", "/r/nodes/n", "compact_rev_key", "/top"] {
            found.add(key.as_bytes());
        }
        found.remove(b"/r/pods/b/x");
        found.remove(b"/r/none/x");
        let counts = found.finish().unwrap();
        assert_eq!(counts, BTreeMap::from([("/r/nodes".into(), 1), ("/r/pods/a".into(), 2)]));
    }

    #[test]
    fn too_many_are_forgotten_and_stay_so() {
        let mut found = Directories::default();
        for number in 0..=MAX_DIRECTORIES {
            found.add(format!("/r/{number}/x").as_bytes());
        }
        found.add(b"/r/1/x");
        assert_eq!(found.finish(), None);
        let mut found = Directories::default();
        found.add(&[&vec![b'x'; MAX_BYTES + 1], &b"/x"[..]].concat());
        assert_eq!(found.finish(), None);
    }
}
