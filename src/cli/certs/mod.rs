//! `rkadm certs`.

mod expiration;
mod generate_csr;
pub mod renew;
mod sign;

pub use generate_csr::resume as resume_requests;

use std::path::PathBuf;

use clap::Subcommand;
use rkadm_core::{
    host::Probe,
    pki::{encrypt::CertificateKey, list::DEFAULT_DIR},
};
use rkadm_phases::static_pods;
use serde::Serialize;

use self::expiration::ExpirationArgs;
use super::{Session, exit::CommandError};

/// What `rkadm certs` can do.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Show when the certificates of this control plane expire
    CheckExpiration(ExpirationArgs),
    /// Renew certificates, and restart the static pods that use them
    ///
    /// Subjects, names and length of validity are those of the certificates that are there. The keys are new.
    Renew(renew::RenewArgs),
    /// Generate keys and signing requests for an authority whose key is kept elsewhere
    ///
    /// For every certificate of a control plane and every kubeconfig file. Keys that are there are kept.
    GenerateCsr(generate_csr::CsrArgs),
    /// Sign requests, where the authority's key is
    Sign(sign::SignArgs),
    /// Generate and print a key for `init --certificate-key` and `init phase upload-certs`
    ///
    /// It encrypts the certificates that control planes download when they join: 32 random bytes as hex.
    CertificateKey,
}

/// Where this machine's API server has its certificates, else the usual place. No cluster is asked: its certificates may have expired.
pub async fn own_dir(host: &dyn Probe) -> PathBuf {
    static_pods::certificates_dir(host).await.unwrap_or_else(|| DEFAULT_DIR.into())
}

/// The result of `rkadm certs certificate-key`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Generated<'a> {
    certificate_key: &'a str,
}

/// Runs it.
pub async fn run(session: &Session, command: &CertsCommand) -> Result<(), CommandError> {
    match command {
        CertsCommand::CheckExpiration(args) => expiration::run(session, args).await,
        CertsCommand::Renew(args) => renew::run(session, args).await,
        CertsCommand::GenerateCsr(args) => generate_csr::run(session, args).await,
        CertsCommand::Sign(args) => sign::run(session, args).await,
        CertsCommand::CertificateKey => {
            let key = CertificateKey::generate().map_err(CommandError::failed)?.expose();
            let body = Generated { certificate_key: &key };
            session.printer.result("CertificateKey", &body, || format!("{}\n", *key));
            Ok(())
        }
    }
}
