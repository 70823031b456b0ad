//! Why a cluster was not found, and what to do.

use jiff::Timestamp;
use rustls::{CertificateError, pki_types::UnixTime};

use crate::{health::fault, kube::KubeError};

/// Why a cluster was not found, or does not tell what is needed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The API server did not answer in time.
    #[error("the API server at {endpoint} cannot be reached: {why}")]
    Unreachable {
        /// `HOST:PORT` or URL.
        endpoint: String,
        /// The last failure.
        why: String,
    },
    /// Its public information is not there.
    #[error(
        "the cluster at {endpoint} has no ConfigMap kube-public/cluster-info, or does not show it to everybody"
    )]
    NoClusterInfo {
        /// `HOST:PORT` or URL.
        endpoint: String,
    },
    /// Its public information is damaged.
    #[error("ConfigMap kube-public/cluster-info of {endpoint} cannot be used: {problem}")]
    ClusterInfo {
        /// `HOST:PORT` or URL.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It is not signed for this token.
    #[error("the cluster at {endpoint} does not know the token {token_id}.<redacted>")]
    UnknownToken {
        /// `HOST:PORT` of the API server.
        endpoint: String,
        /// The public half.
        token_id: String,
    },
    /// It is signed for a token of this id, with another secret.
    #[error(
        "the secret half of the token {token_id}.<redacted> is wrong, or somebody in between changes what {endpoint} says"
    )]
    WrongToken {
        /// `HOST:PORT` of the API server.
        endpoint: String,
        /// The public half.
        token_id: String,
    },
    /// The authority is none of the pinned ones.
    #[error("the certificate authority of {endpoint} is not the expected one: its hash is {found}")]
    OtherAuthority {
        /// `HOST:PORT` of the API server.
        endpoint: String,
        /// `sha256:<hex>` of the authorities that were shown.
        found: String,
    },
    /// The API server's certificate is not of the authority that the cluster names.
    #[error("the API server at {endpoint} is not trusted: {why}")]
    Untrusted {
        /// URL of the API server.
        endpoint: String,
        /// Why.
        why: String,
    },
    /// By this machine's clock, the API server's certificate is not valid now.
    #[error("the API server at {endpoint} is not trusted: {why}")]
    OutOfTime {
        /// URL of the API server.
        endpoint: String,
        /// When it is valid, and what this machine's clock says.
        why: String,
    },
    /// What was read first, before anything was known, differs from what was read with trust.
    #[error(
        "{endpoint} told two different things in one minute: somebody in between may have changed the first"
    )]
    Changed {
        /// `HOST:PORT` of the API server.
        endpoint: String,
    },
    /// The discovery file cannot be used.
    #[error("the discovery file {path} cannot be used: {problem}")]
    File {
        /// Path or URL.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to log in with.
    #[error("there are no credentials to join with")]
    NoCredentials,
    /// The cluster does not accept the credentials.
    #[error("the cluster does not accept the credentials to join with: {why}")]
    Unauthorized {
        /// The server's words.
        why: String,
    },
    /// The settings of the cluster are not there, or may not be read.
    #[error("{what} cannot be read: {why}")]
    Settings {
        /// The object.
        what: String,
        /// Why.
        why: String,
    },
}

impl DiscoveryError {
    /// What the operator can do about it.
    pub fn hints(&self) -> Vec<String> {
        let hints: &[&str] = match self {
            Self::Unreachable { .. } => &[
                "check address and port, that the API server runs (on a control plane: `kubectl get --raw /readyz`), that a load balancer in between has it as a backend, and that no firewall drops the connection",
                "timeouts.discovery in the JoinConfiguration says how long to wait",
            ],
            Self::NoClusterInfo { .. } => &[
                "on a control plane, `rkadm init phase bootstrap-token` makes it anew; or join with --discovery-file",
            ],
            Self::ClusterInfo { .. } => {
                &["on a control plane, `rkadm init phase bootstrap-token` makes it anew"]
            }
            Self::UnknownToken { .. } => &[
                "the token has expired, was deleted, or is of another cluster: on a control plane, `rkadm token create --print-join-command` makes a new one, `rkadm token list` shows those that are left",
            ],
            Self::WrongToken { .. } => &[
                "copy the whole join command again; `rkadm token create --print-join-command` on a control plane prints a new one",
            ],
            Self::OtherAuthority { .. } => &[
                "this is another cluster, or somebody in between poses as it: on a control plane, `rkadm token create --print-join-command` prints the right hash",
            ],
            Self::OutOfTime { .. } => &[
                "compare `date -u` on this machine and on a control plane: where they differ, set the wrong clock (chrony or systemd-timesyncd keep it right)",
                "where both clocks are right, the certificate has expired: `rkadm certs check-expiration` on that control plane shows it, `rkadm certs renew apiserver` renews it",
            ],
            Self::Untrusted { .. } => &[
                "the name or address in the cluster's endpoint must stand in the API server's certificate (apiServer.certSANs)",
            ],
            Self::Changed { .. } => &[
                "run the command again; if it happens again, look at what stands between this machine and the API server",
            ],
            Self::File { .. } => {
                &["/etc/kubernetes/admin.conf of a control plane, without its user, makes such a file"]
            }
            Self::NoCredentials => {
                &["give --tls-bootstrap-token or --token, or a discovery file with credentials in it"]
            }
            Self::Unauthorized { .. } => &[
                "the token has expired or may only sign: `rkadm token create` on a control plane makes one for both",
            ],
            Self::Settings { .. } => &[
                "on a control plane, `rkadm init phase upload-config all` and `rkadm init phase bootstrap-token` put it in place again",
            ],
        };
        hints.iter().map(|hint| (*hint).to_owned()).collect()
    }

    /// A failed call to an API server, before its settings are asked for.
    pub(super) fn of_call(endpoint: &str, error: &KubeError) -> Self {
        let endpoint = endpoint.to_owned();
        match error {
            KubeError::Untrusted { .. } if out_of_time(error).is_some() => {
                Self::OutOfTime { endpoint, why: in_words(error) }
            }
            KubeError::Untrusted { .. } => Self::Untrusted { endpoint, why: in_words(error) },
            KubeError::Unauthorized { message, .. } => Self::Unauthorized { why: message.clone() },
            _ => Self::Unreachable { endpoint, why: in_words(error) },
        }
    }
}

/// The innermost cause says what a person wants to know: refused, timed out, not trusted.
pub(super) fn in_words(error: &KubeError) -> String {
    if let Some(words) = out_of_time(error) {
        return words;
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match error {
        KubeError::Unreachable { source: None, .. } => "no answer in time".into(),
        KubeError::Unreachable { .. } | KubeError::Untrusted { .. } => innermost.to_string(),
        _ => error.to_string(),
    }
}

/// When the server's certificate is valid, where that is not now. Which of the two clocks is wrong cannot be known here.
fn out_of_time(error: &KubeError) -> Option<String> {
    let rustls::Error::InvalidCertificate(invalid) = fault::find::<rustls::Error>(error)? else {
        return None;
    };
    let (when, time) = match invalid {
        CertificateError::NotValidYetContext { time, not_before } => {
            (format!("only from {} on", utc(*not_before)), time)
        }
        CertificateError::ExpiredContext { time, not_after } => {
            (format!("only until {}", utc(*not_after)), time)
        }
        _ => return None,
    };
    Some(format!("its certificate is valid {when}, and the clock of this machine says {}", utc(*time)))
}

fn utc(time: UnixTime) -> String {
    let second = i64::try_from(time.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok());
    second.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
