//! Comparing parsed values, leaf by leaf.

use std::collections::BTreeSet;

use serde_json::Value;

/// A place where the two may differ, and why. `*` stands for anything.
pub struct Expected {
    pub path: &'static str,
    #[expect(dead_code, reason = "for the reader of the list")]
    pub why: &'static str,
}

/// Every leaf that is not the same in both, but for those that are expected.
pub fn differences(what: &str, theirs: &Value, ours: &Value, expected: &[Expected]) -> Vec<String> {
    let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
    leaves(what, theirs, &mut left);
    leaves(what, ours, &mut right);
    let is_expected = |line: &&String| {
        let path = line.split(" = ").next().unwrap_or_default();
        expected.iter().any(|expected| matches(expected.path, path))
    };
    let gone = left.difference(&right).filter(|line| !is_expected(line)).map(|line| format!("- {line}"));
    let come = right.difference(&left).filter(|line| !is_expected(line)).map(|line| format!("+ {line}"));
    gone.chain(come).collect()
}

fn leaves(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| leaves(&format!("{path}/{key}"), value, into));
        }
        Value::Array(items) if !items.is_empty() => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| leaves(&format!("{path}/{index}"), value, into));
        }
        leaf => drop(into.insert(format!("{path} = {leaf}"))),
    }
}

/// Whether the path fits the pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.is_empty()
}
