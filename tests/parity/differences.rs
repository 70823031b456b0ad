//! Comparing parsed values leaf by leaf, and the list of the places where the two may differ.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use rkadm_core::yaml;
use serde::Deserialize;
use serde_json::Value;

/// A place that may differ. Patterns are whole texts in which `*` stands for anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Of the configuration's name.
    config: String,
    /// Of the minor; several with `, ` between.
    minor: String,
    /// Of the path: that of the file, then that of the field.
    path: String,
    /// Why it is not the same.
    reason: String,
}

/// `differences.yaml`, and which of its entries were of use.
pub struct List {
    entries: Vec<Allowed>,
    used: Mutex<Vec<bool>>,
}

impl List {
    pub fn read() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/differences.yaml");
        let entries: Vec<Allowed> = yaml::from_str(&std::fs::read_to_string(path)?)?;
        let unreasoned = entries.iter().find(|entry| entry.reason.trim().is_empty());
        anyhow::ensure!(unreasoned.is_none(), "without a reason: {unreasoned:?}");
        Ok(Self { used: Mutex::new(vec![false; entries.len()]), entries })
    }

    /// The lines that no entry covers.
    pub fn unexplained(&self, config: &str, minor: &str, lines: Vec<Difference>) -> Vec<Difference> {
        let mut used = self.used.lock().expect("nothing panics with it");
        lines
            .into_iter()
            .filter(|line| {
                let mut explained = false;
                for (index, entry) in self.entries.iter().enumerate() {
                    let fits = matches(&entry.config, config)
                        && entry.minor.split(", ").any(|pattern| matches(pattern, minor))
                        && matches(&entry.path, &line.path);
                    used[index] |= fits;
                    explained |= fits;
                }
                !explained
            })
            .collect()
    }

    /// Entries that covered nothing: what they explain is no longer so.
    pub fn unused(&self) -> Vec<&Allowed> {
        let used = self.used.lock().expect("nothing panics with it");
        self.entries.iter().zip(used.iter()).filter(|(_, used)| !**used).map(|(entry, _)| entry).collect()
    }
}

/// A leaf that is not the same in both.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub path: String,
    kubeadm: Option<String>,
    rkadm: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: &Option<String>| match value {
            None => "(nothing)".to_owned(),
            // Of a file that nobody expected, the beginning is enough.
            Some(value) if value.len() > 300 => format!("{value:.300}…"),
            Some(value) => value.clone(),
        };
        write!(f, "{}: kubeadm {}, rkadm {}", self.path, text(&self.kubeadm), text(&self.rkadm))
    }
}

pub fn between(kubeadm: &Value, rkadm: &Value) -> Vec<Difference> {
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    leaves(String::new(), kubeadm, &mut left);
    leaves(String::new(), rkadm, &mut right);
    let mut found = vec![];
    for (path, value) in &left {
        if right.get(path) != Some(value) {
            found.push(Difference {
                path: path.clone(),
                kubeadm: Some(value.clone()),
                rkadm: right.get(path).cloned(),
            });
        }
    }
    let only_ours = right.into_iter().filter(|(path, _)| !left.contains_key(path));
    found.extend(only_ours.map(|(path, value)| Difference { path, kubeadm: None, rkadm: Some(value) }));
    found
}

/// A file's path holds slashes itself, and stands first; nothing is lost when they look alike.
fn leaves(path: String, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| leaves(below(key), value, into));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| leaves(below(&index.to_string()), item, into));
        }
        leaf => drop(into.insert(path, leaf.to_string())),
    }
}

/// Whether the text is of the pattern.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
}
