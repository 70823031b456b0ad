//! The signature of the ConfigMap `kube-public/cluster-info`: a detached JWS (RFC 7515, HS256) keyed with a bootstrap
//! token, stored under `jws-kubeconfig-<token id>`. A joining node trusts the CA in it because of this signature.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign as hmac_sign, verify as hmac_verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::bootstrap_token::BootstrapToken;

/// Key of the signed text in the ConfigMap's data.
pub const KUBECONFIG_KEY: &str = "kubeconfig";
const ALGORITHM: &str = "HS256";

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// Why a signature does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not a detached JWS.
    #[error("the cluster-info signature is malformed")]
    Malformed,
    /// Signed for another token, or in another way.
    #[error("the cluster-info signature was not made for this token")]
    OtherToken,
    /// The text was changed, or the token's secret is another.
    #[error("the cluster-info signature does not match; the token is wrong or the data was tampered with")]
    Mismatch,
}

/// Key of a token's signature in the ConfigMap's data.
pub fn signature_key(token_id: &str) -> String {
    format!("jws-kubeconfig-{token_id}")
}

/// Signs a text for the holder of a token.
pub fn sign(content: &str, token: &BootstrapToken) -> String {
    // The compact header of two members whose values are plain ASCII: nothing to escape.
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{ALGORITHM}","kid":"{}"}}"#, token.id()));
    let tag = hmac_sign(&key(token), input(&header, content).as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Checks a signature; the comparison takes constant time.
pub fn verify(signature: &str, content: &str, token: &BootstrapToken) -> Result<(), JwsError> {
    let (header, tag) = signature.split_once("..").ok_or(JwsError::Malformed)?;
    let decode = |text| URL_SAFE_NO_PAD.decode(text).map_err(|_| JwsError::Malformed);
    let read: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JwsError::Malformed)?;
    // The algorithm is ours to choose, never the sender's: "none" must not pass.
    if read.alg != ALGORITHM || read.kid != token.id() {
        return Err(JwsError::OtherToken);
    }
    hmac_verify(&key(token), input(header, content).as_bytes(), &decode(tag)?).map_err(|_| JwsError::Mismatch)
}

fn key(token: &BootstrapToken) -> Key {
    Key::new(HMAC_SHA256, token.secret().as_bytes())
}

fn input(header: &str, content: &str) -> String {
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> BootstrapToken {
        "abcdef.0123456789abcdef".parse().unwrap()
    }

    #[test]
    fn a_signature_verifies_and_is_detached() {
        let signature = sign("kind: Config\n", &token());
        assert!(signature.starts_with("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9.."), "{signature}");
        verify(&signature, "kind: Config\n", &token()).unwrap();
    }

    #[test]
    fn tampering_is_found() {
        let signature = sign("kind: Config\n", &token());
        assert_eq!(verify(&signature, "kind: config\n", &token()), Err(JwsError::Mismatch));
        let same_id: BootstrapToken = "abcdef.fedcba9876543210".parse().unwrap();
        assert_eq!(verify(&signature, "kind: Config\n", &same_id), Err(JwsError::Mismatch));
        let other_id: BootstrapToken = "fedcba.0123456789abcdef".parse().unwrap();
        assert_eq!(verify(&signature, "kind: Config\n", &other_id), Err(JwsError::OtherToken));
        assert_eq!(verify("a.b.c", "", &token()), Err(JwsError::Malformed));
    }

    #[test]
    fn the_algorithm_none_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"abcdef"}"#);
        assert_eq!(verify(&format!("{header}.."), "x", &token()), Err(JwsError::OtherToken));
    }
}
