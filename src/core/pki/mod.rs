//! Keys, certificates, tokens and the encryption kubeadm uses to share them.
//!
//! Everything here works on bytes in memory. Reading and writing files is the engine's work, so that a dry run
//! cannot leave a key behind. What is issued equals, field by field, what kubeadm issues: a control plane made by
//! one tool is renewed by the other.

pub mod bootstrap_token;
mod certificate;
mod check;
pub mod encrypt;
mod issue;
pub mod jws;
mod key;
pub mod list;
mod pem;
mod pool;
mod request;
mod signature;
mod spec;
mod x509;

#[cfg(test)]
pub(crate) mod testing;

pub use certificate::{Certificate, CertificateError};
pub use check::CertProblem;
pub use issue::{IssueError, SigningRequest, issue, issue_ca, request};
pub use key::{KeyAlgorithm, KeyError, PrivateKey, UnknownKeyAlgorithm};
pub use pool::KeyPool;
pub use request::{ReceivedRequest, RequestError, issue_for};
pub use spec::{CertSpec, CertUsage, Sans};

/// The system's random source failed. Nothing secret can be made without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random number generator is unavailable")]
pub struct RandomUnavailable;

/// Fills an array from the system's cryptographic random source.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], RandomUnavailable> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomUnavailable)?;
    Ok(bytes)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
