//! Bootstrap tokens: what a joining node first proves itself with.

use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize as _, Zeroizing};

use super::{RandomUnavailable, random_bytes};

/// Characters before the dot.
pub const ID_LEN: usize = 6;
/// Characters after the dot.
pub const SECRET_LEN: usize = 16;
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A token `id.secret`. The id is public: it names the Secret `bootstrap-token-<id>`; `Debug` shows only the id.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    id: String,
    secret: Zeroizing<String>,
}

/// A text that is not a bootstrap token. The text is not repeated: it may be a mistyped secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bootstrap token has the form abcdef.0123456789abcdef: 6 and 16 lower-case letters or digits")]
pub struct MalformedToken;

impl BootstrapToken {
    /// Makes a random token.
    pub fn generate() -> Result<Self, RandomUnavailable> {
        Ok(Self { id: random_text(ID_LEN)?.to_string(), secret: random_text(SECRET_LEN)? })
    }

    /// Puts the halves found in a Secret together.
    pub fn new(id: &str, secret: &str) -> Result<Self, MalformedToken> {
        let valid =
            |text: &str, length| text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte));
        if valid(id, ID_LEN) && valid(secret, SECRET_LEN) {
            Ok(Self { id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
        } else {
            Err(MalformedToken)
        }
    }

    /// The public half.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret half.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole token, to be shown to the operator or sent as a bearer token.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}.{}", self.id, self.secret()))
    }

    /// Name of the Secret in `kube-system` that holds the token.
    pub fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }
}

/// Random text over the alphabet, without the bias of a plain remainder.
fn random_text(length: usize) -> Result<Zeroizing<String>, RandomUnavailable> {
    // The largest multiple of 36 in a byte: bytes above would favour the first characters.
    const LIMIT: u8 = 252;
    let mut text = Zeroizing::new(String::with_capacity(length));
    while text.len() < length {
        let mut bytes = random_bytes::<32>()?;
        for byte in bytes.iter().filter(|byte| **byte < LIMIT).take(length - text.len()) {
            text.push(char::from(ALPHABET[usize::from(byte % 36)]));
        }
        bytes.zeroize();
    }
    Ok(text)
}

impl FromStr for BootstrapToken {
    type Err = MalformedToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, secret) = text.split_once('.').ok_or(MalformedToken)?;
        Self::new(id, secret)
    }
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootstrapToken({}.[redacted])", self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn generated_tokens_parse_and_use_the_whole_alphabet() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let token = BootstrapToken::generate().unwrap();
            let text = token.expose();
            assert_eq!(text.parse::<BootstrapToken>().unwrap(), token);
            seen.extend(text.bytes());
        }
        assert_eq!(seen.len(), 37);
    }

    #[test]
    fn other_forms_are_refused_without_repeating_them() {
        for bad in
            ["", "abcdef", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef "]
        {
            let error = bad.parse::<BootstrapToken>().unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(&format!("{bad:?}")));
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        let token: BootstrapToken = "abcdef.0123456789abcdef".parse().unwrap();
        assert_eq!(format!("{token:?}"), "BootstrapToken(abcdef.[redacted])");
        assert_eq!(token.secret_name(), "bootstrap-token-abcdef");
    }
}
