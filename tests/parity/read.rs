//! Files as parsed objects.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rkadm_core::pki::{Certificate, PrivateKey};
use rkadm_core::yaml;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, Pem, SubjectPublicKeyInfo};

use crate::certificate::{self, Authorities};
use crate::tree::Entry;

/// Every file by its path: kind, mode, owner and what it says.
pub fn tree(entries: &[Entry]) -> Result<Value> {
    let mut authorities = Authorities::default();
    let by_path: BTreeMap<_, _> = entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    for entry in entries.iter().filter(|entry| has_extension(&entry.path, "crt")) {
        authorities.add(&entry.path, &entry.content)?;
    }
    let files = by_path.iter().map(|(path, entry)| {
        let content = content(entry, &by_path, &authorities).with_context(|| (*path).to_owned())?;
        let value = json!({
            "kind": format!("{:?}", entry.kind),
            "mode": format!("{:04o}", entry.mode),
            "owner": format!("{}:{}", entry.owner.0, entry.owner.1),
            "content": content,
        });
        Ok(((*path).to_owned(), value))
    });
    Ok(Value::Object(files.collect::<Result<_>>()?))
}

fn has_extension(path: &str, wanted: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == wanted)
}

fn content(entry: &Entry, all: &BTreeMap<&str, &Entry>, authorities: &Authorities) -> Result<Value> {
    let Entry { path, content, written, .. } = entry;
    // rkadm's record of what it did, where kubeadm has none.
    if !entry.kind.is_file() || path.starts_with("/var/lib/rkadm/") {
        return Ok(Value::Null);
    }
    let beside = |extension: &str| {
        let stem = path.rsplit_once('.').map_or(path.as_str(), |(stem, _)| stem);
        all.get(format!("{stem}.{extension}").as_str()).map(|entry| entry.content.as_slice())
    };
    let text = || String::from_utf8(content.clone());
    Ok(match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "crt" => certificate::fields(content, *written, authorities)?,
        "key" => private_key(content, beside("crt"))?,
        "pub" => public_key(content, beside("key"))?,
        "conf" if path.starts_with("/etc/kubernetes/") => kubeconfig(&text()?, *written, authorities)?,
        "yaml" => json!(yaml::documents(&text()?)?),
        _ => json!(text()?),
    })
}

/// What kind of key it is, how it is written, and whether it is that of the certificate.
fn private_key(pem: &[u8], cert: Option<&[u8]>) -> Result<Value> {
    let key = PrivateKey::from_pem(pem)?;
    let cert = cert.map(Certificate::from_pem).transpose()?;
    let (_, public) = SubjectPublicKeyInfo::from_der(key.spki_der())?;
    Ok(json!({
        "labels": labels(pem)?,
        "key": certificate::public_key(&public)?,
        "of the certificate": cert.map(|cert| key.matches(&cert)),
    }))
}

fn public_key(pem: &[u8], private: Option<&[u8]>) -> Result<Value> {
    let block = Pem::iter_from_buffer(pem).next().context("no PEM")??;
    let (_, public) = SubjectPublicKeyInfo::from_der(&block.contents)?;
    let private = private.map(PrivateKey::from_pem).transpose()?;
    Ok(json!({
        "labels": labels(pem)?,
        "key": certificate::public_key(&public)?,
        "of the private key": private.map(|key| key.spki_der() == block.contents),
    }))
}

fn labels(pem: &[u8]) -> Result<Vec<String>> {
    Pem::iter_from_buffer(pem).map(|block| Ok(block?.label)).collect()
}

/// The file, with the certificates and keys in it read.
fn kubeconfig(text: &str, written: i64, authorities: &Authorities) -> Result<Value> {
    let mut file: Value = yaml::from_str(text)?;
    let mut client = None;
    for cluster in file["clusters"].as_array_mut().into_iter().flatten() {
        if let Some(data) = cluster["cluster"].get_mut("certificate-authority-data") {
            // That is when the file was written that it was copied from.
            let mut fields = certificate::fields(&decoded(data)?, written, authorities)?;
            for block in fields.as_array_mut().into_iter().flatten() {
                let cert = block["certificate"].as_object_mut().context("no fields")?;
                cert.remove("begins");
            }
            *data = fields;
        }
    }
    for user in file["users"].as_array_mut().into_iter().flatten() {
        if let Some(data) = user["user"].get_mut("client-certificate-data") {
            let pem = decoded(data)?;
            let mut fields = certificate::fields(&pem, written, authorities)?;
            for block in fields.as_array_mut().into_iter().flatten() {
                // kubeadm lets these begin with their authority, which the run before this one made.
                let seconds = &mut block["certificate"]["valid for, in seconds"];
                *seconds = json!(seconds.as_i64().map(|seconds| seconds / 600 * 600));
            }
            *data = fields;
            client = Some(pem);
        }
        if let Some(data) = user["user"].get_mut("client-key-data") {
            *data = private_key(&decoded(data)?, client.as_deref())?;
        }
    }
    ensure!(file.is_object(), "no kubeconfig: {text}");
    Ok(file)
}

fn decoded(data: &Value) -> Result<Vec<u8>> {
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::STANDARD.decode(data.as_str().context("no text")?)?)
}
