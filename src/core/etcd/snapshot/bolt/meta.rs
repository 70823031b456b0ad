//! The two meta pages of a bbolt file: where the tree begins, and how far the file is in use.

use super::page::{HEADER, Header, META, u32_at, u64_at};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes of a meta behind its page header, with the checksum.
const LEN: usize = 64;
/// What the checksum covers.
const SUMMED: usize = LEN - 8;
/// In place of the free list's page: there is none, and who opens the file finds the free pages by itself.
pub(crate) const NO_FREELIST: u64 = u64::MAX;

/// bbolt takes the page size of the machine; no machine that etcd runs on has others.
pub(crate) const PAGE_SIZES: std::ops::RangeInclusive<u32> = 1024..=1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub page_size: u32,
    /// The page of the bucket that holds the buckets.
    pub root: u64,
    pub root_sequence: u64,
    pub freelist: u64,
    /// The first page that was never in use.
    pub high_water: u64,
    /// Counts transactions. The valid meta page with the higher number is the one that counts.
    pub txid: u64,
}

impl Meta {
    /// Reads the meta page `id`; `None` when anything about it is not as it must be.
    pub(crate) fn parse(page: &[u8], id: u64) -> Option<Self> {
        let meta = page.get(HEADER..HEADER + LEN)?;
        let good = Header::of(page) == Header { id, flags: META, count: 0, overflow: 0 }
            && u32_at(meta, 0) == MAGIC
            && u32_at(meta, 4) == VERSION
            && u64_at(meta, SUMMED) == fnv1a(&meta[..SUMMED]);
        let page_size = u32_at(meta, 8);
        (good && page_size.is_power_of_two() && PAGE_SIZES.contains(&page_size)).then(|| Self {
            page_size,
            root: u64_at(meta, 16),
            root_sequence: u64_at(meta, 24),
            freelist: u64_at(meta, 32),
            high_water: u64_at(meta, 40),
            txid: u64_at(meta, 48),
        })
    }

    /// The meta page `id`, as long as its header and meta.
    pub(crate) fn page(&self, id: u64) -> Vec<u8> {
        let mut page = Header { id, flags: META, count: 0, overflow: 0 }.bytes().to_vec();
        let numbers = [self.root, self.root_sequence, self.freelist, self.high_water, self.txid];
        for number in [MAGIC, VERSION, self.page_size, 0] {
            page.extend(number.to_le_bytes());
        }
        for number in numbers {
            page.extend(number.to_le_bytes());
        }
        let sum = fnv1a(&page[HEADER..]);
        page.extend(sum.to_le_bytes());
        page
    }
}

/// FNV-1a with 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_is_that_of_its_authors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_meta_page_reads_back_and_no_flipped_bit_passes() {
        let meta = Meta {
            page_size: 4096,
            root: 3,
            root_sequence: 0,
            freelist: NO_FREELIST,
            high_water: 9,
            txid: 7,
        };
        let page = meta.page(1);
        assert_eq!(Meta::parse(&page, 1), Some(meta));
        for bit in 0..page.len() * 8 {
            let mut page = page.clone();
            page[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Meta::parse(&page, 1), None, "bit {bit}");
        }
    }
}
