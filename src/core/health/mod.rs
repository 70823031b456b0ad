//! Whether a component answers, and waiting until it does.
//!
//! Owns HTTP probes and the waiting loop. Must not know which components exist or when they should be up.

mod backoff;
pub mod fault;
mod probe;
mod tcp;
mod tls;
mod wait;

pub use backoff::{BackOff, Delays};
pub use probe::{Health, HttpProbe, Unreachable, probe_http};
pub(crate) use tcp::tcp;
pub(crate) use tls::client_config;
pub use tls::{Identity, Tls, TlsError, Trust};
pub use wait::{Attempt, NotReady, WaitError, wait_until, wait_until_ok};

#[cfg(test)]
pub(crate) mod tests;
