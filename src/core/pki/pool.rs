//! Keys made ahead of time. Phases ask for keys one after another, and an RSA key takes long enough that a second
//! processor should already be making the next one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{KeyAlgorithm, KeyError, PrivateKey};

#[derive(Default)]
struct State {
    ready: Vec<PrivateKey>,
    /// Keys no worker has begun yet.
    unstarted: usize,
    /// Keys a worker is making now.
    in_progress: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A worker that panicked leaves the counters consistent, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes private keys on background threads, as many as there are processors.
///
/// Dropping the pool stops the threads after the key each is making; nothing waits for them, and keys nobody took
/// are wiped.
pub struct KeyPool {
    algorithm: KeyAlgorithm,
    shared: Arc<Shared>,
}

impl KeyPool {
    /// Starts making `count` keys and returns at once.
    pub fn start(algorithm: KeyAlgorithm, count: usize) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { unstarted: count, ..State::default() }),
            changed: Condvar::new(),
        });
        let workers = thread::available_parallelism().map_or(1, usize::from).min(count);
        for _ in 0..workers {
            let shared = Arc::clone(&shared);
            // A thread that cannot be started only costs time: `take` makes the keys itself.
            let _ =
                thread::Builder::new().name("key-pool".to_owned()).spawn(move || work(&shared, algorithm));
        }
        Self { algorithm, shared }
    }

    /// Takes a ready key, waits for one in progress, or makes one when the pool has none to give.
    pub fn take(&self, algorithm: KeyAlgorithm) -> Result<PrivateKey, KeyError> {
        if algorithm != self.algorithm {
            return PrivateKey::generate(algorithm);
        }
        let mut state = self.shared.lock();
        loop {
            if let Some(key) = state.ready.pop() {
                return Ok(key);
            }
            if state.in_progress == 0 {
                // Either the pool is used up, or no worker could be started: take the work over.
                state.unstarted = state.unstarted.saturating_sub(1);
                drop(state);
                return PrivateKey::generate(algorithm);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many keys could be taken right now without waiting.
    pub fn ready(&self) -> usize {
        self.shared.lock().ready.len()
    }
}

impl Drop for KeyPool {
    fn drop(&mut self) {
        self.shared.lock().unstarted = 0;
    }
}

fn work(shared: &Shared, algorithm: KeyAlgorithm) {
    loop {
        {
            let mut state = shared.lock();
            if state.unstarted == 0 {
                return;
            }
            state.unstarted -= 1;
            state.in_progress += 1;
        }
        let made = PrivateKey::generate(algorithm);
        let mut state = shared.lock();
        state.in_progress -= 1;
        // A failure is not kept: `take` then generates by itself and reports what it sees.
        state.ready.extend(made.ok());
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn gives_distinct_keys_and_goes_on_when_used_up() {
        let pool = KeyPool::start(KeyAlgorithm::EcdsaP256, 3);
        let keys: BTreeSet<_> =
            (0..8).map(|_| pool.take(KeyAlgorithm::EcdsaP256).unwrap().spki_sha256()).collect();
        assert_eq!(keys.len(), 8);
    }

    #[test]
    fn another_algorithm_is_made_on_the_spot() {
        let pool = KeyPool::start(KeyAlgorithm::EcdsaP256, 1);
        assert_eq!(pool.take(KeyAlgorithm::EcdsaP384).unwrap().algorithm(), Some(KeyAlgorithm::EcdsaP384));
    }

    #[test]
    fn an_empty_pool_still_gives_keys() {
        let pool = KeyPool::start(KeyAlgorithm::EcdsaP384, 0);
        assert_eq!(pool.take(KeyAlgorithm::EcdsaP384).unwrap().algorithm(), Some(KeyAlgorithm::EcdsaP384));
    }

    #[test]
    fn drop_does_not_wait_and_stops_the_workers() {
        let pool = KeyPool::start(KeyAlgorithm::Rsa4096, 1000);
        let shared = Arc::downgrade(&pool.shared);
        let start = Instant::now();
        drop(pool);
        assert!(start.elapsed() < Duration::from_millis(500));
        while shared.upgrade().is_some() {
            assert!(start.elapsed() < Duration::from_mins(1), "workers still run");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
