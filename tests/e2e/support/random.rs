//! Numbers that differ from run to run, and can be had again.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (splitmix64): for moments, not for secrets.
pub struct Random(u64);

impl Random {
    /// From `$RKADM_SEED`, else from the clock. The seed is printed, so that a failure can be replayed.
    pub fn seeded() -> Self {
        let given = std::env::var("RKADM_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()))
        });
        println!("replay with RKADM_SEED={seed}");
        Self(seed)
    }

    /// From 0 to less than 1.
    pub fn fraction(&mut self) -> f64 {
        f64::from(self.below(1 << 30)) / f64::from(1 << 30)
    }

    /// From 0 to `end` - 1.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
        high % end.max(1)
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(u32::try_from(all.len()).unwrap_or(u32::MAX)) as usize]
    }
}
