//! Certificates, field by field.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use x509_parser::prelude::*;
use x509_parser::x509::X509Name;

/// The authorities among some files.
#[derive(Default)]
pub struct Authorities(Vec<(String, Vec<u8>)>);

impl Authorities {
    /// Adds the certificates of a file, if they are authorities.
    pub fn add(&mut self, path: &str, pem: &[u8]) -> Result<()> {
        for block in Pem::iter_from_buffer(pem) {
            let der = block.with_context(|| path.to_owned())?.contents;
            if X509Certificate::from_der(&der)?.1.is_ca() {
                self.0.push((path.to_owned(), der));
            }
        }
        Ok(())
    }

    /// Which of them signed it, and how much later the certificate's validity begins than that one's.
    fn signer(&self, cert: &X509Certificate<'_>) -> Result<Option<(String, i64)>> {
        for (path, der) in &self.0 {
            let (_, ca) = X509Certificate::from_der(der)?;
            if cert.verify_signature(Some(ca.public_key())).is_ok() {
                let later = cert.validity().not_before.timestamp() - ca.validity().not_before.timestamp();
                return Ok(Some((path.clone(), later)));
            }
        }
        Ok(None)
    }
}

/// Everything that a PEM file of certificates says, but what is random and the exact time.
///
/// Times are told from when the file was written: both tools do so at once.
pub fn fields(pem: &[u8], written: i64, authorities: &Authorities) -> Result<Value> {
    let blocks = Pem::iter_from_buffer(pem).map(|block| {
        let block = block?;
        Ok(json!({"label": block.label, "certificate": of_der(&block.contents, written, authorities)?}))
    });
    let blocks: Vec<_> = blocks.collect::<Result<_>>()?;
    if blocks.is_empty() {
        bail!("no PEM in {:?}", String::from_utf8_lossy(pem));
    }
    Ok(json!(blocks))
}

fn of_der(der: &[u8], written: i64, authorities: &Authorities) -> Result<Value> {
    let (rest, cert) = X509Certificate::from_der(der)?;
    let validity = cert.validity();
    let signer = authorities.signer(&cert)?;
    let begins = match &signer {
        // An authority signs itself.
        Some((_, later)) if !cert.is_ca() => format!("{later} s after its authority"),
        _ => format!("{} min after writing", minutes(validity.not_before.timestamp() - written)),
    };
    Ok(json!({
        "trailing bytes": rest.len(),
        "version": cert.version().to_string(),
        "serial number": {"bytes, at most": cert.raw_serial().len().max(8)},
        "subject": name(cert.subject())?,
        "issuer": name(cert.issuer())?,
        "signed by": signer.map(|(path, _)| path),
        "signature": cert.signature_algorithm.algorithm.to_id_string(),
        "begins": begins,
        "ends": format!("{} min after writing", minutes(validity.not_after.timestamp() - written)),
        "key": public_key(cert.public_key())?,
        "extensions": cert.extensions().iter().map(extension).collect::<Result<Vec<_>>>()?,
    }))
}

/// To the nearest, as writing takes a moment.
fn minutes(seconds: i64) -> i64 {
    (seconds + 30).div_euclid(60)
}

/// Each attribute with its type and the kind of its text, in order.
fn name(name: &X509Name<'_>) -> Result<Vec<String>> {
    let attributes = name.iter_attributes();
    let text = |attribute: &AttributeTypeAndValue<'_>| {
        let (kind, value) = (attribute.attr_type().to_id_string(), attribute.attr_value());
        Ok(format!("{kind} {} {}", value.tag(), attribute.as_str()?))
    };
    attributes.map(text).collect()
}

pub fn public_key(key: &SubjectPublicKeyInfo<'_>) -> Result<Value> {
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    Ok(json!({
        "algorithm": key.algorithm.algorithm.to_id_string(),
        "curve": curve.map(|oid| oid.to_id_string()),
        "bits": key.parsed()?.key_size(),
    }))
}

/// Key identifiers differ with the keys: only their length counts.
fn extension(extension: &X509Extension<'_>) -> Result<Value> {
    let value = match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => json!({"subject key bytes": id.0.len()}),
        ParsedExtension::AuthorityKeyIdentifier(id) => json!({
            "authority key bytes": id.key_identifier.as_ref().map(|id| id.0.len()),
            "with issuer": id.authority_cert_issuer.is_some(),
            "with serial": id.authority_cert_serial.is_some(),
        }),
        ParsedExtension::SubjectAlternativeName(names) => {
            json!({"names": names.general_names.iter().map(ToString::to_string).collect::<Vec<_>>()})
        }
        ParsedExtension::KeyUsage(usage) => json!({"usage": usage.to_string()}),
        ParsedExtension::ExtendedKeyUsage(usage) => json!({"extended usage": format!("{usage:?}")}),
        ParsedExtension::BasicConstraints(constraints) => {
            json!({"authority": constraints.ca, "path length": constraints.path_len_constraint})
        }
        other => bail!("an extension that no certificate of kubeadm has: {other:?}"),
    };
    Ok(json!({"id": extension.oid.to_id_string(), "critical": extension.critical, "value": value}))
}
