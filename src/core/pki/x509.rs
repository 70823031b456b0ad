//! The DER of certificates and signing requests (RFC 5280, RFC 2986), field for field as kubeadm lays them out.
//!
//! Written here because rcgen rebuilds the issuer's name from its attributes and keeps only one of each type: under
//! a company CA such as `DC=com, DC=example, CN=…` it would issue certificates whose issuer is not that CA. It cannot
//! write several organizations either. Here the issuer's name is copied byte for byte.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{DERWriter, DERWriterSeq, Tag, construct_der};

use super::key::SignatureAlgorithm;
use super::{CertUsage, Sans};

const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const SUBJECT_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 14];
const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];

/// The signed part of a certificate.
pub(super) struct ToBeSigned<'a> {
    pub serial: [u8; 8],
    pub algorithm: SignatureAlgorithm,
    /// DER of the issuer's name.
    pub issuer: &'a [u8],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// DER of the subject's name.
    pub subject: &'a [u8],
    /// DER of the subject's public key.
    pub spki: &'a [u8],
    pub usage: CertUsage,
    /// Written for CAs.
    pub subject_key_id: Option<&'a [u8]>,
    /// The issuer's subject key identifier, when it has one and is not the certificate itself.
    pub authority_key_id: Option<&'a [u8]>,
    pub sans: &'a Sans,
}

impl ToBeSigned<'_> {
    pub fn to_der(&self) -> Vec<u8> {
        construct_der(|writer| {
            writer.write_sequence(|fields| {
                // Version 3.
                fields.next().write_tagged(Tag::context(0), |version| version.write_u8(2));
                fields.next().write_bigint_bytes(&self.serial, true);
                write_algorithm(fields.next(), self.algorithm);
                fields.next().write_der(self.issuer);
                fields.next().write_sequence(|validity| {
                    write_time(validity.next(), self.not_before);
                    write_time(validity.next(), self.not_after);
                });
                fields.next().write_der(self.subject);
                fields.next().write_der(self.spki);
                fields.next().write_tagged(Tag::context(3), |extensions| {
                    extensions.write_sequence(|list| self.write_extensions(list));
                });
            });
        })
    }

    /// Go's order: key usage, extended key usage, basic constraints, key identifiers, names.
    fn write_extensions(&self, list: &mut DERWriterSeq<'_>) {
        let ca = self.usage == CertUsage::Ca;
        write_extension(list.next(), KEY_USAGE, true, |writer| {
            // Bits from the left: digital signature 0, key encipherment 2, certificate signing 5. kubeadm sets key
            // encipherment for ECDSA keys too.
            if ca { writer.write_bitvec_bytes(&[0xa4], 6) } else { writer.write_bitvec_bytes(&[0xa0], 3) }
        });
        if !ca {
            write_extension(list.next(), EXTENDED_KEY_USAGE, false, |writer| {
                writer.write_sequence(|purposes| {
                    if self.usage.serves() {
                        purposes.next().write_oid(&ObjectIdentifier::from_slice(SERVER_AUTH));
                    }
                    if self.usage.dials() {
                        purposes.next().write_oid(&ObjectIdentifier::from_slice(CLIENT_AUTH));
                    }
                });
            });
        }
        write_extension(list.next(), BASIC_CONSTRAINTS, true, |writer| {
            writer.write_sequence(|fields| {
                // FALSE is the default and DER leaves defaults out.
                if ca {
                    fields.next().write_bool(true);
                }
            });
        });
        if let Some(id) = self.subject_key_id {
            write_extension(list.next(), SUBJECT_KEY_IDENTIFIER, false, |writer| writer.write_bytes(id));
        }
        if let Some(id) = self.authority_key_id {
            write_extension(list.next(), AUTHORITY_KEY_IDENTIFIER, false, |writer| {
                writer.write_sequence(|fields| {
                    fields.next().write_tagged_implicit(Tag::context(0), |key_id| key_id.write_bytes(id));
                });
            });
        }
        if !self.sans.is_empty() {
            write_sans(list.next(), self.sans);
        }
    }
}

/// The signed part of a PKCS#10 request. Like kubeadm's, it asks for names only; usages are the signer's choice.
pub(super) fn request_info(subject: &[u8], spki: &[u8], sans: &Sans) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_u8(0);
            fields.next().write_der(subject);
            fields.next().write_der(spki);
            fields.next().write_tagged_implicit(Tag::context(0), |attributes| {
                attributes.write_set_of(|list| {
                    if !sans.is_empty() {
                        list.next().write_sequence(|attribute| {
                            attribute.next().write_oid(&ObjectIdentifier::from_slice(EXTENSION_REQUEST));
                            attribute.next().write_set_of(|values| {
                                values
                                    .next()
                                    .write_sequence(|extensions| write_sans(extensions.next(), sans));
                            });
                        });
                    }
                });
            });
        });
    })
}

/// Puts a signature on a certificate's or request's signed part.
pub(super) fn signed(body: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_der(body);
            write_algorithm(fields.next(), algorithm);
            fields.next().write_bitvec_bytes(signature, signature.len() * 8);
        });
    })
}

/// DER of a subject: all organizations in one set, then the common name.
pub(super) fn name(common_name: &str, organizations: &[String]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            if !organizations.is_empty() {
                parts.next().write_set_of(|set| {
                    for organization in organizations {
                        write_attribute(set.next(), ORGANIZATION, organization);
                    }
                });
            }
            parts.next().write_set_of(|set| write_attribute(set.next(), COMMON_NAME, common_name));
        });
    })
}

fn write_attribute(writer: DERWriter<'_>, kind: &[u64], value: &str) {
    writer.write_sequence(|fields| {
        fields.next().write_oid(&ObjectIdentifier::from_slice(kind));
        if value.bytes().all(is_printable) {
            fields.next().write_printable_string(value);
        } else {
            fields.next().write_utf8_string(value);
        }
    });
}

/// Whether a byte may stand in a PrintableString (X.680, 41.4).
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

fn write_sans(writer: DERWriter<'_>, sans: &Sans) {
    write_extension(writer, SUBJECT_ALT_NAME, false, |writer| {
        writer.write_sequence(|names| {
            for name in &sans.dns {
                names.next().write_tagged_implicit(Tag::context(2), |writer| writer.write_ia5_string(name));
            }
            for ip in &sans.ips {
                names.next().write_tagged_implicit(Tag::context(7), |writer| match ip {
                    IpAddr::V4(ip) => writer.write_bytes(&ip.octets()),
                    IpAddr::V6(ip) => writer.write_bytes(&ip.octets()),
                });
            }
        });
    });
}

fn write_extension(writer: DERWriter<'_>, id: &[u64], critical: bool, value: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|fields| {
        fields.next().write_oid(&ObjectIdentifier::from_slice(id));
        if critical {
            fields.next().write_bool(true);
        }
        fields.next().write_bytes(&construct_der(value));
    });
}

fn write_algorithm(writer: DERWriter<'_>, algorithm: SignatureAlgorithm) {
    writer.write_sequence(|fields| {
        fields.next().write_oid(&ObjectIdentifier::from_slice(algorithm.oid));
        if algorithm.null_parameters {
            fields.next().write_null();
        }
    });
}

/// UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5); whole seconds.
fn write_time(writer: DERWriter<'_>, at: Timestamp) {
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    let (tag, format) = if (1950..2050).contains(&civil.year()) {
        (TAG_UTCTIME, "%y%m%d%H%M%SZ")
    } else {
        (TAG_GENERALIZEDTIME, "%Y%m%d%H%M%SZ")
    };
    let text = civil.strftime(format).to_string();
    writer.write_tagged_implicit(tag, |writer| writer.write_bytes(text.as_bytes()));
}
