//! Signs certificates and writes signing requests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::key::sha256;
use super::x509::{self, ToBeSigned};
use super::{
    CertSpec, CertUsage, Certificate, CertificateError, KeyError, PrivateKey, RandomUnavailable, pem,
};

/// How far in the past a certificate's validity begins, so that a node whose clock is a little behind accepts it.
/// kubeadm's value, for CAs and for the certificates they sign.
pub const BACKDATE: Duration = Duration::from_mins(5);

/// Why a certificate was not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Kubernetes takes the user's name from it.
    #[error("the common name is empty")]
    EmptyCommonName,
    /// DNS names in certificates are ASCII.
    #[error("{0:?} is not an ASCII DNS name and cannot be in a certificate")]
    NotAscii(String),
    /// `issue_ca` makes CAs and nothing else, `issue` never makes one.
    #[error("a {} certificate cannot be issued here", .0.name())]
    WrongUsage(CertUsage),
    /// The issuer's certificate does not allow it to sign.
    #[error("certificate {issuer:?} is not a certificate authority")]
    IssuerNotCa {
        /// Common name of the issuer.
        issuer: String,
    },
    /// The issuer's certificate and key do not belong together.
    #[error("the private key given for {issuer:?} does not belong to its certificate")]
    IssuerKeyMismatch {
        /// Common name of the issuer.
        issuer: String,
    },
    /// The end of the validity cannot be expressed.
    #[error("a validity of {} hours from now is out of range", .0.as_secs() / 3600)]
    Validity(Duration),
    /// No random serial number could be made.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// Signing failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What was written could not be read back: a bug.
    #[error("the new certificate does not read back")]
    ReadBack(#[source] CertificateError),
}

/// Issues a self-signed CA.
///
/// The subject key identifier is the first 20 bytes of the public key's SHA-256 (RFC 7093), as Go's.
pub fn issue_ca(spec: &CertSpec, key: &PrivateKey, now: Timestamp) -> Result<Certificate, IssueError> {
    if spec.usage != CertUsage::Ca {
        return Err(IssueError::WrongUsage(spec.usage));
    }
    let subject = subject(spec)?;
    let id = key_id(key);
    let who = Subject { name: &subject, spki: key.spki_der() };
    sign(spec, &who, &Issuer { name: &subject, key, subject_key_id: Some(&id), id: None }, now)
}

/// Issues a certificate under a CA.
///
/// As with kubeadm it may outlive its CA; what counts then is the CA's end, and [`Certificate::check`] says so.
pub fn issue(
    spec: &CertSpec,
    key: &PrivateKey,
    ca: &Certificate,
    ca_key: &PrivateKey,
    now: Timestamp,
) -> Result<Certificate, IssueError> {
    let issuer = issuer_of(spec, ca, ca_key)?;
    sign(spec, &Subject { name: &subject(spec)?, spki: key.spki_der() }, &issuer, now)
}

/// The authority, found fit to sign such a certificate.
pub(super) fn issuer_of<'a>(
    spec: &CertSpec,
    ca: &'a Certificate,
    ca_key: &'a PrivateKey,
) -> Result<Issuer<'a>, IssueError> {
    if spec.usage == CertUsage::Ca {
        return Err(IssueError::WrongUsage(spec.usage));
    }
    let issuer = || ca.common_name().to_owned();
    if !ca.is_ca() {
        return Err(IssueError::IssuerNotCa { issuer: issuer() });
    }
    if !ca_key.matches(ca) {
        return Err(IssueError::IssuerKeyMismatch { issuer: issuer() });
    }
    Ok(Issuer { name: ca.subject_der(), key: ca_key, subject_key_id: None, id: ca.subject_key_id() })
}

/// A PKCS#10 request, for a CA whose key is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest(Vec<u8>);

impl SigningRequest {
    /// The request as DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The request as `CERTIFICATE REQUEST` PEM.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.0).to_string()
    }
}

/// Writes a signing request with the subject and names of a spec.
pub fn request(spec: &CertSpec, key: &PrivateKey) -> Result<SigningRequest, IssueError> {
    check_names(spec)?;
    let info = x509::request_info(&subject(spec)?, key.spki_der(), &spec.sans);
    Ok(SigningRequest(x509::signed(&info, key.signature_algorithm(), &key.sign(&info)?)))
}

pub(super) struct Issuer<'a> {
    name: &'a [u8],
    key: &'a PrivateKey,
    /// Written as the certificate's own identifier.
    subject_key_id: Option<&'a [u8]>,
    /// Written as the identifier of the key that signs.
    id: Option<&'a [u8]>,
}

/// Whom a certificate is for.
pub(super) struct Subject<'a> {
    /// DER of the name.
    pub name: &'a [u8],
    /// DER of the public key (SubjectPublicKeyInfo).
    pub spki: &'a [u8],
}

pub(super) fn sign(
    spec: &CertSpec,
    subject: &Subject<'_>,
    issuer: &Issuer<'_>,
    now: Timestamp,
) -> Result<Certificate, IssueError> {
    check_names(spec)?;
    let out_of_range = |_| IssueError::Validity(spec.validity);
    let validity = SignedDuration::try_from(spec.validity).map_err(out_of_range)?;
    let algorithm = issuer.key.signature_algorithm();
    let body = ToBeSigned {
        serial: serial()?,
        algorithm,
        issuer: issuer.name,
        not_before: now.checked_sub(BACKDATE).map_err(out_of_range)?,
        not_after: now.checked_add(validity).map_err(out_of_range)?,
        subject: subject.name,
        spki: subject.spki,
        usage: spec.usage,
        subject_key_id: issuer.subject_key_id,
        authority_key_id: issuer.id,
        sans: &spec.sans,
    }
    .to_der();
    let der = x509::signed(&body, algorithm, &issuer.key.sign(&body)?);
    Certificate::from_der(der).map_err(IssueError::ReadBack)
}

/// Whether the names can be written: as they are, they are ASCII (RFC 5280, section 4.2.1.6).
fn check_names(spec: &CertSpec) -> Result<(), IssueError> {
    match spec.sans.dns.iter().find(|name| !name.is_ascii()) {
        Some(name) => Err(IssueError::NotAscii(name.clone())),
        None => Ok(()),
    }
}

fn subject(spec: &CertSpec) -> Result<Vec<u8>, IssueError> {
    if spec.common_name.is_empty() {
        return Err(IssueError::EmptyCommonName);
    }
    Ok(x509::name(&spec.common_name, &spec.organizations))
}

/// 63 random bits, never zero, as kubeadm's.
fn serial() -> Result<[u8; 8], RandomUnavailable> {
    loop {
        let mut bytes = super::random_bytes::<8>()?;
        bytes[0] &= 0x7f;
        if bytes != [0; 8] {
            return Ok(bytes);
        }
    }
}

/// RFC 7093, method 1: over the key bits alone, without the algorithm.
fn key_id(key: &PrivateKey) -> Vec<u8> {
    let bits = yasna::parse_der(key.spki_der(), |reader| {
        reader.read_sequence(|fields| {
            fields.next().read_der()?;
            fields.next().read_bitvec_bytes()
        })
    });
    // The bytes were written by the crypto library as a public key; if not, any stable identifier will do.
    let bits = bits.map_or_else(|_| key.spki_der().to_vec(), |(bits, _)| bits);
    sha256(&bits)[..20].to_vec()
}

#[cfg(test)]
#[path = "issue_tests.rs"]
mod tests;
