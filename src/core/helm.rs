//! Releases of Helm as it keeps them in the cluster: a Secret or a ConfigMap for each revision.
//!
//! Others wrote them, so how much is unpacked has a limit, and no error repeats what is in them: values and manifests hold secrets.

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;

/// The labels of the revisions that are in effect, as a selector.
pub const DEPLOYED: &str = "owner=helm,status=deployed";
/// The type of Secrets that hold a revision.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";
/// Helm's own limit is that of a Secret, 1 MiB packed; what really is in there becomes some six times as much.
const LIMIT: u64 = 32 << 20;

/// One revision of a release. What it was made from is not read.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Where it was installed to.
    #[serde(default)]
    pub namespace: String,
    /// The revision.
    #[serde(default)]
    pub version: u64,
    /// The objects as they were applied: YAML documents.
    #[serde(default)]
    pub manifest: String,
}

/// An object in a manifest: as much of it as its API is judged by.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Head {
    /// Group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What a list holds.
    items: Option<Vec<Self>>,
}

/// Of an object.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
}

/// Why a revision cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelmError {
    /// `data.release` is missing, or not what Helm writes.
    #[error("it holds no release in base64")]
    Encoding,
    /// What is packed is cut off or changed.
    #[error("what is packed in it is damaged")]
    Damaged,
    /// More is packed in it than anything that Helm would write.
    #[error("more than {} MiB are packed in it", LIMIT >> 20)]
    TooLarge,
    /// What is packed is something else.
    #[error("what is packed in it is no release of Helm")]
    NoRelease,
    /// A document of the manifest that names an old API cannot be read.
    #[error("document {0} of its manifest is not YAML of an object")]
    Document(usize),
}

impl Release {
    /// Reads what a Secret or a ConfigMap holds.
    pub fn read(object: &Value) -> Result<Self, HelmError> {
        let stored = object["data"]["release"].as_str().ok_or(HelmError::Encoding)?.as_bytes();
        let decode = |text: &[u8]| STANDARD.decode(text).map_err(|_| HelmError::Encoding);
        // Secrets have an encoding of their own around that of Helm.
        let packed = if object["kind"] == "Secret" { decode(&decode(stored)?)? } else { decode(stored)? };
        let unpacked = unpack(packed)?;
        serde_json::from_slice(&unpacked).map_err(|_| HelmError::NoRelease)
    }

    /// The objects of documents that name a version of an API for which `wanted` is true; others are not parsed, as that is slow.
    pub fn objects(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Head>, HelmError> {
        let mut found = vec![];
        for (index, text) in documents(&self.manifest).enumerate() {
            if !api_versions(text).any(&wanted) {
                continue;
            }
            let head: Head = crate::yaml::from_str(text).map_err(|_| HelmError::Document(index + 1))?;
            found.extend(head.flatten());
        }
        Ok(found)
    }
}

impl Head {
    fn flatten(mut self) -> Vec<Self> {
        match self.items.take() {
            Some(items) => items.into_iter().flat_map(Self::flatten).collect(),
            None => vec![self],
        }
    }
}

/// The oldest versions of Helm did not pack it.
fn unpack(packed: Vec<u8>) -> Result<Vec<u8>, HelmError> {
    const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
    if !packed.starts_with(&GZIP) {
        return Ok(packed);
    }
    let mut unpacked = vec![];
    let read = GzDecoder::new(&packed[..]).take(LIMIT + 1).read_to_end(&mut unpacked);
    read.map_err(|_| HelmError::Damaged)?;
    if unpacked.len() as u64 > LIMIT { Err(HelmError::TooLarge) } else { Ok(unpacked) }
}

fn documents(manifest: &str) -> impl Iterator<Item = &str> {
    let mut rest = manifest;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_end = |at: usize| rest[at + 4..].starts_with(['\n', '\r', ' ', '\t']) || rest.len() == at + 4;
        let end = rest.match_indices("\n---").map(|(at, _)| at).find(|at| is_end(*at));
        let (document, left) = rest.split_at(end.map_or(rest.len(), |at| at + 1));
        // The next one begins with its line of dashes, which YAML allows.
        rest = left;
        Some(document)
    })
}

/// What is written after each `apiVersion`, in YAML and in the JSON that is YAML too.
fn api_versions(text: &str) -> impl Iterator<Item = &str> {
    const KEY: &str = "apiVersion";
    text.match_indices(KEY).filter_map(|(at, _)| {
        let rest = text[at + KEY.len()..].trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
        let value = rest.trim_start().trim_start_matches(['"', '\'']);
        value.split(|it: char| it.is_whitespace() || "\"',}#".contains(it)).next()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(vec![], Compression::best());
        packer.write_all(content).unwrap();
        packer.finish().unwrap()
    }

    fn secret(packed: &[u8]) -> Value {
        json!({"kind": "Secret", "data": {"release": STANDARD.encode(STANDARD.encode(packed))}})
    }

    fn release(manifest: &str) -> Value {
        json!({"name": "web", "namespace": "shop", "version": 7, "manifest": manifest,
            "info": {"status": "deployed"}, "config": {"password": "sesame"}, "chart": {"files": []}})
    }

    fn of(manifest: &str) -> Release {
        Release::read(&secret(&gzip(release(manifest).to_string().as_bytes()))).unwrap()
    }

    #[test]
    fn secrets_config_maps_and_what_was_not_packed_are_read() {
        let text = release("a: 1").to_string();
        let wanted =
            Release { name: "web".into(), namespace: "shop".into(), version: 7, manifest: "a: 1".into() };
        assert_eq!(Release::read(&secret(&gzip(text.as_bytes()))).unwrap(), wanted);
        assert_eq!(Release::read(&secret(text.as_bytes())).unwrap(), wanted);
        let map = json!({"kind": "ConfigMap", "data": {"release": STANDARD.encode(gzip(text.as_bytes()))}});
        assert_eq!(Release::read(&map).unwrap(), wanted);
    }

    #[test]
    fn broken_releases_are_told_without_what_is_in_them() {
        let packed = gzip(release("a: 1").to_string().as_bytes());
        let bomb = gzip(&vec![b' '; usize::try_from(LIMIT).unwrap() + 1]);
        assert!(bomb.len() < 64 << 10, "{}", bomb.len());
        let cut = &packed[..packed.len() - 9];
        for (object, message) in [
            (json!({"kind": "Secret", "data": {}}), "it holds no release in base64"),
            (json!({"kind": "Secret", "data": {"release": "c2VzYW1l"}}), "it holds no release in base64"),
            (secret(cut), "what is packed in it is damaged"),
            (secret(&bomb), "more than 32 MiB are packed in it"),
            (secret(b"{\"name\": [\"sesame\"]}"), "what is packed in it is no release of Helm"),
            (secret(&gzip(b"sesame")), "what is packed in it is no release of Helm"),
        ] {
            assert_eq!(Release::read(&object).unwrap_err().to_string(), message);
        }
        let error = of("---\na: 1\n---\napiVersion: x/v1\nsesame: [\n").objects(|_| true).unwrap_err();
        assert_eq!(error.to_string(), "document 2 of its manifest is not YAML of an object");
    }

    #[test]
    fn documents_that_name_no_old_api_are_not_parsed() {
        let manifest = "---\n# Source: web/a.yaml\napiVersion: \"x/v1beta1\"\nkind: A\nmetadata:\n  name: one\n\
            --- # next\napiVersion: v1\nkind: [broken\n---\r\nkind: List\napiVersion: v1\nitems:\n- {\"apiVersion\":\"x/v1beta1\",\
            \"kind\":\"B\",\"metadata\":{\"name\":\"two\"}}\n- {apiVersion: v1, kind: C}\n---\n";
        let heads = of(manifest).objects(|version| version == "x/v1beta1").unwrap();
        let names: Vec<_> = heads
            .iter()
            .map(|head| format!("{} {} {}", head.api_version, head.kind, head.metadata.name))
            .collect();
        assert_eq!(names, ["x/v1beta1 A one", "x/v1beta1 B two", "v1 C "]);
    }

    #[test]
    fn dashes_inside_a_document_do_not_end_it() {
        let text = "a: |\n  ---\n  x\n----: y\n---\nb: 1\n---";
        assert_eq!(
            documents(text).collect::<Vec<_>>(),
            ["a: |\n  ---\n  x\n----: y\n", "---\nb: 1\n", "---"]
        );
    }
}
