//! Signing requests that came from somewhere: read, checked, signed.

use jiff::Timestamp;
use rustls::pki_types::pem::SectionKind;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, ParsedExtension};

use super::certificate::{attribute_text, first_common_name, sans};
use super::issue::{Issuer, Subject, issuer_of, sign};
use super::{CertSpec, Certificate, IssueError, PrivateKey, Sans, pem, signature};

/// Text or bytes that are not a signing request to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The text holds no request.
    #[error("no certificate request found in the PEM text")]
    NoRequest,
    /// The PEM section does not decode, or the bytes are no PKCS#10 request.
    #[error("the certificate request is damaged: {0}")]
    Malformed(String),
    /// Whoever made it does not hold the key that it names, or it was changed since.
    #[error("the signature of the certificate request does not match the key in it")]
    Signature,
}

/// A PKCS#10 request (RFC 2986) whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    common_name: String,
    organizations: Vec<String>,
    sans: Sans,
    subject: Vec<u8>,
    spki: Vec<u8>,
}

impl ReceivedRequest {
    /// Reads the first request of a PEM text and checks its signature.
    pub fn from_pem(text: &[u8]) -> Result<Self, RequestError> {
        for section in pem::sections(text) {
            let section = section.map_err(|_| RequestError::Malformed("not valid PEM".to_owned()))?;
            if section.kind == SectionKind::Csr {
                return Self::from_der(&section.der);
            }
        }
        Err(RequestError::NoRequest)
    }

    fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let malformed = |error: &dyn ToString| RequestError::Malformed(error.to_string());
        let (_, request) = X509CertificationRequest::from_der(der).map_err(|error| malformed(&error))?;
        let info = &request.certification_request_info;
        let (algorithm, signature) = (&request.signature_algorithm, &request.signature_value);
        if !signature::is_of(&info.subject_pki, algorithm, signature, info.raw) {
            return Err(RequestError::Signature);
        }
        let names = request.requested_extensions().and_then(|mut extensions| {
            extensions.find_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(sans(&names.general_names)),
                _ => None,
            })
        });
        Ok(Self {
            common_name: first_common_name(&info.subject),
            organizations: info.subject.iter_organization().map(attribute_text).collect(),
            sans: names.unwrap_or_default(),
            subject: info.subject.as_raw().to_vec(),
            spki: info.subject_pki.raw.to_vec(),
        })
    }

    /// Subject CN, empty if there is none.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// Subject O, every one.
    pub fn organizations(&self) -> &[String] {
        &self.organizations
    }

    /// Names that it asks for.
    pub fn sans(&self) -> &Sans {
        &self.sans
    }

    /// Whether this is the key that it asks a certificate for.
    pub fn is_for(&self, key: &PrivateKey) -> bool {
        key.spki_der() == self.spki
    }

    /// The certificate that it asks for. What it may be used for, and for how long, is the signer's choice.
    pub fn spec(&self, usage: super::CertUsage, validity: std::time::Duration) -> CertSpec {
        CertSpec {
            common_name: self.common_name.clone(),
            organizations: self.organizations.clone(),
            sans: self.sans.clone(),
            usage,
            validity,
        }
    }
}

/// Issues the certificate that a request asks for, with its subject as it is.
pub fn issue_for(
    request: &ReceivedRequest,
    spec: &CertSpec,
    ca: &Certificate,
    ca_key: &PrivateKey,
    now: Timestamp,
) -> Result<Certificate, IssueError> {
    if spec.common_name.is_empty() {
        return Err(IssueError::EmptyCommonName);
    }
    let issuer: Issuer<'_> = issuer_of(spec, ca, ca_key)?;
    sign(spec, &Subject { name: &request.subject, spki: &request.spki }, &issuer, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{self, CertUsage, KeyAlgorithm, x509};

    #[test]
    fn a_name_that_no_certificate_can_hold_is_refused() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let validity = std::time::Duration::from_hours(24);
        let spec = CertSpec {
            common_name: "kube-apiserver".into(),
            organizations: vec![],
            sans: Sans { dns: vec!["m\u{fc}nchen.example".into()], ips: vec![] },
            usage: CertUsage::Server,
            validity,
        };
        let authority = CertSpec { sans: Sans::default(), usage: CertUsage::Ca, ..spec.clone() };
        let ca = pki::issue_ca(&authority, &key, Timestamp::now()).unwrap();
        let error = pki::request(&spec, &key).err().unwrap();
        assert!(matches!(&error, IssueError::NotAscii(name) if name.starts_with('m')), "{error}");
        let request = ReceivedRequest {
            common_name: spec.common_name.clone(),
            organizations: vec![],
            sans: spec.sans.clone(),
            subject: x509::name(&spec.common_name, &[]),
            spki: key.spki_der().to_vec(),
        };
        let error = issue_for(&request, &spec, &ca, &key, Timestamp::now()).unwrap_err();
        assert!(matches!(&error, IssueError::NotAscii(name) if name.starts_with('m')), "{error}");
    }
}
