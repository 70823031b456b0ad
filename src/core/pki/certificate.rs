//! Reads certificates.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::pem::SectionKind;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};
use x509_parser::time::ASN1Time;
use x509_parser::x509::AttributeTypeAndValue;

use super::key::sha256;
use super::{CertUsage, Sans, hex, pem, signature};

/// Text or bytes that are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The text holds no certificate.
    #[error("no certificate found in the PEM text")]
    NoCertificate,
    /// A PEM section does not decode.
    #[error("the certificate is not valid PEM")]
    MalformedPem,
    /// The bytes are not an X.509 certificate.
    #[error("the certificate is damaged: {0}")]
    Malformed(String),
}

/// A certificate, with everything rkadm asks of it read once.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    common_name: String,
    organizations: Vec<String>,
    issuer_common_name: String,
    sans: Sans,
    not_before: Timestamp,
    not_after: Timestamp,
    is_ca: bool,
    server_auth: bool,
    client_auth: bool,
    serial: Vec<u8>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    spki: Vec<u8>,
    subject_key_id: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads the first certificate of a PEM text, as Kubernetes does with a file that should hold one.
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        Self::sections(text).next().unwrap_or(Err(CertificateError::NoCertificate))
    }

    /// Reads every certificate of a bundle, at least one.
    pub fn bundle_from_pem(text: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let all: Vec<_> = Self::sections(text).collect::<Result<_, _>>()?;
        if all.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(all) }
    }

    fn sections(text: &[u8]) -> impl Iterator<Item = Result<Self, CertificateError>> + '_ {
        pem::sections(text).filter_map(|section| match section {
            Ok(section) if section.kind == SectionKind::Certificate => {
                Some(Self::from_der(section.der.to_vec()))
            }
            Ok(_) => None,
            Err(_) => Some(Err(CertificateError::MalformedPem)),
        })
    }

    /// Reads a DER certificate.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        let malformed = |error: &dyn ToString| CertificateError::Malformed(error.to_string());
        let (rest, cert) = X509Certificate::from_der(&der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed("bytes follow the certificate".to_owned()));
        }
        let usage = cert.extended_key_usage().map_err(|error| malformed(&error))?.map(|usage| usage.value);
        // The certificate must be allowed to sign: `is_ca` alone says nothing about key usage.
        let may_sign = cert
            .key_usage()
            .map_err(|error| malformed(&error))?
            .is_none_or(|usage| usage.value.key_cert_sign());
        let names = cert.subject_alternative_name().map_err(|error| malformed(&error))?;
        let subject_key_id =
            cert.iter_extensions().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            });
        Ok(Self {
            common_name: first_common_name(cert.subject()),
            organizations: cert.subject().iter_organization().map(attribute_text).collect(),
            issuer_common_name: first_common_name(cert.issuer()),
            sans: names.map_or_else(Sans::default, |names| sans(&names.value.general_names)),
            not_before: timestamp(cert.validity().not_before)?,
            not_after: timestamp(cert.validity().not_after)?,
            is_ca: cert.is_ca() && may_sign,
            // One that names no purpose is for any: RFC 5280, 4.2.1.12.
            server_auth: usage.is_none_or(|usage| usage.any || usage.server_auth),
            client_auth: usage.is_none_or(|usage| usage.any || usage.client_auth),
            serial: cert.raw_serial().to_vec(),
            subject: cert.subject().as_raw().to_vec(),
            issuer: cert.issuer().as_raw().to_vec(),
            spki: cert.public_key().raw.to_vec(),
            subject_key_id,
            der,
        })
    }

    /// The certificate as DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM, in the layout kubeadm writes.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der).to_string()
    }

    /// Subject CN, empty if there is none.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// Subject O, every one.
    pub fn organizations(&self) -> &[String] {
        &self.organizations
    }

    /// CN of the issuer, for messages; two CAs may share it.
    pub fn issuer_common_name(&self) -> &str {
        &self.issuer_common_name
    }

    /// DNS names and addresses it is valid for, in its own order.
    pub fn sans(&self) -> &Sans {
        &self.sans
    }

    /// Start of the validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of the validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it may sign other certificates.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether issuer and subject are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Serial number in lower-case hexadecimal, two digits a byte.
    pub fn serial(&self) -> String {
        hex(&self.serial)
    }

    /// The public key as DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The pin of a CA's public key for `--discovery-token-ca-cert-hash`: `sha256:` and 64 hexadecimal digits.
    pub fn spki_hash(&self) -> String {
        format!("sha256:{}", hex(&sha256(&self.spki)))
    }

    /// What the certificate may be used for; none if it is for nothing Kubernetes knows.
    pub fn usage(&self) -> Option<CertUsage> {
        match (self.is_ca, self.server_auth, self.client_auth) {
            (true, ..) => Some(CertUsage::Ca),
            (false, true, true) => Some(CertUsage::ServerClient),
            (false, true, false) => Some(CertUsage::Server),
            (false, false, true) => Some(CertUsage::Client),
            (false, false, false) => None,
        }
    }

    /// Whether a CA's key made this certificate's signature, and the CA's name is its issuer.
    ///
    /// Validity periods are not looked at: an expired certificate is still signed by its CA.
    pub fn signed_by(&self, ca: &Self) -> bool {
        let (Ok((_, this)), Ok((_, ca_cert))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&ca.der))
        else {
            return false;
        };
        let (signature, key) = (&this.signature_value, ca_cert.public_key());
        ca.is_ca
            && self.issuer == ca.subject
            && signature::is_of(key, &this.signature_algorithm, signature, this.tbs_certificate.as_ref())
    }

    /// The certificate that signed this one, where one of the authorities vouches for it, directly or through others that came with it
    /// (`chain`, as in the file of a certificate with its intermediates).
    pub fn issuer_among<'a>(&self, chain: &'a [Self], authorities: &'a [Self]) -> Option<&'a Self> {
        self.issuer_within(chain, authorities, chain.len())
    }

    /// `links` ends it where certificates have signed one another.
    fn issuer_within<'a>(
        &self,
        chain: &'a [Self],
        authorities: &'a [Self],
        links: usize,
    ) -> Option<&'a Self> {
        let direct = authorities.iter().find(|ca| self.signed_by(ca));
        direct.or_else(|| {
            let links = links.checked_sub(1)?;
            let mut others = chain.iter().filter(|link| link.der != self.der && self.signed_by(link));
            others.find(|link| link.issuer_within(chain, authorities, links).is_some())
        })
    }

    pub(super) fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    pub(super) fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }

    pub(super) fn allows(&self, usage: CertUsage) -> bool {
        match usage {
            CertUsage::Ca => self.is_ca,
            other => (!other.serves() || self.server_auth) && (!other.dials() || self.client_auth),
        }
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("common_name", &self.common_name)
            .field("serial", &self.serial())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, CertificateError> {
    Timestamp::from_second(time.timestamp()).map_err(|error| CertificateError::Malformed(error.to_string()))
}

pub(super) fn first_common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name().next().map_or_else(String::new, attribute_text)
}

pub(super) fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute
        .as_str()
        .map_or_else(|_| String::from_utf8_lossy(attribute.as_slice()).into_owned(), str::to_owned)
}

pub(super) fn sans(names: &[GeneralName<'_>]) -> Sans {
    let mut sans = Sans::default();
    for name in names {
        match name {
            GeneralName::DNSName(name) => sans.dns.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let ip = <[u8; 4]>::try_from(*bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                sans.ips.extend(ip.ok());
            }
            _ => {}
        }
    }
    sans
}
