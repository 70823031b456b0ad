//! PEM armour around DER, in the layout Go and OpenSSL write: 64 columns, line feeds, a final newline.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

/// One section of a PEM text. The contents may be a private key, so they are wiped when dropped.
pub(super) struct Section {
    pub kind: SectionKind,
    pub der: Zeroizing<Vec<u8>>,
}

impl PemObject for Section {
    fn from_pem(kind: SectionKind, der: Vec<u8>) -> Option<Self> {
        Some(Self { kind, der: Zeroizing::new(der) })
    }
}

/// Iterates over the sections of a PEM text; text between sections and unknown sections are skipped.
///
/// The parser's own error is dropped on purpose: it can quote the line it failed on, which may be key material.
pub(super) fn sections(pem: &[u8]) -> impl Iterator<Item = Result<Section, MalformedPem>> + '_ {
    Section::pem_slice_iter(pem).map(|section| section.map_err(|_| MalformedPem))
}

/// A PEM section that starts but does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PEM")]
pub(super) struct MalformedPem;

/// Writes one section, for example with the label `CERTIFICATE`.
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    const COLUMNS: usize = 64;
    let body = Zeroizing::new(STANDARD.encode(der));
    // The whole text is allocated at once: growing would leave unwiped copies of a key on the heap.
    let mut text =
        Zeroizing::new(String::with_capacity(body.len() + body.len() / COLUMNS + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(COLUMNS));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}
