//! For how long the API did not answer: asked for all the time that an upgrade takes.

use std::time::{Duration, Instant};

use rkadm_core::host::{ApiAccess, Probe};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::cli::Session;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(40);
/// A question that takes longer has no answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was measured at one API server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Downtime {
    /// No answer at all, in milliseconds, of all gaps together.
    pub no_answer_ms: u64,
    /// No answer, or one that says that it is not ready.
    pub not_ready_ms: u64,
}

/// Measures until it is asked for the result.
pub struct Measuring {
    stop: oneshot::Sender<()>,
    result: tokio::task::JoinHandle<Downtime>,
}

impl Measuring {
    /// Begins.
    pub fn start(session: &Session, access: ApiAccess) -> Self {
        let host = session.host(PATIENCE);
        let (stop, mut stopped) = oneshot::channel();
        let result = tokio::spawn(async move {
            let mut downtime = Downtime::default();
            let mut last = Instant::now();
            loop {
                let asked = tokio::time::timeout(PATIENCE, host.api_health(&access, "/readyz"));
                let answer = tokio::select! {
                    answer = asked => answer,
                    _ = &mut stopped => return downtime,
                };
                let since = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
                last = Instant::now();
                match answer {
                    Ok(Ok(health)) if health.status == 200 => {}
                    Ok(Ok(_)) => downtime.not_ready_ms += since,
                    Ok(Err(_)) | Err(_) => {
                        downtime.no_answer_ms += since;
                        downtime.not_ready_ms += since;
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { stop, result }
    }

    /// Ends.
    pub async fn end(self) -> Downtime {
        let _ = self.stop.send(());
        self.result.await.unwrap_or_default()
    }
}
