//! Who made a signature, also where x509-parser does not know the algorithm: ECDSA with SHA-512, and keys on the curve P-521, which
//! authorities of companies have and the API server takes (RFC 5758, RFC 5480).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm, UnparsedPublicKey,
};
use x509_parser::{
    asn1_rs::BitString,
    verify::verify_signature,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

/// Whether the owner of this public key signed these bytes.
pub fn is_of(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    signed: &[u8],
) -> bool {
    if verify_signature(key, algorithm, signature, signed).is_ok() {
        return true;
    }
    let further = further(key, algorithm);
    further.is_some_and(|algorithm| {
        let key = UnparsedPublicKey::new(algorithm, &key.subject_public_key.data);
        key.verify(signed, &signature.data).is_ok()
    })
}

fn further(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
) -> Option<&'static EcdsaVerificationAlgorithm> {
    const SHA256: &str = "1.2.840.10045.4.3.2";
    const SHA384: &str = "1.2.840.10045.4.3.3";
    const SHA512: &str = "1.2.840.10045.4.3.4";
    const P256: &str = "1.2.840.10045.3.1.7";
    const P384: &str = "1.3.132.0.34";
    const P521: &str = "1.3.132.0.35";
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
    match (curve.as_str(), algorithm.algorithm.to_id_string().as_str()) {
        (P256, SHA512) => Some(&ECDSA_P256_SHA512_ASN1),
        (P384, SHA512) => Some(&ECDSA_P384_SHA512_ASN1),
        (P521, SHA256) => Some(&ECDSA_P521_SHA256_ASN1),
        (P521, SHA384) => Some(&ECDSA_P521_SHA384_ASN1),
        (P521, SHA512) => Some(&ECDSA_P521_SHA512_ASN1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use crate::pki::{Certificate, ReceivedRequest};

    fn openssl(dir: &Path, args: &str) {
        let done = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "openssl {args}: {done:?}");
    }

    /// openssl is what such authorities are made with.
    #[test]
    fn authorities_of_every_curve_and_hash_vouch_for_what_they_signed() {
        let curves = ["prime256v1", "secp384r1", "secp521r1"];
        for (curve, hash) in
            curves.iter().flat_map(|curve| ["sha256", "sha384", "sha512"].map(|hash| (curve, hash)))
        {
            let dir = tempfile::tempdir().unwrap();
            let key = format!("-newkey ec -pkeyopt ec_paramgen_curve:{curve} -nodes -{hash}");
            for name in ["ca", "other"] {
                openssl(
                    dir.path(),
                    &format!(
                        "req -x509 {key} -subj /CN=company -keyout {name}.key -out {name}.crt -addext keyUsage=keyCertSign"
                    ),
                );
            }
            openssl(dir.path(), &format!("req {key} -subj /CN=leaf -keyout leaf.key -out leaf.csr"));
            openssl(
                dir.path(),
                &format!("x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -{hash} -out leaf.crt"),
            );
            let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
            let [ca, other, leaf] =
                ["ca.crt", "other.crt", "leaf.crt"].map(|name| Certificate::from_pem(&read(name)).unwrap());
            assert!(leaf.signed_by(&ca), "{curve} {hash}");
            assert!(!leaf.signed_by(&other), "{curve} {hash}: another key of the same name");
            assert_eq!(ReceivedRequest::from_pem(&read("leaf.csr")).unwrap().common_name(), "leaf");
        }
    }
}
