//! kubeadm's own output must load and be written back the same.

use super::*;
use serde::de::DeserializeOwned;
use serde_json::json;

const INIT_DEFAULTS: &str = include_str!("../fixtures/init-defaults-1.37.yaml");
const EVERY_FIELD: &str = include_str!("../fixtures/init-every-field-1.37.yaml");

fn document(text: &str, kind: &str) -> Value {
    let mut documents = crate::yaml::documents(text).unwrap();
    documents.retain(|document| document["kind"] == kind);
    assert_eq!(documents.len(), 1, "{kind}");
    documents.remove(0)
}

/// Reads the document of kind `K` from kubeadm's text, writes it back and compares.
fn round_trip<K: Kind + DeserializeOwned>(text: &str) {
    let theirs = document(text, K::KIND);
    let ours: K = serde_json::from_value(theirs.clone()).unwrap();
    let written = crate::config::secret::exposed(|| ours.to_document());
    assert_eq!(crate::yaml::to_string(&written), crate::yaml::to_string(&theirs), "{}", K::KIND);
}

#[test]
fn kubeadms_documents_are_written_back_unchanged() {
    round_trip::<InitConfiguration>(INIT_DEFAULTS);
    round_trip::<ClusterConfiguration>(INIT_DEFAULTS);
    round_trip::<InitConfiguration>(EVERY_FIELD);
    round_trip::<ClusterConfiguration>(EVERY_FIELD);
    round_trip::<JoinConfiguration>(include_str!("../fixtures/join-defaults-1.37.yaml"));
    round_trip::<ResetConfiguration>(include_str!("../fixtures/reset-defaults-1.37.yaml"));
    round_trip::<UpgradeConfiguration>(include_str!("../fixtures/upgrade-defaults-1.37.yaml"));
}

#[test]
fn empty_parts_stay_and_empty_fields_go_as_in_kubeadm() {
    assert_eq!(
        ClusterConfiguration::default().to_document(),
        json!({
            "apiServer": {}, "apiVersion": "kubeadm.k8s.io/v1beta4", "controllerManager": {}, "dns": {}, "etcd": {},
            "kind": "ClusterConfiguration", "networking": {}, "proxy": {}, "scheduler": {},
        })
    );
}

#[test]
fn no_taints_differ_from_unset_taints() {
    let unset: NodeRegistration = serde_json::from_value(json!({})).unwrap();
    let none: NodeRegistration = serde_json::from_value(json!({"taints": []})).unwrap();
    assert_eq!((unset.taints, none.taints), (None, Some(Vec::new())));
}

#[test]
fn documents_hide_tokens() {
    let text = serde_json::from_value::<InitConfiguration>(document(EVERY_FIELD, "InitConfiguration"))
        .unwrap()
        .to_yaml();
    assert!(!text.contains("0123456789abcdef"), "{text}");
    assert!(text.contains("token: <redacted>"), "{text}");
}

#[test]
fn a_bootstrap_tokens_id_is_its_public_half() {
    let token = BootstrapToken { token: Some("abcdef.0123456789abcdef".into()), ..BootstrapToken::default() };
    assert_eq!(token.id(), Some("abcdef"));
    assert_eq!(BootstrapToken::default().id(), None);
}
