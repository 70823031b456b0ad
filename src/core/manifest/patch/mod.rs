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
    /// The patched object is another one.
    #[error("patch {file} changes {field} from {was} to {now}: a patch must leave the object the same one")]
    OtherObject {
        /// The file.
        file: String,
        /// What it changes, `metadata.name` for example.
        field: String,
        /// Before the patch.
        was: String,
        /// After it.
        now: String,
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
        same_object(document, &result, &patch.file)?;
        applied.push(patch.file.as_str());
    }
    *document = result;
    Ok(applied)
}

/// A pod with another name would run beside the old one; rkadm and kubeadm both look for it, and wait for it, by name.
fn same_object(before: &Value, after: &Value, file: &str) -> Result<(), PatchError> {
    for pointer in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
        let Some(was) = before.pointer(pointer) else { continue };
        let now = after.pointer(pointer).unwrap_or(&Value::Null);
        if was != now {
            return Err(PatchError::OtherObject {
                file: file.to_owned(),
                field: pointer.trim_start_matches('/').replace('/', "."),
                was: was.to_string(),
                now: now.to_string(),
            });
        }
    }
    Ok(())
}

impl From<Component> for PatchTarget {
    fn from(component: Component) -> Self {
        match component {
            Component::Etcd => Self::Etcd,
            Component::ApiServer => Self::ApiServer,
            Component::ControllerManager => Self::ControllerManager,
            Component::Scheduler => Self::Scheduler,
        }
    }
}

/// A static pod with its patches applied.
pub fn patched_pod(component: Component, pod: &Pod, patches: &[Patch]) -> Result<Pod, PatchError> {
    let not_a_pod = |source| PatchError::NotAPod { component, source };
    let mut document = serde_json::to_value(pod).map_err(not_a_pod)?;
    apply(&mut document, component.into(), patches)?;
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

    #[test]
    fn a_patch_leaves_the_object_the_same_one() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "etcd", "namespace": "kube-system"}});
        for (file, text, message) in [
            (
                "etcd.yaml",
                "metadata: {name: mine}",
                "patch etcd.yaml changes metadata.name from \"etcd\" to \"mine\": a patch must leave the object the same one",
            ),
            (
                "etcd+json.yaml",
                "[{op: remove, path: /metadata/namespace}]",
                "patch etcd+json.yaml changes metadata.namespace from \"kube-system\" to null: a patch must leave the \
                 object the same one",
            ),
        ] {
            let read = read(&[(file.to_owned(), text.to_owned())]).unwrap();
            let mut patched = pod.clone();
            let error = apply(&mut patched, PatchTarget::Etcd, &read.patches).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(patched, pod);
        }
        let same = read(&[("etcd.yaml".to_owned(), "metadata: {name: etcd}".to_owned())]).unwrap();
        assert!(apply(&mut pod.clone(), PatchTarget::Etcd, &same.patches).is_ok());
    }
}
