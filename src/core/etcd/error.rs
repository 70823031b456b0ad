//! What can go wrong with etcd, split by what a caller can do about it.

use std::time::Duration;

use tonic::{Code, Status};

/// An error of a call to etcd.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// An endpoint is no URL.
    #[error("{endpoint:?} is not a URL of etcd")]
    Endpoint {
        /// As given.
        endpoint: String,
    },
    /// CA, certificate or key cannot be used.
    #[error("the files of etcd's client cannot be used: {0}")]
    Tls(String),
    /// No endpoint answers.
    #[error("etcd does not answer at {endpoints}: {message}")]
    Unreachable {
        /// All that were tried.
        endpoints: String,
        /// What the last one said.
        message: String,
    },
    /// It took too long.
    #[error("etcd: {call} took longer than {} s", after.as_secs())]
    Timeout {
        /// The call, such as `MemberAdd`.
        call: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// Another learner has to be promoted or removed first.
    #[error("etcd has a learner already, and takes one at a time")]
    TooManyLearners,
    /// The learner has not caught up with the leader.
    #[error("the new member has not caught up with the leader yet")]
    NotInSync,
    /// It is a voting member already.
    #[error("the member has a vote already")]
    NotALearner,
    /// No such member.
    #[error("etcd has no such member")]
    NoSuchMember,
    /// A member has this peer URL already.
    #[error("a member with this peer URL exists already")]
    PeerUrlExists,
    /// Too few members are up for a change to be safe, or one that was added just now has not connected.
    #[error("etcd refuses to change its members now: {message}")]
    Unsafe {
        /// etcd's words.
        message: String,
    },
    /// Something that may pass by itself: no leader, a member that restarts.
    #[error("etcd is not available: {message}")]
    Unavailable {
        /// etcd's words.
        message: String,
    },
    /// Anything else.
    #[error("etcd refuses {call}: {message}")]
    Rejected {
        /// The call.
        call: &'static str,
        /// etcd's words.
        message: String,
    },
}

impl EtcdError {
    /// Whether the same call may succeed later, with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::Unavailable { .. }
                | Self::Unsafe { .. }
                | Self::TooManyLearners
                | Self::NotInSync
        )
    }

    /// Whether it was the way to etcd that failed, so that another endpoint may do.
    pub(super) fn is_of_the_way(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Unavailable { .. })
    }

    /// etcd gives several meanings one code; the texts are constants of its API (`v3rpc/rpctypes/error.go`).
    pub(super) fn of_call(call: &'static str, endpoint: &str, after: Duration, status: &Status) -> Self {
        let message = status.message();
        let told = message.strip_prefix("etcdserver: ").unwrap_or(message);
        match told {
            "too many learner members in cluster" => return Self::TooManyLearners,
            "can only promote a learner member which is in sync with leader" => return Self::NotInSync,
            "can only promote a learner member" => return Self::NotALearner,
            "member not found" => return Self::NoSuchMember,
            "Peer URLs already exists" => return Self::PeerUrlExists,
            // Another member knows.
            "rpc not supported for learner" => return Self::Unavailable { message: told.to_owned() },
            "unhealthy cluster" | "re-configuration failed due to not enough started members" => {
                return Self::Unsafe { message: told.to_owned() };
            }
            _ => {}
        }
        match status.code() {
            Code::DeadlineExceeded => Self::Timeout { call, after },
            Code::Unavailable if message.starts_with("etcdserver: ") => {
                Self::Unavailable { message: told.to_owned() }
            }
            // What the transport says of itself, as of a server that is not there.
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal => {
                Self::Unreachable { endpoints: endpoint.to_owned(), message: innermost(status) }
            }
            _ => Self::Rejected { call, message: told.to_owned() },
        }
    }
}

/// The innermost cause says what a person wants to know: refused, reset, not trusted.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(tls) = crate::health::fault::find::<rustls::Error>(error) {
        return tls.to_string();
    }
    if let Some(io) = crate::health::fault::find::<std::io::Error>(error) {
        return io.to_string();
    }
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, message: &str) -> EtcdError {
        EtcdError::of_call(
            "MemberAdd",
            "https://10.0.0.1:2379",
            Duration::from_secs(5),
            &Status::new(code, message),
        )
    }

    #[test]
    fn texts_of_the_api_tell_apart_what_one_code_does_not() {
        let failed = Code::FailedPrecondition;
        assert!(matches!(
            of(failed, "etcdserver: too many learner members in cluster"),
            EtcdError::TooManyLearners
        ));
        assert!(matches!(
            of(failed, "etcdserver: can only promote a learner member which is in sync with leader"),
            EtcdError::NotInSync
        ));
        assert!(matches!(
            of(failed, "etcdserver: can only promote a learner member"),
            EtcdError::NotALearner
        ));
        assert!(matches!(of(Code::NotFound, "etcdserver: member not found"), EtcdError::NoSuchMember));
        assert!(matches!(of(Code::Unavailable, "etcdserver: unhealthy cluster"), EtcdError::Unsafe { .. }));
        assert!(matches!(of(Code::Unavailable, "etcdserver: no leader"), EtcdError::Unavailable { .. }));
        assert!(matches!(of(Code::Unavailable, "transport error"), EtcdError::Unreachable { .. }));
        assert!(matches!(
            of(Code::PermissionDenied, "etcdserver: permission denied"),
            EtcdError::Rejected { .. }
        ));
    }
}
