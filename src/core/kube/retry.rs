//! Repeats calls that failed for a passing reason, until they succeed or their time is up.

use std::time::{Duration, Instant};

use http::{Method, Request, header};

use super::client::JSON;
use super::error::KubeError;
use super::transport::{Cause, NoReply, Reply, Transport};
use crate::health::BackOff;

/// Short at first, as an API server that restarts is back within a second or two; never long, as an operator waits.
const BACK_OFF: BackOff = BackOff { first: Duration::from_millis(100), max: Duration::from_secs(2) };

/// No call of ours is slow: the longest is an apply that goes through admission webhooks, ten seconds each.
const ATTEMPT: Duration = Duration::from_secs(15);

/// An API server that has just started knows no roles yet, and refuses what it will allow a moment later. So long it may take to be ready.
const EARLY: Duration = Duration::from_secs(20);

/// One call, which can be sent again as it is.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// What the call does, for messages.
    pub(super) action: String,
    /// Media type and content.
    pub(super) body: Option<(&'a str, Vec<u8>)>,
    /// Whether it is harmless to send the call again when the server may have acted on it.
    pub(super) repeatable: bool,
    /// Media types that it can be answered in.
    pub(super) accept: &'static str,
}

/// An error, and whether the server may have done what it was asked for all the same.
pub(super) struct Failure {
    pub(super) error: KubeError,
    pub(super) maybe_done: bool,
}

impl Call<'_> {
    fn request(&self) -> Result<Request<Vec<u8>>, KubeError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(header::ACCEPT, self.accept);
        let mut content = Vec::new();
        if let Some((media_type, body)) = &self.body {
            request = request.header(header::CONTENT_TYPE, *media_type);
            content.clone_from(body);
        }
        request.body(content).map_err(|source| KubeError::Request { action: self.action.clone(), source })
    }

    /// Sends the call once, and takes any status for an answer.
    pub(super) async fn once(&self, transport: &Transport, limit: Duration) -> Result<Reply, Failure> {
        let request = self.request().map_err(|error| Failure { error, maybe_done: false })?;
        let start = Instant::now();
        let NoReply { cause, maybe_sent } = match transport.send(request, limit.min(ATTEMPT)).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let server = transport.server.clone();
        let waited = start.elapsed();
        let error = match cause {
            Cause::Timeout => KubeError::Unreachable { server, waited, source: None },
            Cause::Broken(source) => KubeError::Unreachable { server, waited, source: Some(source) },
            Cause::Untrusted(source) => KubeError::Untrusted { server, source },
        };
        Err(Failure { error, maybe_done: maybe_sent })
    }

    /// Sends the call until it succeeds, fails for good, or `limit` is over. `maybe_done` is about all attempts.
    pub(super) async fn run(&self, transport: &Transport, limit: Duration) -> Result<Reply, Failure> {
        let start = Instant::now();
        let mut delays = BACK_OFF.delays();
        let mut maybe_done = false;
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let mut error = match self.once(transport, left).await {
                Ok(reply) if reply.status.is_success() => return Ok(reply),
                Ok(reply) => {
                    let status = reply.status.as_u16();
                    // A 5xx can come after the write: etcd answered too late, or a leader change hid its answer.
                    maybe_done |= status >= 500;
                    KubeError::of_reply(&self.action, status, reply.retry_after, &reply.body)
                }
                Err(failure) => {
                    maybe_done |= failure.maybe_done;
                    failure.error
                }
            };
            let early = matches!(error, KubeError::Forbidden { .. })
                && start.elapsed() < EARLY.min(limit)
                && !is_ready(transport).await;
            let wait = error.retry_after().unwrap_or_else(|| delays.next_delay());
            let give_up = !(early || error.is_transient())
                || (maybe_done && !self.repeatable)
                || start.elapsed().saturating_add(wait) >= limit;
            if give_up {
                if let KubeError::Unreachable { waited, .. } = &mut error {
                    *waited = start.elapsed();
                }
                return Err(Failure { error, maybe_done });
            }
            tracing::debug!(action = self.action, %error, ?wait, "kubernetes API call is tried again");
            tokio::time::sleep(wait).await;
        }
    }
}

/// Whether the API server has read all that it decides by. Everybody who is somebody may ask that (role `system:public-info-viewer`).
async fn is_ready(transport: &Transport) -> bool {
    let call = Call {
        method: Method::GET,
        path: "/readyz".into(),
        action: "get /readyz".into(),
        body: None,
        repeatable: true,
        accept: JSON,
    };
    call.once(transport, Duration::from_secs(5)).await.is_ok_and(|reply| reply.status.is_success())
}
