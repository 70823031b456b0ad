//! What a restore brought back, beside what the backup has.

use std::{collections::BTreeMap, fmt::Write as _};

use rkadm_core::kube::census::Difference;
use serde::Serialize;
use serde_json::Value;

/// What operators look for first; the rest is in the document.
const FIRST: [&str; 10] = [
    "namespaces",
    "nodes",
    "pods",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "services",
    "configmaps",
    "secrets",
    "persistentvolumeclaims",
];

/// Lines of a text that says where there are others.
const MOST_LINES: usize = 15;

/// Part of the result of a restore.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CameBack {
    pub objects: BTreeMap<String, u64>,
    pub differences: Vec<Difference>,
}

impl CameBack {
    /// From what the phase `report` noted.
    pub fn of(report: &Value) -> Self {
        let part = |name: &str| report.get(name).cloned().unwrap_or_default();
        Self {
            objects: serde_json::from_value(part("objects")).unwrap_or_default(),
            differences: serde_json::from_value(part("differences")).unwrap_or_default(),
        }
    }

    /// Lines for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let named = FIRST.iter().filter_map(|name| Some((name, *self.objects.get(*name)?)));
        let mut counts: Vec<_> =
            named.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
        let others = self.objects.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
        let others: u64 = others.map(|(_, count)| count).sum();
        if others > 0 {
            counts.push(format!("{others} others"));
        }
        if !counts.is_empty() {
            let _ = writeln!(out, "Objects: {}", counts.join(", "));
        }
        if self.differences.is_empty() {
            return out;
        }
        out += "Not as many as in the backup, because the cluster went on since it started, or because something is wrong:\n";
        for Difference { resource, namespace, before, now } in self.differences.iter().take(MOST_LINES) {
            let place = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
            let _ = writeln!(out, "  {resource}{place}: {before} in the backup, {now} now");
        }
        if self.differences.len() > MOST_LINES {
            let _ =
                writeln!(out, "  … and {} more: `-o json` shows all", self.differences.len() - MOST_LINES);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_told_by_namespace() {
        let report = json!({
            "objects": {"pods": 12, "nodes": 3, "widgets.example.com": 2, "statefulsets.apps": 0},
            "differences": [
                {"resource": "pods", "namespace": "shop", "before": 13, "now": 12},
                {"resource": "nodes", "namespace": "", "before": 4, "now": 3},
            ],
        });
        assert_eq!(
            CameBack::of(&report).text(),
            "Objects: 3 nodes, 12 pods, 2 others\n\
             Not as many as in the backup, because the cluster went on since it started, or because something is wrong:\n\
             \x20 pods in shop: 13 in the backup, 12 now\n\
             \x20 nodes: 4 in the backup, 3 now\n"
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let one = json!({"resource": "pods", "namespace": "a", "before": 1, "now": 0});
        let report = json!({"objects": {}, "differences": vec![one; 17]});
        let text = CameBack::of(&report).text();
        assert!(text.ends_with("  … and 2 more: `-o json` shows all\n"), "{text}");
        assert_eq!(text.lines().count(), 17);
        assert_eq!(CameBack::of(&Value::Null).text(), "");
    }
}
