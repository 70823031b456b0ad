//! YAML text to serde values and back. The only module that names the YAML crate, which is no longer developed: a
//! maintained fork can take its place here.

mod quote;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// Reads every document of a text; empty documents are left out.
pub fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        if !value.is_null() {
            found.push(value);
        }
    }
    Ok(found)
}

/// Writes a value as one YAML document, in the order of its keys; lists are not indented, as in kubeadm's output.
///
/// A value that YAML cannot hold (a map with compound keys) is a bug of the caller and gives an empty text.
#[must_use]
pub fn to_string<T: Serialize>(value: &T) -> String {
    quote::for_old_readers(&serde_yaml::to_string(value).unwrap_or_default())
}

/// Sorts the keys of every map by name, as kubeadm and kubectl write them.
pub fn sort_keys(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.sort_keys();
            map.values_mut().for_each(sort_keys);
        }
        Value::Array(items) => items.iter_mut().for_each(sort_keys),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_document_and_skips_empty_ones() {
        assert_eq!(
            documents("a: 1\n---\n---\nb: 2\n").unwrap(),
            [serde_json::json!({"a": 1}), serde_json::json!({"b": 2})]
        );
    }

    #[test]
    fn tells_the_line_of_an_error() {
        let error = from_str::<Value>("a: 1\nb: [\n").unwrap_err();
        assert!(error.line.is_some(), "{error}");
    }

    #[test]
    fn sorts_at_every_depth() {
        let mut value = serde_json::json!({"b": [{"d": 1, "c": 2}], "a": 0});
        sort_keys(&mut value);
        assert_eq!(to_string(&value), "a: 0\nb:\n- c: 2\n  d: 1\n");
    }
}
