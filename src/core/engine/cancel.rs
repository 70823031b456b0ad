//! Ctrl-C and SIGTERM, as something that steps and waits can look at.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::watch;

/// Set once when the operator asks to stop. Clones share it.
#[derive(Debug, Clone)]
pub struct Cancel {
    sender: Arc<watch::Sender<Option<&'static str>>>,
    count: Arc<AtomicUsize>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(None)), count: Arc::default() }
    }
}

impl Cancel {
    /// Asks everybody to stop; `signal` names the reason (`SIGINT`). The first reason stays.
    pub fn cancel(&self, signal: &'static str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.end(signal);
    }

    /// Asks what goes forward to stop, but not a rollback that is under way: nobody wants that to end half-way.
    pub fn end(&self, signal: &'static str) {
        self.sender.send_if_modified(|state| {
            let first = state.is_none();
            if first {
                *state = Some(signal);
            }
            first
        });
    }

    /// How often somebody asked.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The signal that asked to stop, if one did.
    pub fn signal(&self) -> Option<&'static str> {
        *self.sender.borrow()
    }

    /// Returns when somebody asks to stop.
    pub async fn cancelled(&self) -> &'static str {
        let mut receiver = self.sender.subscribe();
        let signal = receiver.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
        // The sender lives in self, so the channel cannot close while we wait.
        match signal {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}
