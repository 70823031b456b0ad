//! What can go wrong with the Kubernetes API, split by what a caller can do about it.

use std::time::Duration;

use kube::core::Status;

/// An error of a call to the Kubernetes API.
///
/// `action` says what was tried, such as `apply ConfigMap kube-system/kubeadm-config`; `message` is the server's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig is not usable: {problem}")]
    Kubeconfig {
        /// What is wrong with it. Never holds content of the file, which may be a key.
        problem: &'static str,
        /// The parser's error, where it is known to hold no content.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The kind is not one that this tool knows the path of.
    #[error("kind {kind} of apiVersion {api_version:?} is not known")]
    UnknownKind {
        /// The `apiVersion`, empty if only a kind was asked for.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// The object lacks a part of its name.
    #[error("object has no usable {field}")]
    Malformed {
        /// JSON pointer of the part.
        field: &'static str,
    },
    /// The request could not be put together.
    #[error("request for {action} is not valid HTTP")]
    Request {
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// No answer: refused, reset, timed out, or the name did not resolve.
    #[error("kubernetes API at {server} gives no answer, tried for {:.1} s", waited.as_secs_f64())]
    Unreachable {
        /// The server's URL.
        server: String,
        /// How long it was tried for.
        waited: Duration,
        /// The last failure; `None` if it was a timeout.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The TLS handshake failed for a reason that waiting does not cure: another CA, name, or validity.
    #[error("kubernetes API at {server} is not trusted")]
    Untrusted {
        /// The server's URL.
        server: String,
        /// The TLS error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// 401: the server does not accept who we say we are.
    #[error("{action} is not authorized: {message}")]
    Unauthorized {
        /// What was tried.
        action: String,
        /// The server's message.
        message: String,
    },
    /// 403: the server knows us and refuses.
    #[error("{action} is forbidden: {message}")]
    Forbidden {
        /// What was tried.
        action: String,
        /// The server's message.
        message: String,
    },
    /// 404.
    #[error("{action}: not found: {message}")]
    NotFound {
        /// What was tried.
        action: String,
        /// The server's message.
        message: String,
    },
    /// 409: the object exists already, or has changed in between.
    #[error("{action} conflicts: {message}")]
    Conflict {
        /// What was tried.
        action: String,
        /// Whether the conflict is that an object of this name exists.
        exists: bool,
        /// The server's message.
        message: String,
    },
    /// 400 or 422: the server does not accept the object.
    #[error("{action} is invalid: {message}")]
    Invalid {
        /// What was tried.
        action: String,
        /// The server's message.
        message: String,
    },
    /// 429: the server asks for patience.
    #[error("{action} is throttled: {message}")]
    Throttled {
        /// What was tried.
        action: String,
        /// How long the server asks us to wait.
        retry_after: Option<Duration>,
        /// The server's message.
        message: String,
    },
    /// 5xx: the server failed, among others while etcd changes its leader.
    #[error("{action}: server error {status}: {message}")]
    Server {
        /// What was tried.
        action: String,
        /// The HTTP status.
        status: u16,
        /// How long the server asks us to wait.
        retry_after: Option<Duration>,
        /// The server's message.
        message: String,
    },
    /// Any other refusal.
    #[error("{action} is rejected with status {status}: {message}")]
    Rejected {
        /// What was tried.
        action: String,
        /// The HTTP status.
        status: u16,
        /// The server's message.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("answer to {action} is not understood")]
    Answer {
        /// What was tried.
        action: String,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
}

impl KubeError {
    /// Whether the same call may succeed later with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Throttled { .. } => true,
            // 501 and 505 say that the server will never do it.
            Self::Server { status, .. } => !matches!(status, 501 | 505),
            _ => false,
        }
    }

    /// How long the server asked us to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the call failed because an object of this name exists already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Conflict { exists: true, .. })
    }

    /// Makes an error of a reply that is not a success.
    pub(super) fn of_reply(action: &str, status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let action = action.to_owned();
        let answer = serde_json::from_slice::<Status>(body).unwrap_or_default();
        let message = if answer.message.is_empty() { excerpt(body) } else { answer.message };
        let retry_after = retry_after.or_else(|| {
            let seconds = answer.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
        });
        match status {
            400 | 422 => Self::Invalid { action, message },
            401 => Self::Unauthorized { action, message },
            403 => Self::Forbidden { action, message },
            404 => Self::NotFound { action, message },
            409 => Self::Conflict { action, exists: answer.reason == "AlreadyExists", message },
            429 => Self::Throttled { action, retry_after, message },
            500..=599 => Self::Server { action, status, retry_after, message },
            _ => Self::Rejected { action, status, message },
        }
    }
}

/// The start of a body that is no Status object: plain text of a proxy or of an early filter.
fn excerpt(body: &[u8]) -> String {
    const LIMIT: usize = 500;
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return "the server gave no reason".to_owned();
    }
    text.chars().take(LIMIT).collect()
}
