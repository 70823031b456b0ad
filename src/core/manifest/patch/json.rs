//! JSON patches, RFC 6902.

use serde::Deserialize;
use serde_json::Value;

/// A JSON patch that is malformed or does not fit the document.
#[derive(Debug, thiserror::Error)]
pub enum JsonPatchError {
    /// Not a list of operations.
    #[error("not a list of JSON patch operations")]
    Malformed(#[source] serde_json::Error),
    /// The place does not exist.
    #[error("operation {index}: there is no {path:?}")]
    NoPath {
        /// Which operation, from 0.
        index: usize,
        /// The place it names.
        path: String,
    },
    /// A `test` operation found something else.
    #[error("operation {index}: {path:?} has another value")]
    TestFailed {
        /// Which operation, from 0.
        index: usize,
        /// The place it names.
        path: String,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// Applies the operations in order. The document may be half changed after an error.
pub fn apply(document: &mut Value, patch: &Value) -> Result<(), JsonPatchError> {
    let operations: Vec<Operation> = Deserialize::deserialize(patch).map_err(JsonPatchError::Malformed)?;
    for (index, operation) in operations.into_iter().enumerate() {
        let missing = |path: &str| JsonPatchError::NoPath { index, path: path.to_owned() };
        match operation {
            Operation::Add { path, value } => add(document, &path, value).ok_or_else(|| missing(&path))?,
            Operation::Remove { path } => {
                remove(document, &path).ok_or_else(|| missing(&path))?;
            }
            Operation::Replace { path, value } => {
                *document.pointer_mut(&path).ok_or_else(|| missing(&path))? = value;
            }
            Operation::Move { from, path } => {
                let value = remove(document, &from).ok_or_else(|| missing(&from))?;
                add(document, &path, value).ok_or_else(|| missing(&path))?;
            }
            Operation::Copy { from, path } => {
                let value = document.pointer(&from).cloned().ok_or_else(|| missing(&from))?;
                add(document, &path, value).ok_or_else(|| missing(&path))?;
            }
            Operation::Test { path, value } => {
                let found = document.pointer(&path).ok_or_else(|| missing(&path))?;
                if *found != value {
                    return Err(JsonPatchError::TestFailed { index, path });
                }
            }
        }
    }
    Ok(())
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    let Some((parent, last)) = split(path) else {
        *document = value;
        return path.is_empty().then_some(());
    };
    match document.pointer_mut(parent)? {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(items) => {
            let at = if last == "-" { items.len() } else { last.parse().ok()? };
            if at > items.len() {
                return None;
            }
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split(path)?;
    match document.pointer_mut(parent)? {
        Value::Object(map) => map.shift_remove(&last),
        Value::Array(items) => {
            let at: usize = last.parse().ok()?;
            (at < items.len()).then(|| items.remove(at))
        }
        _ => None,
    }
}

/// The parent's pointer and the last part, unescaped.
fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_operation_works_and_names_what_is_missing() {
        let mut document = json!({"a": [1, 2], "b/c": {"d": 1}});
        let patch = json!([
            {"op": "add", "path": "/a/1", "value": 9},
            {"op": "add", "path": "/a/-", "value": 8},
            {"op": "remove", "path": "/a/0"},
            {"op": "replace", "path": "/b~1c/d", "value": 2},
            {"op": "copy", "from": "/b~1c", "path": "/e"},
            {"op": "move", "from": "/e/d", "path": "/f"},
            {"op": "test", "path": "/f", "value": 2},
        ]);
        apply(&mut document, &patch).unwrap();
        assert_eq!(document, json!({"a": [9, 2, 8], "b/c": {"d": 2}, "e": {}, "f": 2}));
        for (patch, message) in [
            (json!([{"op": "remove", "path": "/x"}]), "operation 0: there is no \"/x\""),
            (json!([{"op": "add", "path": "/a/7", "value": 1}]), "operation 0: there is no \"/a/7\""),
            (json!([{"op": "test", "path": "/f", "value": 3}]), "operation 0: \"/f\" has another value"),
            (json!({"op": "remove"}), "not a list of JSON patch operations"),
        ] {
            assert_eq!(apply(&mut document, &patch).unwrap_err().to_string(), message);
        }
    }
}
