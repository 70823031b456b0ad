//! An operator's partial configuration laid over a complete one.

use crate::config::GoDuration;
use serde_json::Value;

/// Replaces in `base` what `own` sets: maps are merged, everything else is replaced, null counts as not set.
///
/// A duration takes Go's notation (`90s` becomes `1m30s`) where the base has one, so that what is stored does not
/// change when another tool reads and writes it.
pub fn overlay(base: &mut Value, own: &Value) {
    match (base, own) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(own)) => {
            for (key, value) in own {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, own) => {
            let was_duration = duration(base).is_some();
            *base = match duration(own).filter(|_| was_duration) {
                Some(duration) => duration.to_string().into(),
                None => own.clone(),
            };
        }
    }
}

fn duration(value: &Value) -> Option<GoDuration> {
    // "0" is a quantity such as a buffer's size; a duration of nothing is written "0s".
    value.as_str().filter(|text| text.ends_with(|last: char| last.is_ascii_alphabetic()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_maps_replaces_lists_and_rewrites_durations() {
        let mut base = json!({"a": {"t": "0s", "n": 1}, "l": [1, 2], "text": "x"});
        overlay(&mut base, &json!({"a": {"t": "90s", "n": null}, "l": [3], "text": "90s", "more": {"z": 1}}));
        assert_eq!(base, json!({"a": {"t": "1m30s", "n": 1}, "l": [3], "text": "90s", "more": {"z": 1}}));
    }
}
