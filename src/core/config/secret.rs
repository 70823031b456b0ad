//! Values that must not be seen: tokens and keys that come with the configuration.
//!
//! A [`Secret`] shows itself as `<redacted>` in `Debug`, `Display` and `Serialize`. There are two ways to the value:
//! [`Secret::expose`], and [`exposed`], which serialises a whole document for a file that only root reads.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::cell::Cell;
use std::fmt;
use zeroize::Zeroize;

/// What is shown in place of a secret.
pub const REDACTED: &str = "<redacted>";

thread_local! {
    static EXPOSING: Cell<bool> = const { Cell::new(false) };
}

/// A value that is redacted everywhere it could be shown, and wiped from memory when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Must not reach logs, plans, events, errors or argv.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if EXPOSING.get() { &self.0 } else { REDACTED })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?;
        // A redacted document read back would make "<redacted>" the token of a real cluster.
        if value == REDACTED {
            return Err(D::Error::custom("the secret was redacted when this document was written"));
        }
        Ok(Self(value))
    }
}

/// Runs `serialise` with secrets in clear on this thread, for a private file (mode 0600) only.
pub fn exposed<T>(serialise: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            EXPOSING.set(self.0);
        }
    }
    let _restore = Restore(EXPOSING.replace(true));
    serialise()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_redacted_everywhere_but_where_asked() {
        let secret = Secret::new("abcdef.0123456789abcdef");
        assert_eq!(format!("{secret} {secret:?}"), "<redacted> <redacted>");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<redacted>\"");
        let clear = exposed(|| serde_json::to_string(&secret).unwrap());
        assert_eq!(clear, "\"abcdef.0123456789abcdef\"");
        assert_eq!(
            serde_json::to_string(&secret).unwrap(),
            "\"<redacted>\"",
            "exposure must end with the call"
        );
        assert_eq!(serde_json::from_str::<Secret>(&clear).unwrap(), secret);
    }

    #[test]
    fn a_redacted_document_cannot_be_read_back() {
        let error = serde_json::from_str::<Secret>("\"<redacted>\"").unwrap_err();
        assert_eq!(error.to_string(), "the secret was redacted when this document was written");
    }

    #[test]
    fn exposure_ends_on_panic() {
        let result = std::panic::catch_unwind(|| exposed(|| panic!("stop")));
        assert!(result.is_err());
        assert_eq!(serde_json::to_string(&Secret::new("x")).unwrap(), "\"<redacted>\"");
    }
}
