//! Compares a kubeconfig on disk with the one that should be there.

use jiff::Timestamp;

use super::{Kubeconfig, KubeconfigError, User};
use crate::pki::{CertProblem, CertSpec, Certificate};

/// What a kubeconfig should be like.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// URL of the API server.
    pub server: &'a str,
    /// The cluster CA.
    pub ca: &'a Certificate,
    /// The embedded client certificate; none to accept whatever credentials there are.
    pub client: Option<&'a CertSpec>,
}

/// One thing wrong with a kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigProblem {
    /// It cannot be used at all.
    #[error(transparent)]
    Unusable(#[from] KubeconfigError),
    /// Another API server.
    #[error("server is {found:?}, expected {expected:?}")]
    WrongServer {
        /// As in the file.
        found: String,
        /// As it should be.
        expected: String,
    },
    /// It does not trust the cluster's CA.
    #[error("does not trust the cluster's certificate authority {0:?}")]
    WrongCa(String),
    /// No embedded client certificate where one is expected.
    #[error("has no embedded client certificate and key")]
    NoCertificate,
    /// The client certificate itself.
    #[error("client certificate: {0}")]
    Client(CertProblem),
    /// Nothing says which server to trust.
    #[error("it has no certificate authority")]
    NoAuthority,
    /// Nobody logs in with it.
    #[error("its user has nothing to log in with")]
    NoCredentials,
}

impl KubeconfigProblem {
    /// Whether the file is of no use with this cluster. Another server may be on purpose, for example a load balancer
    /// in front of one node; kubeadm warns of it and keeps the file.
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Unusable(_)
            | Self::WrongCa(_)
            | Self::NoAuthority
            | Self::NoCredentials
            | Self::NoCertificate => true,
            Self::WrongServer { .. } => false,
            Self::Client(problem) => problem.is_fatal(),
        }
    }
}

/// Everything that differs from what is expected.
pub fn problems(config: &Kubeconfig, expected: &Expected<'_>, now: Timestamp) -> Vec<KubeconfigProblem> {
    let (cluster, user) = match config.current() {
        Ok(current) => current,
        Err(error) => return vec![error.into()],
    };
    let mut problems = Vec::new();
    if cluster.server != expected.server {
        problems.push(KubeconfigProblem::WrongServer {
            found: cluster.server.clone(),
            expected: expected.server.to_owned(),
        });
    }
    match cluster.authorities() {
        // Any of a bundle will do: during a CA rotation both the old and the new are there.
        Ok(Some(authorities)) if !authorities.contains(expected.ca) => {
            problems.push(KubeconfigProblem::WrongCa(expected.ca.common_name().to_owned()));
        }
        Ok(None) if cluster.certificate_authority.is_none() => problems.push(KubeconfigProblem::NoAuthority),
        Ok(_) => {}
        Err(error) => problems.push(error.into()),
    }
    if expected.client.is_none() && !has_credentials(user) {
        problems.push(KubeconfigProblem::NoCredentials);
    }
    if let Some(spec) = expected.client {
        check_client(user, spec, expected.ca, now, &mut problems);
    }
    problems
}

/// A key whose certificate is still to come is none.
fn has_credentials(user: &User) -> bool {
    let certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
    let key = user.client_key.is_some() || user.client_key_data.is_some();
    // `exec`, `tokenFile` and others are among what is not known here.
    (certificate && key) || user.token.is_some() || !user.other.is_empty()
}

fn check_client(
    user: &User,
    spec: &CertSpec,
    ca: &Certificate,
    now: Timestamp,
    problems: &mut Vec<KubeconfigProblem>,
) {
    match (user.certificate(), user.key()) {
        (Ok(Some(certificate)), Ok(Some(key))) => problems.extend(
            certificate.check(spec, Some(ca), Some(&key), now).into_iter().map(KubeconfigProblem::Client),
        ),
        (Err(error), _) | (_, Err(error)) => problems.push(error.into()),
        _ => problems.push(KubeconfigProblem::NoCertificate),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
