//! Whom a probe trusts, and who it says it is.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use zeroize::Zeroizing;

/// Which server certificates a probe accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// No TLS: for plain `http` URLs. An `https` URL fails with it, as nothing is trusted.
    #[default]
    None,
    /// Certificates issued by one of these CAs, in PEM, whose names match the URL.
    Ca(Vec<u8>),
    /// Any certificate. Only for self-signed servers on the loopback address, where the answer is no secret.
    Insecure,
}

/// A client certificate. Its `Debug` shows no key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate and its chain, in PEM.
    pub certificate: Vec<u8>,
    /// The private key, in PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Identity(..)")
    }
}

/// The TLS side of a probe.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Which servers to believe.
    pub trust: Trust,
    /// The client certificate to show, if the server asks for one.
    pub identity: Option<Identity>,
}

impl Tls {
    /// For `http` URLs.
    pub const PLAIN: Self = Self { trust: Trust::None, identity: None };

    /// Accepts any certificate; see [`Trust::Insecure`].
    pub const INSECURE: Self = Self { trust: Trust::Insecure, identity: None };

    /// Trusts the CAs of a PEM file and shows no certificate.
    pub fn ca(pem: impl Into<Vec<u8>>) -> Self {
        Self { trust: Trust::Ca(pem.into()), identity: None }
    }

    /// With what an etcd was configured with, in PEM: no authority where it serves without TLS, no certificate where it asks for none.
    pub fn of_etcd(ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        let tls = if ca.is_empty() { Self::PLAIN } else { Self::ca(ca) };
        let identity = (!certificate.is_empty()).then(|| Identity { certificate, key: key.into() });
        Self { identity, ..tls }
    }
}

/// A certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The PEM text does not parse, or holds none of what it should.
    #[error("{what} holds no usable PEM")]
    Pem {
        /// CA, client certificate or client key.
        what: &'static str,
        /// The parser's error, which quotes no content.
        #[source]
        source: Option<pem::Error>,
    },
    /// The TLS library refuses the material, for instance a key that does not belong to the certificate.
    #[error("{what} is not usable for TLS")]
    Refused {
        /// CA or client certificate.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source: Some(source) })?;
    if found.is_empty() { Err(TlsError::Pem { what, source: None }) } else { Ok(found) }
}

/// Builds the client side of TLS. The result also holds the session cache, so reuse it for repeated probes.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    if let Trust::Ca(pem) = &tls.trust {
        for certificate in certificates(pem, "CA")? {
            roots.add(certificate).map_err(|source| TlsError::Refused { what: "CA", source })?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused { what: "protocol", source })?
        .with_root_certificates(roots);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificate, "client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key)
                .map_err(|source| TlsError::Pem { what: "client key", source: Some(source) })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| TlsError::Refused { what: "client certificate", source })?
        }
    };
    if tls.trust == Trust::Insecure {
        config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate(provider)));
    }
    Ok(config)
}

/// Accepts any certificate, but still checks that the server has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
