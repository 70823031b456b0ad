//! Private keys: made, read, written and used for signing. Secret bytes are wiped when dropped and never shown.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair, RSA_PKCS1_SHA256,
};
use rustls::pki_types::pem::SectionKind;
use zeroize::Zeroizing;

use super::{Certificate, pem};

/// A kind of key kubeadm can be told to make (`encryptionAlgorithm` of `ClusterConfiguration`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyAlgorithm {
    /// RSA with a modulus of 2048 bits, kubeadm's default.
    #[default]
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
    /// RSA with a modulus of 4096 bits.
    Rsa4096,
    /// ECDSA on the NIST curve P-256.
    EcdsaP256,
    /// ECDSA on the NIST curve P-384.
    EcdsaP384,
}

impl KeyAlgorithm {
    /// Every algorithm, in the order kubeadm lists them.
    pub const ALL: [Self; 5] =
        [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::EcdsaP256, Self::EcdsaP384];

    /// The name used in kubeadm's configuration, for example `RSA-2048`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::EcdsaP256 => "ECDSA-P256",
            Self::EcdsaP384 => "ECDSA-P384",
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key algorithm that kubeadm does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown key algorithm {0:?}, expected one of RSA-2048, RSA-3072, RSA-4096, ECDSA-P256, ECDSA-P384")]
pub struct UnknownKeyAlgorithm(pub String);

impl FromStr for KeyAlgorithm {
    type Err = UnknownKeyAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|alg| alg.name() == text)
            .ok_or_else(|| UnknownKeyAlgorithm(text.to_owned()))
    }
}

/// A private key that could not be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The crypto library could not make a key.
    #[error("could not generate a {0} key")]
    Generate(KeyAlgorithm),
    /// The text holds no private key.
    #[error("no private key found in the PEM text")]
    NoKey,
    /// A PEM section does not decode.
    #[error("the private key is not valid PEM")]
    MalformedPem,
    /// The key is damaged or of a kind we cannot use.
    #[error("the private key is damaged or not RSA (2048 bits or more), ECDSA P-256 or ECDSA P-384")]
    Unsupported,
    /// The crypto library could not write the key.
    #[error("could not encode the private key")]
    Encode,
    /// The crypto library refused to sign.
    #[error("could not sign with the private key")]
    Sign,
}

enum Pair {
    Rsa(rsa::KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
}

/// A private key with its public half.
///
/// `Debug` shows neither: only the algorithm.
pub struct PrivateKey {
    pair: Pair,
    /// PKCS#1 for RSA, SEC1 for ECDSA: the forms kubeadm writes.
    der: Zeroizing<Vec<u8>>,
    /// SubjectPublicKeyInfo.
    spki: Vec<u8>,
}

impl PrivateKey {
    /// Makes a new key. RSA takes tens to hundreds of milliseconds; see [`super::KeyPool`].
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let rsa = |size| rsa::KeyPair::generate(size).map(Pair::Rsa);
        let pair = match algorithm {
            KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096),
            KeyAlgorithm::EcdsaP256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::P256)
            }
            KeyAlgorithm::EcdsaP384 => {
                EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Pair::P384)
            }
        };
        Self::from_pair(pair.map_err(|_| KeyError::Generate(algorithm))?)
    }

    /// Reads the first private key of a PEM text: PKCS#1, SEC1 or PKCS#8, not encrypted.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        for section in pem::sections(text) {
            let section = section.map_err(|_| KeyError::MalformedPem)?;
            let pair = match section.kind {
                SectionKind::RsaPrivateKey => rsa::KeyPair::from_der(&section.der).ok().map(Pair::Rsa),
                SectionKind::EcPrivateKey => ecdsa(&section.der),
                SectionKind::PrivateKey => {
                    rsa::KeyPair::from_pkcs8(&section.der).ok().map(Pair::Rsa).or_else(|| ecdsa(&section.der))
                }
                _ => continue,
            };
            return Self::from_pair(pair.ok_or(KeyError::Unsupported)?);
        }
        Err(KeyError::NoKey)
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let (der, spki) = match &pair {
            Pair::Rsa(key) => (rsa_pkcs1(key)?, x509_public(key.public_key())?),
            Pair::P256(key) | Pair::P384(key) => (ecdsa_sec1(key)?, x509_public(key.public_key())?),
        };
        Ok(Self { pair, der, spki })
    }

    /// The algorithm, or none for an RSA key of a size kubeadm does not make (such as 8192 bits).
    pub fn algorithm(&self) -> Option<KeyAlgorithm> {
        match &self.pair {
            Pair::P256(_) => Some(KeyAlgorithm::EcdsaP256),
            Pair::P384(_) => Some(KeyAlgorithm::EcdsaP384),
            Pair::Rsa(key) => match key.public_modulus_len() {
                256 => Some(KeyAlgorithm::Rsa2048),
                384 => Some(KeyAlgorithm::Rsa3072),
                512 => Some(KeyAlgorithm::Rsa4096),
                _ => None,
            },
        }
    }

    /// PEM as kubeadm writes it: `RSA PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC1). Wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let label = match self.pair {
            Pair::Rsa(_) => "RSA PRIVATE KEY",
            Pair::P256(_) | Pair::P384(_) => "EC PRIVATE KEY",
        };
        pem::encode(label, &self.der)
    }

    /// The public half as `PUBLIC KEY` PEM, the form of `sa.pub`.
    pub fn public_key_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.spki).to_string()
    }

    /// Whether a file of public keys has the public half of this one. kube-apiserver takes several in one file, in any of these forms:
    /// `PUBLIC KEY`, `RSA PUBLIC KEY` and `CERTIFICATE`; so it is while the key of service accounts is replaced.
    pub fn is_among(&self, pem: &[u8]) -> bool {
        // What PKCS #1 says of a key is the end of what X.509 says.
        let text = String::from_utf8_lossy(pem).replace("RSA PUBLIC KEY", "PUBLIC KEY");
        pem::sections(text.as_bytes()).flatten().any(|section| match section.kind {
            SectionKind::PublicKey => self.spki.ends_with(&section.der) && section.der.len() > 64,
            SectionKind::Certificate => Certificate::from_der(section.der.to_vec())
                .is_ok_and(|certificate| self.matches(&certificate)),
            _ => false,
        })
    }

    /// The public half as DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(&self.spki)
    }

    /// Whether a certificate was issued for this key.
    pub fn matches(&self, certificate: &Certificate) -> bool {
        self.spki == certificate.spki_der()
    }

    /// Signs a message with SHA-256 (SHA-384 on P-384), the choice Go makes for these keys.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| KeyError::Sign)?;
                Ok(signature)
            }
            Pair::P256(key) | Pair::P384(key) => {
                Ok(key.sign(&random, message).map_err(|_| KeyError::Sign)?.as_ref().to_vec())
            }
        }
    }

    /// What `AlgorithmIdentifier` the signatures of this key carry.
    pub(super) fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self.pair {
            Pair::Rsa(_) => {
                SignatureAlgorithm { oid: &[1, 2, 840, 113_549, 1, 1, 11], null_parameters: true }
            }
            Pair::P256(_) => SignatureAlgorithm { oid: &[1, 2, 840, 10045, 4, 3, 2], null_parameters: false },
            Pair::P384(_) => SignatureAlgorithm { oid: &[1, 2, 840, 10045, 4, 3, 3], null_parameters: false },
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.algorithm().map_or("RSA", KeyAlgorithm::name);
        f.debug_struct("PrivateKey").field("algorithm", &algorithm).finish_non_exhaustive()
    }
}

/// The parts of an X.509 signature `AlgorithmIdentifier`.
#[derive(Clone, Copy)]
pub(super) struct SignatureAlgorithm {
    pub oid: &'static [u64],
    /// RFC 4055 wants an explicit NULL for RSA; RFC 5758 wants nothing for ECDSA.
    pub null_parameters: bool,
}

/// SHA-256 of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Reads SEC1 or PKCS#8; the curve is tried, because SEC1 may leave it to the context.
fn ecdsa(der: &[u8]) -> Option<Pair> {
    let read = |alg: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_private_key_der(alg, der).ok();
    read(&ECDSA_P256_SHA256_ASN1_SIGNING)
        .map(Pair::P256)
        .or_else(|| read(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Pair::P384))
}

fn x509_public<'a>(key: &impl AsDer<PublicKeyX509Der<'a>>) -> Result<Vec<u8>, KeyError> {
    Ok(key.as_der().map_err(|_| KeyError::Encode)?.as_ref().to_vec())
}

fn ecdsa_sec1(key: &EcdsaKeyPair) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let der: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().map_err(|_| KeyError::Encode)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// The PKCS#1 structure inside PKCS#8, the only private form aws-lc-rs writes for RSA.
fn rsa_pkcs1(key: &rsa::KeyPair) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Encode)?;
    yasna::parse_der(pkcs8.as_ref(), |reader| {
        reader.read_sequence(|fields| {
            fields.next().read_u8()?;
            fields.next().read_der()?;
            fields.next().read_bytes()
        })
    })
    .map(Zeroizing::new)
    .map_err(|_| KeyError::Encode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::testing::openssl;

    #[test]
    fn algorithm_names_are_kubeadms() {
        for algorithm in KeyAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse::<KeyAlgorithm>().unwrap(), algorithm);
        }
        let error = "ML-DSA-44".parse::<KeyAlgorithm>().unwrap_err();
        assert!(error.to_string().starts_with("unknown key algorithm \"ML-DSA-44\""), "{error}");
    }

    #[test]
    fn keys_are_written_in_kubeadms_forms_and_read_back() {
        for (algorithm, label) in [
            (KeyAlgorithm::Rsa2048, "-----BEGIN RSA PRIVATE KEY-----\n"),
            (KeyAlgorithm::Rsa3072, "-----BEGIN RSA PRIVATE KEY-----\n"),
            (KeyAlgorithm::EcdsaP256, "-----BEGIN EC PRIVATE KEY-----\n"),
            (KeyAlgorithm::EcdsaP384, "-----BEGIN EC PRIVATE KEY-----\n"),
        ] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let text = key.to_pem();
            assert!(text.starts_with(label), "{algorithm}");
            let again = PrivateKey::from_pem(text.as_bytes()).unwrap();
            assert_eq!((again.algorithm(), again.spki_sha256()), (Some(algorithm), key.spki_sha256()));
            assert_eq!(*again.to_pem(), *text);
        }
    }

    #[test]
    fn openssl_accepts_our_keys_and_we_accept_its_pkcs8() {
        for algorithm in [KeyAlgorithm::Rsa2048, KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("key.pem");
            std::fs::write(&path, key.to_pem().as_bytes()).unwrap();
            let path = path.to_str().unwrap();
            assert!(
                openssl(&["pkey", "-in", path, "-noout", "-check"]).contains("Key is valid"),
                "{algorithm}"
            );
            assert_eq!(openssl(&["pkey", "-in", path, "-pubout"]), key.public_key_pem());
            let pkcs8 = openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", path]);
            assert!(pkcs8.starts_with("-----BEGIN PRIVATE KEY-----"));
            assert_eq!(*PrivateKey::from_pem(pkcs8.as_bytes()).unwrap().to_pem(), *key.to_pem());
        }
    }

    #[test]
    fn damaged_and_missing_keys_are_told_apart() {
        let broken = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(PrivateKey::from_pem(broken).unwrap_err(), KeyError::Unsupported);
        assert_eq!(PrivateKey::from_pem(b"hello").unwrap_err(), KeyError::NoKey);
        let garbage = b"-----BEGIN RSA PRIVATE KEY-----\n!!!!\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(PrivateKey::from_pem(garbage).unwrap_err(), KeyError::MalformedPem);
    }

    #[test]
    fn debug_shows_no_key_material() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey { algorithm: \"ECDSA-P256\", .. }");
    }
}
