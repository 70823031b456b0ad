//! The encryption of the Secret `kubeadm-certs`, through which joining control planes get the CAs.
//!
//! Each value is AES-256-GCM without associated data: 12 bytes of random nonce, the ciphertext, 16 bytes of tag.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{RandomUnavailable, hex, random_bytes};

/// Length of the key in bytes.
pub const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// Name of the Secret in `kube-system`.
pub const SECRET_NAME: &str = "kubeadm-certs";
/// What the Secret holds: keys of its data, and files relative to the certificate directory. Keys of a Secret cannot
/// contain a slash. With external etcd the pair of etcd's CA is not there.
pub const SHARED_FILES: [(&str, &str); 8] = [
    ("ca.crt", "ca.crt"),
    ("ca.key", "ca.key"),
    ("etcd-ca.crt", "etcd/ca.crt"),
    ("etcd-ca.key", "etcd/ca.key"),
    ("front-proxy-ca.crt", "front-proxy-ca.crt"),
    ("front-proxy-ca.key", "front-proxy-ca.key"),
    ("sa.key", "sa.key"),
    ("sa.pub", "sa.pub"),
];

/// The key given to `--certificate-key`. It is never stored in the cluster, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateKey(Zeroizing<[u8; KEY_LEN]>);

/// Why a value could not be encrypted or decrypted. No variant carries the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// The key's text is of another form.
    #[error("the certificate key must be 64 hexadecimal digits")]
    MalformedKey,
    /// No nonce or key could be made.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// The crypto library refused.
    #[error("could not encrypt")]
    Encrypt,
    /// Another key was used, or the value was changed.
    #[error("could not decrypt: the certificate key is wrong or the data is damaged")]
    Decrypt,
}

impl CertificateKey {
    /// Makes a random key.
    pub fn generate() -> Result<Self, EncryptError> {
        Ok(Self(Zeroizing::new(random_bytes()?)))
    }

    /// The key as 64 hexadecimal digits, to be shown to the operator once.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&*self.0))
    }

    /// Encrypts a value of the Secret.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, EncryptError> {
        let nonce = random_bytes::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_LEN));
        text.extend_from_slice(plain);
        self.cipher()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut *text)
            .map_err(|_| EncryptError::Encrypt)?;
        Ok([&nonce[..], &text].concat())
    }

    /// Decrypts a value of the Secret.
    pub fn decrypt(&self, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
        let (nonce, text) = value.split_first_chunk::<NONCE_LEN>().ok_or(EncryptError::Decrypt)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut text)
            .map_err(|_| EncryptError::Decrypt)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    fn cipher(&self) -> Result<LessSafeKey, EncryptError> {
        UnboundKey::new(&AES_256_GCM, &*self.0).map(LessSafeKey::new).map_err(|_| EncryptError::Encrypt)
    }
}

impl FromStr for CertificateKey {
    type Err = EncryptError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_LEN {
            return Err(EncryptError::MalformedKey);
        }
        let mut key = Zeroizing::new([0; KEY_LEN]);
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit =
                |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                return Err(EncryptError::MalformedKey);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn what_was_encrypted_decrypts_and_nonces_differ() {
        let key = CertificateKey::generate().unwrap();
        let (one, two) = (key.encrypt(b"ca.key").unwrap(), key.encrypt(b"ca.key").unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 12 + 6 + 16);
        assert_eq!(*key.decrypt(&one).unwrap(), b"ca.key");
    }

    /// NIST's GCM test case 14 for AES-256: layout nonce, ciphertext, tag.
    #[test]
    fn layout_is_nonce_ciphertext_tag() {
        let key: CertificateKey = "00".repeat(32).parse().unwrap();
        let unhex = |text: &str| {
            (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect::<Vec<_>>()
        };
        let value = unhex(concat!(
            "000000000000000000000000",
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919"
        ));
        assert_eq!(*key.decrypt(&value).unwrap(), [0; 16]);
    }

    /// The value of `sa.pub`, which is public, in a Secret printed by `kubeadm init --dry-run --upload-certs` 1.37.
    #[test]
    fn what_kubeadm_encrypted_decrypts() {
        let key: CertificateKey =
            "ed6810f5f4e3e03cc1070394bee72a4ea913fc774b9cd0e6ec98c88e51136ffb".parse().unwrap();
        let value = concat!(
            "w9GH9oEodcevL0GEi/gxuC7eGG/MkEQcR7sJm1MoQ4ArW87fZY/zUkvxltrtaNxkJuddkbpm3pryYy3ZGipd6dT6",
            "nL3H8yk6Ez00ubhHc0dkD4+OHAKySbNyhRS8MJv1R8irRAvp19mLBWk2MrtepQn7IfhwGp3UYureA9HncOkdEj5d",
            "MP44gEHeRM24z782RpARWitBp5O4ExjAVw/DjM1lcfYA4YoWjyaQ4k1bw25RlHBSQNVPIyZ/kdu72E8JJwgPvt0c",
            "0drimsqpxcJ2gFtVQ0bb68bQ72x265sf3Sx0ezqyTw3bZUzMxmVHGqb8/dcGx6k/S/Iu03WU/tBI1if/5VGQrJ02",
            "QZ/BSriYOxey3KUtcGsDAApXhqxDbAYvdZk4TxoAdevIHFs/T/NKfeEOte++2f7iUxxCeC8N0BcJDdIeoH6F3wXV",
            "VUcmYH3fWNwbnJlerZWpdJSsGZhOiMRZw1QLDRcuBEXzcAkIYZDXbi7tOKUG2KHOHQpCGt/oSZG85HL+s2HyCgw5",
            "oBe4ZlcG2YbZoJ6ZhwJDGStOxpBcFFMnS4yLC6oB2ba2r2Bldy1kz6FFgaXnsq6GSVfqgnnyxR5wmJnIMDLky7cH",
            "7JpNAPLIsRbvTVTOnbb36yQ=",
        );
        let plain = key.decrypt(&STANDARD.decode(value).unwrap()).unwrap();
        let text = std::str::from_utf8(&plain).unwrap();
        assert!(text.starts_with("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"), "{text}");
        assert!(text.ends_with("-----END PUBLIC KEY-----\n"), "{text}");
    }

    #[test]
    fn wrong_keys_and_damage_are_reported() {
        let key = CertificateKey::generate().unwrap();
        let mut value = key.encrypt(b"secret").unwrap();
        assert_eq!(CertificateKey::generate().unwrap().decrypt(&value).unwrap_err(), EncryptError::Decrypt);
        value[13] ^= 1;
        assert_eq!(key.decrypt(&value).unwrap_err(), EncryptError::Decrypt);
        assert_eq!(key.decrypt(b"short").unwrap_err(), EncryptError::Decrypt);
    }

    #[test]
    fn keys_are_read_back_and_never_shown() {
        let key = CertificateKey::generate().unwrap();
        assert_eq!(key.expose().parse::<CertificateKey>().unwrap(), key);
        assert_eq!(format!("{key:?}"), "CertificateKey(..)");
        let long = "0".repeat(65);
        for bad in ["", "zz", long.as_str(), &"g".repeat(64)] {
            assert_eq!(bad.parse::<CertificateKey>().unwrap_err(), EncryptError::MalformedKey);
        }
    }
}
