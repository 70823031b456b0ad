//! YAML text to serde values and back. The only module that names the YAML crate, which is no longer developed: a
//! maintained fork can take its place here.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// YAML that could not be read as the wanted type.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// What is wrong, without the position.
    pub message: String,
    /// Line of the problem, from 1, when known.
    pub line: Option<usize>,
}

impl From<serde_yaml::Error> for YamlError {
    fn from(error: serde_yaml::Error) -> Self {
        Self { line: error.location().map(|at| at.line()), message: error.to_string() }
    }
}

/// Reads one document.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    Ok(serde_yaml::from_str(text)?)
}

/// Writes a value as one YAML document, in the order of its keys; lists are not indented, as in kubeadm's output.
///
/// A value that YAML cannot hold (a map with compound keys) is a bug of the caller and gives an empty text.
#[must_use]
pub fn to_string<T: Serialize>(value: &T) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}
