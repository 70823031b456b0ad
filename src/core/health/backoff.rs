//! Delays between tries: doubling, bounded, and never two clients in step.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// How long to wait between tries: `first`, then twice as long each time, at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// Upper bound of the first delay.
    pub first: Duration,
    /// Upper bound of every delay.
    pub max: Duration,
}

impl BackOff {
    /// For components of this machine: what starts in milliseconds is seen in milliseconds.
    pub const LOCAL: Self = Self { first: Duration::from_millis(20), max: Duration::from_millis(250) };

    /// Starts a series of delays.
    pub fn delays(self) -> Delays {
        Delays { next: self.first.min(self.max), max: self.max }
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self::LOCAL
    }
}

/// A series of delays. Each lies between half its nominal value and the whole.
#[derive(Debug, Clone)]
pub struct Delays {
    next: Duration,
    max: Duration,
}

impl Delays {
    /// The next delay. The series never ends.
    pub fn next_delay(&mut self) -> Duration {
        let nominal = self.next;
        self.next = nominal.saturating_mul(2).min(self.max);
        nominal / 2 + (nominal / 2).mul_f64(random())
    }
}

/// A number from 0 to 1. std seeds its hash maps from the kernel's randomness, which is good enough to spread
/// clients and needs no crate.
fn random() -> f64 {
    let bits = u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound_with_jitter() {
        let mut delays = BackOff::LOCAL.delays();
        for nominal in [20, 40, 80, 160, 250, 250, 250] {
            let delay = delays.next_delay();
            let nominal = Duration::from_millis(nominal);
            assert!(delay >= nominal / 2 && delay <= nominal, "{delay:?} for {nominal:?}");
        }
    }
}
