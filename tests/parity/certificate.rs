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

    /// The file of the one that signed it.
    fn signer(&self, cert: &X509Certificate<'_>) -> Result<Option<&str>> {
        for (path, der) in &self.0 {
            let (_, ca) = X509Certificate::from_der(der)?;
            if cert.verify_signature(Some(ca.public_key())).is_ok() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// Everything that a PEM file of certificates says, but what is random and the exact time.
///
/// When it begins is told from when the file was written, which both tools do at once.
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
    Ok(json!({
        "trailing bytes": rest.len(),
        "version": cert.version().to_string(),
        "serial number": {"bytes, at most": cert.raw_serial().len().max(8)},
        "subject": name(cert.subject())?,
        "issuer": name(cert.issuer())?,
        "signed by": authorities.signer(&cert)?,
        "signature": cert.signature_algorithm.algorithm.to_id_string(),
        "begins": begins(written - validity.not_before.timestamp()),
        "valid for, in seconds": validity.not_after.timestamp() - validity.not_before.timestamp(),
        "key": public_key(cert.public_key())?,
        "extensions": cert.extensions().iter().map(extension).collect::<Result<Vec<_>>>()?,
    }))
}

/// kubeadm tells the time once, and long keys take a while before the last file is written.
fn begins(before_writing: i64) -> String {
    match before_writing {
        299..540 => "5 min before writing".to_owned(),
        other => format!("{other} s before writing"),
    }
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
