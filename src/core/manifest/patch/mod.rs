//! Patches of an operator: files named `TARGET[SUFFIX][+TYPE].{yaml,json}`, applied in the order of their names.
//!
//! They must stay on the node: every upgrade makes the manifests anew and patches them again.

mod json;
pub mod merge;
mod name;
mod strategic;

pub use json::JsonPatchError;
pub use name::{NameError, PatchTarget, PatchType, parse_name};
pub use strategic::StrategicError;

use super::static_pod::Component;
use crate::yaml::{self, YamlError};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// One patch, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// Name of its file, without the directory.
    pub file: String,
    /// What it changes.
    pub target: PatchTarget,
    /// How it is applied.
    pub kind: PatchType,
    /// The patch itself.
    pub body: Value,
}

/// The patches of a directory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patches {
    /// In the order in which they are applied.
    pub patches: Vec<Patch>,
    /// Files that are no patches, with the reason. kubeadm skips them with a warning.
    pub ignored: Vec<(String, NameError)>,
}

/// A patch that cannot be read or applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The name asks for a type of patch that does not exist.
    #[error("patch {file}")]
    Name {
        /// The file.
        file: String,
        /// What is wrong with its name.
        source: NameError,
    },
    /// The file is no YAML or JSON.
    #[error("patch {file} cannot be read")]
    Read {
        /// The file.
        file: String,
        /// What the reader says.
        source: YamlError,
    },
    /// A JSON patch that does not fit.
    #[error("patch {file} does not apply")]
    Json {
        /// The file.
        file: String,
        /// Which operation and why.
        source: JsonPatchError,
    },
    /// The patched manifest is no Pod any more.
    #[error("patches of {component} leave no valid Pod")]
    NotAPod {
        /// Whose manifest.
        component: Component,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A strategic patch that does not fit.
    #[error("patch {file} does not apply")]
    Strategic {
        /// The file.
        file: String,
        /// Where and why.
        source: StrategicError,
    },
}

/// Reads the files of a patches directory, given as `(name, text)` in any order.
pub fn read(files: &[(String, String)]) -> Result<Patches, PatchError> {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort();
    let mut found = Patches::default();
    for (file, text) in sorted {
        let (target, kind) = match parse_name(file) {
            Ok(name) => name,
            Err(source @ NameError::Type(_)) => {
                return Err(PatchError::Name { file: file.clone(), source });
            }
            Err(reason) => {
                found.ignored.push((file.clone(), reason));
                continue;
            }
        };
        let documents =
            yaml::documents(text).map_err(|source| PatchError::Read { file: file.clone(), source })?;
        found.patches.extend(documents.into_iter().map(|body| Patch {
            file: file.clone(),
            target,
            kind,
            body,
        }));
    }
    Ok(found)
}

/// Applies the patches of a target, in order, and gives the files that took part. On an error the document is as it was.
pub fn apply<'a>(
    document: &mut Value,
    target: PatchTarget,
    patches: &'a [Patch],
) -> Result<Vec<&'a str>, PatchError> {
    let mut result = document.clone();
    let mut applied = Vec::new();
    for patch in patches.iter().filter(|patch| patch.target == target) {
        let file = || patch.file.clone();
        match patch.kind {
            PatchType::Merge => merge::apply(&mut result, &patch.body),
            PatchType::Json => json::apply(&mut result, &patch.body)
                .map_err(|source| PatchError::Json { file: file(), source })?,
            PatchType::Strategic => strategic::apply(&mut result, &patch.body)
                .map_err(|source| PatchError::Strategic { file: file(), source })?,
        }
        applied.push(patch.file.as_str());
    }
    *document = result;
    Ok(applied)
}

/// A static pod with its patches applied.
pub fn patched_pod(component: Component, pod: &Pod, patches: &[Patch]) -> Result<Pod, PatchError> {
    let target = match component {
        Component::Etcd => PatchTarget::Etcd,
        Component::ApiServer => PatchTarget::ApiServer,
        Component::ControllerManager => PatchTarget::ControllerManager,
        Component::Scheduler => PatchTarget::Scheduler,
    };
    let not_a_pod = |source| PatchError::NotAPod { component, source };
    let mut document = serde_json::to_value(pod).map_err(not_a_pod)?;
    apply(&mut document, target, patches)?;
    serde_json::from_value(document).map_err(not_a_pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failing_patch_changes_nothing() {
        let files = [
            ("etcd1+json.yaml".to_owned(), "[{op: remove, path: /no}]".to_owned()),
            ("etcd0.yaml".to_owned(), "a: 2".to_owned()),
            ("README.md".to_owned(), String::new()),
        ];
        let read = read(&files).unwrap();
        assert_eq!(
            read.patches.iter().map(|p| p.file.as_str()).collect::<Vec<_>>(),
            ["etcd0.yaml", "etcd1+json.yaml"]
        );
        assert_eq!(read.ignored, [("README.md".to_owned(), NameError::Extension)]);
        let mut document = json!({"a": 1});
        let error = apply(&mut document, PatchTarget::Etcd, &read.patches).unwrap_err();
        assert_eq!(error.to_string(), "patch etcd1+json.yaml does not apply");
        assert_eq!(document, json!({"a": 1}));
        assert!(apply(&mut document, PatchTarget::ApiServer, &read.patches).unwrap().is_empty());
    }
}
