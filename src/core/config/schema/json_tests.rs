//! The defaults that the tables tell are those that are used.

use super::*;
use crate::config::GoDuration;
use crate::config::print::{self, Component};
use crate::config::schema::{KUBE_PROXY_API_VERSION, KUBELET_API_VERSION};

/// Every field that the tables and the document both have, with its path.
fn pairs<'a>(fields: &[Field], document: &'a Value, path: &str, found: &mut Vec<(String, Field, &'a Value)>) {
    for (name, value) in document.as_object().into_iter().flatten() {
        let Some(field) = fields.iter().find(|field| field.name == name) else { continue };
        let path = format!("{path}.{name}");
        if let Type::Object(fields) = field.value {
            pairs(fields, value, &path, found);
        }
        found.push((path, *field, value));
    }
}

/// What Go writes when nothing is set: the component has a default of its own, or there is none.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => ["", "0s", "0"].contains(&text.as_str()),
        Value::Null => true,
        Value::Bool(value) => !value,
    }
}

#[test]
fn told_defaults_are_the_ones_that_are_used() {
    let mut documents = print::init_defaults(&[Component::Kubelet, Component::KubeProxy]).unwrap();
    documents.extend(print::reset_defaults());
    documents.extend(print::upgrade_defaults());
    for document in &documents {
        let known = KINDS.iter().find(|known| known.kind == document["kind"]).unwrap();
        let mut found = vec![];
        pairs(known.fields, document, known.kind, &mut found);
        for (path, field, used) in found {
            if matches!(field.value, Type::Object(_) | Type::List(_)) {
                continue;
            }
            if field.default.contains(' ') || is_zero(used) && field.default.is_empty() {
                continue;
            }
            let told = default(&field);
            let used = used.as_str().and_then(|text| text.parse::<GoDuration>().ok()).map_or_else(
                || used.clone(),
                |duration| {
                    assert_eq!(told.as_str().and_then(|text| text.parse().ok()), Some(duration), "{path}");
                    told.clone()
                },
            );
            assert_eq!(told, used, "{path}");
        }
    }
}

#[test]
fn every_field_is_described() {
    fn described(fields: &[Field]) {
        for field in fields {
            assert!(!field.doc.is_empty() && !field.doc.ends_with('.'), "{}", field.name);
            if let Type::Object(fields) | Type::List(&Type::Object(fields)) = field.value {
                described(fields);
            }
        }
    }
    for known in &KINDS {
        described(known.fields);
    }
}

#[test]
fn required_fields_and_choices_are_in_the_schema() {
    let schema = json_schema();
    let join = &schema["$defs"]["JoinConfiguration"];
    assert_eq!(join["required"], json!(["apiVersion", "kind", "discovery"]));
    assert_eq!(join["properties"]["discovery"]["type"], "object");
    assert_eq!(join["additionalProperties"], false);
    let node = &join["properties"]["nodeRegistration"]["properties"];
    assert_eq!(node["imagePullPolicy"]["enum"], json!(["", "Always", "IfNotPresent", "Never", null]));
    assert_eq!(node["imagePullSerial"]["default"], true);
    for (kind, version) in
        [("KubeletConfiguration", KUBELET_API_VERSION), ("KubeProxyConfiguration", KUBE_PROXY_API_VERSION)]
    {
        assert_eq!(schema["$defs"][kind]["properties"]["apiVersion"]["const"], version);
    }
}
