//! What becomes of a CoreDNS that is there: its Corefile is brought to the new version, or both stay as they are.

use rkadm_core::coredns::{is_default, migrate};
use serde_json::Value;

/// What is to be applied.
#[derive(Debug, PartialEq, Eq)]
pub enum Corefile {
    /// The default of this version.
    Default,
    /// This text: the operator's, in the new version's syntax. What was changed in it is told.
    Own(String, Vec<String>),
    /// None of it: CoreDNS stays as it is, for this reason.
    Keep(String),
}

/// Judges the Deployment and the ConfigMap that are there. `to` is the new image's tag.
pub fn judge(deployment: Option<&Value>, config_map: Option<&Value>, domain: &str, to: &str) -> Corefile {
    let text = config_map.and_then(|map| map.pointer("/data/Corefile")).and_then(Value::as_str);
    let Some(text) = text else { return Corefile::Default };
    if is_default(text, domain) {
        return Corefile::Default;
    }
    let image = deployment.and_then(|it| it.pointer("/spec/template/spec/containers/0/image"));
    let Some(image) = image.and_then(Value::as_str) else {
        return Corefile::Own(text.to_owned(), vec![]);
    };
    let from = image.split('@').next().and_then(|name| name.rsplit_once(':')).map_or("", |(_, tag)| tag);
    match migrate(text, from, to) {
        Ok(migration) if migration.unsupported.is_empty() => Corefile::Own(migration.text, migration.changes),
        Ok(migration) => Corefile::Keep(format!(
            "its Corefile uses what CoreDNS {to} does not have ({}); bring it to the new version by hand, then run this phase again",
            migration.unsupported.join("; ")
        )),
        Err(error) => Corefile::Keep(format!(
            "{image} with its Corefile cannot be brought to CoreDNS {to}: {error}; upgrade it by hand"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(image: &str, corefile: &str) -> Corefile {
        let deployment = json!({"spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        let config_map = json!({"data": {"Corefile": corefile}});
        judge(Some(&deployment), Some(&config_map), "cluster.local", "v1.14.6")
    }

    #[test]
    fn an_operators_corefile_is_migrated_or_kept_with_its_server() {
        assert_eq!(judge(None, None, "cluster.local", "v1.14.6"), Corefile::Default);
        let own = ".:53 {\n    forward . 9.9.9.9\n}\n";
        assert_eq!(judged("r/coredns:v1.14.2", own), Corefile::Own(own.into(), vec![]));
        let Corefile::Own(text, changes) = judged(
            "r/coredns:v1.6.5",
            ".:53 {\n    kubernetes cluster.local {\n        upstream\n    }\n}\n",
        ) else {
            panic!("not migrated")
        };
        assert!(!text.contains("upstream") && changes.len() == 1, "{text} {changes:?}");
        let Corefile::Keep(why) = judged("r/coredns:v1.14.2", ".:53 {\n    mine\n}\n") else {
            panic!("a plugin of one's own was dropped")
        };
        assert!(why.contains("mine"), "{why}");
        let Corefile::Keep(why) = judged("mirror:5000/dns", own) else { panic!("of what version is it?") };
        assert!(why.contains("mirror:5000/dns"), "{why}");
    }
}
