//! Strategic merge patches for the kinds that rkadm writes: as merge patches, except that lists whose elements have a
//! name are merged element by element, and that directives can delete or replace.

use serde_json::{Map, Value};

/// A strategic patch that does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// A directive that is not supported. Ignoring it would apply something else than what was meant.
    #[error("directive {0:?} is not supported")]
    Directive(String),
    /// An element of a list that is merged by key lacks the key.
    #[error("an element of {list:?} has no {key:?}")]
    NoKey {
        /// The list.
        list: String,
        /// Its merge key.
        key: &'static str,
    },
}

/// Lists that Kubernetes merges by a key, under the names they have in Pods and pod templates. A list that is not here is
/// replaced.
const MERGE_KEYS: [(&str, &str); 11] = [
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ports", "containerPort"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

const DIRECTIVE: &str = "$patch";

/// Applies a strategic merge patch. The document may be half changed after an error.
pub fn apply(document: &mut Value, patch: &Value) -> Result<(), StrategicError> {
    let Value::Object(patch) = patch else {
        *document = patch.clone();
        return Ok(());
    };
    match directive(patch)? {
        Some("replace") => {
            let mut whole = patch.clone();
            whole.shift_remove(DIRECTIVE);
            *document = Value::Object(whole);
            return Ok(());
        }
        Some("delete") => {
            *document = Value::Object(Map::new());
            return Ok(());
        }
        _ => {}
    }
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Some(map) = document.as_object_mut() else { return Ok(()) };
    for (key, value) in patch.iter().filter(|(key, _)| *key != DIRECTIVE) {
        if key.starts_with('$') {
            return Err(StrategicError::Directive(key.clone()));
        }
        let merge_key = MERGE_KEYS.iter().find(|(list, _)| list == key).map(|(_, merge_key)| *merge_key);
        match (merge_key, value) {
            (_, Value::Null) => {
                map.shift_remove(key);
            }
            (Some(merge_key), Value::Array(items)) => {
                let list = map.entry(key).or_insert_with(|| Value::Array(Vec::new()));
                merge_list(list, items, key, merge_key)?;
            }
            _ => apply(map.entry(key).or_insert(Value::Null), value)?,
        }
    }
    Ok(())
}

/// The directive of a map, checked.
fn directive(patch: &Map<String, Value>) -> Result<Option<&str>, StrategicError> {
    match patch.get(DIRECTIVE) {
        None => Ok(None),
        Some(value) => match value.as_str() {
            Some(known @ ("merge" | "replace" | "delete")) => Ok(Some(known)),
            _ => Err(StrategicError::Directive(format!("{DIRECTIVE}: {value}"))),
        },
    }
}

fn merge_list(
    list: &mut Value,
    patch: &[Value],
    name: &str,
    merge_key: &'static str,
) -> Result<(), StrategicError> {
    let old = list.as_array().cloned().unwrap_or_default();
    let mut merged = old.clone();
    let mut keys = Vec::new();
    let mut replaces = false;
    for element in patch {
        let map = element.as_object();
        let directive = map.map(directive).transpose()?.flatten();
        let key = element.get(merge_key);
        if directive == Some("replace") && key.is_none() {
            // An element with nothing but `$patch: replace` makes the patch's other elements the whole list.
            merged.clear();
            replaces = true;
            continue;
        }
        let key = key.ok_or_else(|| StrategicError::NoKey { list: name.to_owned(), key: merge_key })?;
        let found = merged.iter().position(|other| other.get(merge_key) == Some(key));
        match (directive, found) {
            (Some("delete"), _) => merged.retain(|other| other.get(merge_key) != Some(key)),
            (_, Some(at)) => {
                apply(&mut merged[at], element)?;
                keys.push(key);
            }
            (_, None) => {
                let mut new = Value::Null;
                apply(&mut new, element)?;
                merged.push(new);
                keys.push(key);
            }
        }
    }
    let old = if replaces { Vec::new() } else { old };
    *list = Value::Array(ordered(merged, &keys, &old, merge_key));
    Ok(())
}

/// The order that the API server gives a merged list: elements named by the patch in the patch's order, the others in
/// their old order, and between the two groups the old order where both elements have one, else the patch's first.
fn ordered(merged: Vec<Value>, patch_keys: &[&Value], old: &[Value], merge_key: &str) -> Vec<Value> {
    let patch_place = |item: &Value| patch_keys.iter().position(|key| item.get(merge_key) == Some(*key));
    let old_place = |item: &Value| old.iter().position(|other| other.get(merge_key) == item.get(merge_key));
    let (mut named, others): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| patch_place(item).is_some());
    named.sort_by_key(|item| patch_place(item));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(from_patch), Some(other)) = (named.peek(), others.peek()) {
        let other_first = matches!(
            (old_place(from_patch), old_place(other)),
            (Some(patched), Some(unpatched)) if unpatched < patched
        );
        result.extend(if other_first { others.next() } else { named.next() });
    }
    result.extend(named);
    result.extend(others);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(mut document: Value, patch: &Value) -> Result<Value, StrategicError> {
        apply(&mut document, patch)?;
        Ok(document)
    }

    #[test]
    fn named_elements_are_merged_deleted_and_replaced() {
        let pod =
            json!({"containers": [{"name": "a", "args": [1]}, {"name": "b", "image": "x"}, {"name": "c"}]});
        let patch = json!({"containers": [
            {"name": "b", "image": "y"}, {"name": "new"}, {"name": "a", "$patch": "delete"},
        ]});
        assert_eq!(
            patched(pod.clone(), &patch).unwrap(),
            json!({"containers": [{"name": "b", "image": "y"}, {"name": "new"}, {"name": "c"}]})
        );
        let replace = json!({"containers": [{"$patch": "replace"}, {"name": "only"}]});
        assert_eq!(patched(pod, &replace).unwrap(), json!({"containers": [{"name": "only"}]}));
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        let unknown = json!({"$setElementOrder/containers": []});
        assert_eq!(
            patched(json!({}), &unknown),
            Err(StrategicError::Directive("$setElementOrder/containers".into()))
        );
        let no_key = json!({"volumes": [{"hostPath": {}}]});
        let error = patched(json!({}), &no_key).unwrap_err();
        assert_eq!(error.to_string(), "an element of \"volumes\" has no \"name\"");
    }
}
