//! The SHA-256 that a saved snapshot ends with.

use sha2::{Digest as _, Sha256};

/// Bytes of the hash behind the database.
const LEN: usize = 32;

/// Hashes a snapshot while it comes in, such as from a member over the network, and compares with the hash at its end.
///
/// ```
/// # use rkadm_core::etcd::snapshot::TrailerHash;
/// let mut hash = TrailerHash::default();
/// hash.update(b"not an ");
/// hash.update(b"etcd snapshot, and no hash at its end");
/// assert_eq!(hash.finish(), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct TrailerHash {
    sha: Sha256,
    /// The last bytes that came; they may be the hash.
    held: Vec<u8>,
    len: u64,
}

impl TrailerHash {
    /// Takes the next bytes, of any number.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let from_held = (self.held.len() + bytes.len()).saturating_sub(LEN).min(self.held.len());
        self.sha.update(&self.held[..from_held]);
        self.held.drain(..from_held);
        let now = (self.held.len() + bytes.len()).saturating_sub(LEN).min(bytes.len());
        self.sha.update(&bytes[..now]);
        self.held.extend_from_slice(&bytes[now..]);
    }

    /// Bytes that came so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The SHA-256 of the database, if it is what the stream ended with. `None`: it was cut off or damaged.
    pub fn finish(self) -> Option<[u8; LEN]> {
        let found: [u8; LEN] = self.sha.finalize().into();
        (self.held == found).then_some(found)
    }

    /// The SHA-256 of all that came, the hash at its end included, if that is right.
    pub fn finish_whole(self) -> Option<[u8; LEN]> {
        let whole = self.sha.clone().chain_update(&self.held).finalize().into();
        self.finish().map(|_| whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_found_however_the_stream_is_cut() {
        let mut whole: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let sum: [u8; 32] = Sha256::digest(&whole).into();
        whole.extend(sum);
        let of_all: [u8; 32] = Sha256::digest(&whole).into();
        for size in [1, 7, 31, 32, 33, 500, 2000] {
            let mut hash = TrailerHash::default();
            whole.chunks(size).for_each(|chunk| hash.update(chunk));
            assert_eq!(hash.clone().finish_whole(), Some(of_all), "pieces of {size}");
            assert_eq!((hash.len(), hash.finish()), (1032, Some(sum)), "pieces of {size}");
        }
        for cut in [0, 31, 32, 1031] {
            let mut hash = TrailerHash::default();
            hash.update(&whole[..cut]);
            assert_eq!((hash.clone().finish_whole(), hash.finish()), (None, None), "{cut} bytes");
        }
    }
}
