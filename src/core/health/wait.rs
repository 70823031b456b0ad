//! Waits until a probe succeeds.

use std::future::Future;
use std::time::{Duration, Instant};

use super::backoff::BackOff;
use super::probe::{Health, HttpProbe, Unreachable};

/// The outcome of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt<T, E> {
    /// It is there: stop waiting.
    Ready(T),
    /// Not there: try again.
    NotYet(E),
    /// It will never be there: stop waiting.
    Failed(E),
}

/// Why waiting ended without success. The last error of the probe is kept, as it says what was missing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError<E: std::error::Error + 'static> {
    /// The deadline passed.
    #[error("not ready after {:.1} s", waited.as_secs_f64())]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
        /// The last finding; `None` if the first try did not end in time.
        #[source]
        last: Option<E>,
    },
    /// The caller stopped waiting.
    #[error("waiting was cancelled")]
    Cancelled {
        /// The last finding.
        #[source]
        last: Option<E>,
    },
    /// The probe says that waiting is of no use.
    #[error("waiting is of no use")]
    Failed(#[source] E),
}

/// Tries until the probe is ready, says that it never will be, the deadline passes, or `cancel` resolves.
///
/// A try is cut off by deadline and cancel, so `probe` must be safe to drop at any await.
pub async fn wait_until<T, E, P, F, C>(
    mut probe: P,
    back_off: BackOff,
    deadline: Instant,
    cancel: C,
) -> Result<T, WaitError<E>>
where
    E: std::error::Error + 'static,
    P: FnMut() -> F,
    F: Future<Output = Attempt<T, E>>,
    C: Future<Output = ()>,
{
    let start = Instant::now();
    let mut last = None;
    let mut delays = back_off.delays();
    let tries = async {
        loop {
            match probe().await {
                Attempt::Ready(value) => return Ok(value),
                Attempt::Failed(error) => return Err(WaitError::Failed(error)),
                Attempt::NotYet(error) => last = Some(error),
            }
            tokio::time::sleep(delays.next_delay()).await;
        }
    };
    let cancelled = tokio::select! {
        biased;
        () = cancel => true,
        result = tries => return result,
        () = tokio::time::sleep_until(deadline.into()) => false,
    };
    if cancelled {
        Err(WaitError::Cancelled { last })
    } else {
        Err(WaitError::TimedOut { waited: start.elapsed(), last })
    }
}

/// Why a component counts as not ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It answers that it is not healthy.
    #[error("status {}: {}", .0.status, .0.body.trim())]
    Unhealthy(Health),
    /// It does not answer.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// Waits until a component says that it is healthy. Gives up at once if trust is missing, as that does not heal.
///
/// # Errors
/// [`WaitError`], with the last finding.
pub async fn wait_until_ok<C: Future<Output = ()>>(
    probe: &HttpProbe,
    back_off: BackOff,
    deadline: Instant,
    cancel: C,
) -> Result<Health, WaitError<NotReady>> {
    let attempt = || async {
        match probe.check().await {
            Ok(health) if health.is_ok() => Attempt::Ready(health),
            Ok(health) => Attempt::NotYet(NotReady::Unhealthy(health)),
            Err(error) if error.is_transient() => Attempt::NotYet(error.into()),
            Err(error) => Attempt::Failed(error.into()),
        }
    };
    wait_until(attempt, back_off, deadline, cancel).await
}
