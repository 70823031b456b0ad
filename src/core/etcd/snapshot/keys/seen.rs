//! Keys that were seen, as hashes, within a fixed amount of memory.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// What is hashed already needs no second hashing.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Keys, as 64-bit hashes with a random seed: nobody can choose keys that are taken for each other, and the chance that
/// two of some millions are by accident is below one in a hundred thousand.
pub(super) struct Seen {
    hashes: HashSet<u64, BuildHasherDefault<AsIs>>,
    seed: RandomState,
    max: usize,
    full: bool,
    /// Only hashes that are `part` modulo `parts` belong here.
    parts: u64,
    part: u64,
}

impl Seen {
    pub(super) fn new(max: usize) -> Self {
        Self { hashes: HashSet::default(), seed: RandomState::new(), max, full: false, parts: 1, part: 0 }
    }

    /// Forgets everything, and from now on knows only one of several parts of all keys.
    pub(super) fn restart(&mut self, parts: u64, part: u64) {
        self.hashes.clear();
        (self.full, self.parts, self.part) = (false, parts, part);
    }

    /// More keys came than there is memory for; what was answered since means nothing.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.seed.hash_one(key)
    }

    fn has(&self, hash: u64) -> bool {
        // Not the low bits: the table goes by those.
        (hash >> 24) % self.parts == self.part
    }

    /// Whether a key belongs to the part that is remembered.
    pub(super) fn covers(&self, key: &[u8]) -> bool {
        self.has(self.hash(key))
    }

    /// Remembers a key; `false` when it was seen before.
    pub(super) fn insert(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let new = !self.full && self.has(hash) && self.hashes.insert(hash);
        self.full |= self.hashes.len() > self.max;
        new
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.hashes.contains(&self.hash(key))
    }
}
