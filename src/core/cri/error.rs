//! What can go wrong with the container runtime.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::{Code, Status};

/// An error of the container runtime or of the way to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CriError {
    /// The endpoint is not `unix:///path`. CRI v1 runtimes on Linux listen on nothing else.
    #[error("{endpoint:?} is not a unix:// endpoint")]
    Endpoint {
        /// The endpoint as given.
        endpoint: String,
    },
    /// No such socket: the runtime is not installed, not started, or listens elsewhere.
    #[error("no socket at {}", path.display())]
    Missing {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is there but nobody listens: the runtime has stopped.
    #[error("nothing listens at {}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
    },
    /// This user may not use the socket.
    #[error("no permission to use {}", path.display())]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// Any other I/O error on the socket, such as a path that is no socket.
    #[error("cannot connect to {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something listens, but it does not speak CRI v1: another daemon, or containerd with its `cri` plugin disabled.
    #[error("{} does not serve CRI v1: {message}", path.display())]
    NotCri {
        /// The socket.
        path: PathBuf,
        /// The other side's message.
        message: String,
    },
    /// The connection broke or the runtime is not up yet.
    #[error("container runtime is not available: {message}")]
    Unavailable {
        /// The call, such as `PullImage`.
        call: &'static str,
        /// The runtime's message.
        message: String,
    },
    /// The runtime took too long.
    #[error("{call} took longer than {} s", after.as_secs())]
    Timeout {
        /// The call.
        call: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The runtime does not know the sandbox, container or image; for a pull, nor does the registry.
    #[error("{call}: not found: {message}")]
    NotFound {
        /// The call.
        call: &'static str,
        /// The runtime's message.
        message: String,
    },
    /// An image could not be pulled. Runtimes give one code for a registry that is down and for one that refuses, so
    /// this counts as passing: try again, but a few times only.
    #[error("pull failed: {message}")]
    Pull {
        /// The runtime's message, which names the image and the registry's answer.
        message: String,
    },
    /// The runtime is too old for this call.
    #[error("container runtime does not know {call}")]
    Unimplemented {
        /// The call.
        call: &'static str,
    },
    /// The runtime refused or failed.
    #[error("{call} failed with {code}: {message}")]
    Call {
        /// The call.
        call: &'static str,
        /// The gRPC code's name, such as `Internal`.
        code: String,
        /// The runtime's message.
        message: String,
    },
}

impl CriError {
    /// Whether the same call may succeed later with nothing changed by us: the runtime may be starting.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Refused { .. }
                | Self::Unavailable { .. }
                | Self::Timeout { .. }
                | Self::Pull { .. }
        )
    }

    /// Makes an error of a failed connect to the socket.
    pub(super) fn of_connect(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::ConnectionRefused => Self::Refused { path },
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            _ => Self::Io { path, source },
        }
    }

    /// Makes an error of a failed call.
    pub(super) fn of_call(call: &'static str, after: Duration, status: &Status) -> Self {
        let message = describe(status);
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => Self::Timeout { call, after },
            Code::Unavailable => Self::Unavailable { call, message },
            Code::NotFound => Self::NotFound { call, message },
            Code::Unimplemented => Self::Unimplemented { call },
            Code::Unknown | Code::Internal if call == "PullImage" => Self::Pull { message },
            code => Self::Call { call, code: format!("{code:?}"), message },
        }
    }
}

/// The runtime's message, or for errors of the connection itself the deepest cause, as the outer ones say nothing.
pub(super) fn describe(status: &Status) -> String {
    let mut deepest = status.source();
    while let Some(next) = deepest.and_then(Error::source) {
        deepest = Some(next);
    }
    deepest.map_or_else(|| status.message().to_owned(), ToString::to_string)
}
