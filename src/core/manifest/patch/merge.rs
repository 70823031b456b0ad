//! JSON merge patches, RFC 7386.

use serde_json::Value;

/// Applies a merge patch: null removes, maps are merged, everything else is replaced.
pub fn apply(document: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *document = patch.clone();
        return;
    };
    if !document.is_object() {
        *document = Value::Object(serde_json::Map::new());
    }
    let Some(map) = document.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.shift_remove(key);
        } else {
            apply(map.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_as_the_rfc_says() {
        let mut document = json!({"a": {"b": 1, "c": 2}, "l": [1], "t": "x"});
        apply(&mut document, &json!({"a": {"b": null, "d": {"e": null}}, "l": [2, 3], "t": {"u": 1}}));
        assert_eq!(document, json!({"a": {"c": 2, "d": {}}, "l": [2, 3], "t": {"u": 1}}));
    }
}
