//! Strategic merge patches for the kinds that rkadm writes: as merge patches, except that lists whose elements have a
//! name are merged element by element, and that directives can delete or replace.

use serde_json::{Map, Value};

/// A strategic patch that does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// A directive that is not supported. Ignoring it would apply something else than what was meant.
    #[error("directive {0:?} is not supported")]
    Directive(String),
    /// A key that the patch sets and that its `$retainKeys` does not keep.
    #[error("$retainKeys does not name {0:?}, which the patch sets")]
    NotRetained(String),
    /// The elements of a list do not stand as its `$setElementOrder` has them.
    #[error("$setElementOrder/{0} does not name the elements of {0:?} in their order")]
    Order(String),
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
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

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
    retain(map, patch)?;
    for (key, value) in patch {
        if key.starts_with('$') {
            lists(map, key, value, patch)?;
            continue;
        }
        match (merge_key_of(key), value) {
            (_, Value::Null) => {
                map.shift_remove(key);
            }
            (Some(merge_key), Value::Array(items)) => {
                let order = patch.get(&format!("{ORDER}{key}")).and_then(Value::as_array);
                let list = map.entry(key).or_insert_with(|| Value::Array(Vec::new()));
                merge_list(list, items, key, merge_key, order)?;
            }
            _ => apply(map.entry(key).or_insert(Value::Null), value)?,
        }
    }
    Ok(())
}

fn merge_key_of(list: &str) -> Option<&'static str> {
    MERGE_KEYS.iter().find(|(name, _)| *name == list).map(|(_, merge_key)| *merge_key)
}

/// `$retainKeys`: only these keys are left. A patch that sets another one contradicts itself.
fn retain(map: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), StrategicError> {
    let Some(names) = patch.get(RETAIN) else { return Ok(()) };
    let Some(names) = names.as_array() else { return Err(StrategicError::Directive(RETAIN.to_owned())) };
    let kept = |key: &str| names.iter().any(|name| name == key);
    if let Some(other) = patch.keys().find(|key| !key.starts_with('$') && !kept(key)) {
        return Err(StrategicError::NotRetained(other.clone()));
    }
    map.retain(|key, _| kept(key));
    Ok(())
}

/// Directives beside a list: its order, where the patch does not hold the list itself, and what goes from a list of texts.
fn lists(
    map: &mut Map<String, Value>,
    directive: &str,
    value: &Value,
    patch: &Map<String, Value>,
) -> Result<(), StrategicError> {
    let wrong = || StrategicError::Directive(directive.to_owned());
    if [DIRECTIVE, RETAIN].contains(&directive) {
        return Ok(());
    }
    let items = value.as_array().ok_or_else(wrong)?;
    if let Some(name) = directive.strip_prefix(DELETE) {
        if let Some(Value::Array(list)) = map.get_mut(name) {
            list.retain(|item| !items.contains(item));
        }
        return Ok(());
    }
    let name = directive.strip_prefix(ORDER).ok_or_else(wrong)?;
    // Other lists have the order that they are given in.
    if let (Some(merge_key), Some(list), false) =
        (merge_key_of(name), map.get_mut(name), patch.contains_key(name))
    {
        merge_list(list, &[], name, merge_key, Some(items))?;
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
    order: Option<&Vec<Value>>,
) -> Result<(), StrategicError> {
    let mut old = list.as_array().cloned().unwrap_or_default();
    let directives = patch.iter().map(|element| element.as_object().map(directive).transpose());
    let directives: Vec<_> = directives.map(|found| found.map(Option::flatten)).collect::<Result<_, _>>()?;
    // One such element, which says nothing else, makes the patch's other elements the whole list.
    if directives.contains(&Some("replace")) {
        old.clear();
    }
    let mut merged = old.clone();
    let mut keys = Vec::new();
    for (element, directive) in patch.iter().zip(directives) {
        if directive == Some("replace") {
            continue;
        }
        let no_key = || StrategicError::NoKey { list: name.to_owned(), key: merge_key };
        let key = element.get(merge_key).ok_or_else(no_key)?;
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
    let keys = match order {
        None => keys,
        Some(order) => {
            let order: Vec<_> = order.iter().filter_map(|element| element.get(merge_key)).collect();
            let places: Option<Vec<_>> =
                keys.iter().map(|key| order.iter().position(|other| other == key)).collect();
            if !places.is_some_and(|places| places.is_sorted()) {
                return Err(StrategicError::Order(name.to_owned()));
            }
            order
        }
    };
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
        assert_eq!(patched(pod.clone(), &replace).unwrap(), json!({"containers": [{"name": "only"}]}));
        // As with kubeadm, an element with the directive is not part of the list, whatever else it holds.
        let replace = json!({"containers": [{"$patch": "replace", "name": "a"}, {"name": "only"}]});
        assert_eq!(patched(pod, &replace).unwrap(), json!({"containers": [{"name": "only"}]}));
    }

    #[test]
    fn lists_are_ordered_and_texts_taken_out() {
        let pod = json!({"volumes": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "args": ["x", "y"]});
        let names = |document: Value| {
            let names: Vec<_> = document["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|volume| volume["name"].as_str().unwrap().to_owned())
                .collect();
            names.join(" ")
        };
        let order = |list: &[&str]| list.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let patch = json!({"$setElementOrder/volumes": order(&["c", "a"])});
        assert_eq!(names(patched(pod.clone(), &patch).unwrap()), "b c a");
        let patch = json!({"$setElementOrder/volumes": order(&["new", "c"]), "volumes": [{"name": "new"}]});
        assert_eq!(names(patched(pod.clone(), &patch).unwrap()), "new a b c");
        let patch = json!({"$setElementOrder/volumes": order(&["c"]), "volumes": [{"name": "new"}]});
        assert_eq!(
            patched(pod.clone(), &patch).unwrap_err().to_string(),
            "$setElementOrder/volumes does not name the elements of \"volumes\" in their order"
        );
        let patch =
            json!({"$deleteFromPrimitiveList/args": ["x", "z"], "$deleteFromPrimitiveList/no": ["x"]});
        assert_eq!(patched(pod, &patch).unwrap()["args"], json!(["y"]));
    }

    #[test]
    fn other_keys_than_those_that_are_retained_go() {
        let pod = json!({"a": 1, "b": 2, "c": 3});
        assert_eq!(
            patched(pod.clone(), &json!({"$retainKeys": ["a", "b"], "b": 4})).unwrap(),
            json!({"a": 1, "b": 4})
        );
        assert_eq!(
            patched(pod, &json!({"$retainKeys": ["a"], "b": 4})).unwrap_err().to_string(),
            "$retainKeys does not name \"b\", which the patch sets"
        );
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        let unknown = json!({"$foo": []});
        assert_eq!(patched(json!({}), &unknown), Err(StrategicError::Directive("$foo".into())));
        let no_key = json!({"volumes": [{"hostPath": {}}]});
        let error = patched(json!({}), &no_key).unwrap_err();
        assert_eq!(error.to_string(), "an element of \"volumes\" has no \"name\"");
    }
}
