//! The reference of configuration files, made from the tables that they are checked with.

use rkadm_core::config::schema::{Field, KINDS, KindSchema, Type, json_schema};

use crate::is_up_to_date;

const HEAD: &str = "\
<!-- Generated from src/core/config/schema by `make docs-reference`. -->

# Configuration files

`--config` takes YAML or JSON files with one or more of these documents, each at most once. A dot leads to the field of a
map, `[]` to each item of a list, `.*` to each value of a map with names of your own. Required fields are marked with `*`; of
the fields without a default, those of the kubelet and of kube-proxy have the component's own.

`rkadm config validate` checks files, `rkadm config print` shows the defaults as a file, and the [schema](schema.md) makes
editors know all of this.
";

#[test]
fn the_schema_is_up_to_date() {
    let text = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    is_up_to_date("reference/config.schema.json", &text);
}

#[test]
fn the_page_is_up_to_date() {
    let kinds: String = KINDS.iter().map(section).collect();
    is_up_to_date("reference/configuration.md", &format!("{HEAD}{kinds}"));
}

fn section(kind: &KindSchema) -> String {
    let mut text = format!("\n## {}\n\n`{}`. {}.\n\n", kind.kind, kind.api_version, kind.doc);
    text += "| field | type | default | meaning |\n|---|---|---|---|\n";
    rows("", kind.fields, &mut text);
    text
}

fn rows(above: &str, fields: &[Field], text: &mut String) {
    for field in fields {
        let path = format!("{above}{}", field.name);
        let required = if field.required { "*" } else { "" };
        let default = match field.default {
            words if words.is_empty() || words.contains(' ') => words.to_owned(),
            value => format!("`{value}`"),
        };
        let (kind, doc) = (name(&field.value), field.doc);
        *text += &format!("| `{path}`{required} | {kind} | {default} | {doc} |\n");
        below(&path, &field.value, text);
    }
}

fn below(path: &str, value: &Type, text: &mut String) {
    match value {
        Type::Object(fields) => rows(&format!("{path}."), fields, text),
        Type::List(item) => below(&format!("{path}[]"), item, text),
        Type::Map(item) => below(&format!("{path}.*"), item, text),
        _ => {}
    }
}

fn name(value: &Type) -> String {
    match value {
        Type::Text => "text".into(),
        Type::Bool => "true or false".into(),
        Type::Int { .. } => "whole number".into(),
        Type::Port => "port".into(),
        Type::Float => "number".into(),
        Type::Duration => "duration".into(),
        Type::DurationOrInt => "duration or nanoseconds".into(),
        Type::Quantity => "quantity".into(),
        Type::Time => "time".into(),
        Type::Enum(choices) => {
            let choices = choices.iter().filter(|choice| !choice.is_empty());
            choices.map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
        }
        Type::List(Type::Object(_)) => "list of maps".into(),
        Type::List(item) => format!("list of {}", name(item)),
        Type::Map(Type::Any) | Type::Object(_) => "map".into(),
        Type::Map(item) => format!("map of {}", name(item)),
        Type::Any => "anything".into(),
    }
}
