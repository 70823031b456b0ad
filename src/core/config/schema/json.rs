//! The tables as a JSON Schema, for editors. It says what [`super::check`] says: what it accepts is accepted there, but for
//! the ranges of durations and times.

use serde_json::{Map, Value, json};

use super::{Field, KINDS, KindSchema, Type};

/// A Go duration.
const DURATION: &str = r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+)$";

/// A JSON Schema, draft 2020-12, of one document of a configuration file. Many editors know draft 7 only, so there is no
/// keyword that came later, but for the name of `$defs`, which is found by its path.
pub fn json_schema() -> Value {
    let definitions: Map<_, _> = KINDS.iter().map(|known| (known.kind.to_owned(), kind(known))).collect();
    let kinds: Vec<_> = KINDS.iter().map(|known| known.kind).collect();
    // Not `oneOf`: what is wrong with a document would be told as not being any of the kinds.
    let choices: Vec<_> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
                "then": {"$ref": format!("#/$defs/{kind}")},
            })
        })
        .collect();
    let mut versions: Vec<_> = KINDS.iter().map(|known| known.api_version).collect();
    versions.dedup();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of rkadm",
        "description": "One document of a configuration file of rkadm or kubeadm",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"enum": versions}, "kind": {"enum": kinds}},
        "allOf": choices,
        "$defs": definitions,
    })
}

fn kind(known: &KindSchema) -> Value {
    let mut schema = object(known.fields);
    let mut properties = Map::new();
    properties.insert("apiVersion".into(), json!({"const": known.api_version}));
    properties.insert("kind".into(), json!({"const": known.kind}));
    if let Some(Value::Object(fields)) = schema.get_mut("properties").map(Value::take) {
        properties.extend(fields);
    }
    let mut required = vec![json!("apiVersion"), json!("kind")];
    if let Some(Value::Array(fields)) = schema.get("required") {
        required.extend(fields.iter().cloned());
    }
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), required.into());
    schema.insert("title".into(), known.kind.into());
    schema.insert("description".into(), known.doc.into());
    schema.into()
}

fn object(fields: &[Field]) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    let properties: Map<_, _> = fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    schema.insert("properties".into(), properties.into());
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema.insert("additionalProperties".into(), false.into());
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = value(&field.value);
    if !field.required {
        // Kubernetes reads null as not given.
        nullable(&mut schema);
    }
    let literal = !field.default.is_empty() && !field.default.contains(' ');
    let doc = if field.default.is_empty() || literal {
        field.doc.to_owned()
    } else {
        format!("{} (default: {})", field.doc, field.default)
    };
    schema.insert("description".into(), doc.into());
    if literal {
        schema.insert("default".into(), default(field));
    }
    schema.into()
}

/// A default as a value of the field's type.
fn default(field: &Field) -> Value {
    match field.value {
        Type::Bool | Type::Int { .. } | Type::Port | Type::Float => {
            serde_json::from_str(field.default).unwrap_or_default()
        }
        _ => field.default.into(),
    }
}

fn value(expected: &Type) -> Map<String, Value> {
    let schema = match expected {
        Type::Text => json!({"type": "string"}),
        Type::Bool => json!({"type": "boolean"}),
        // JSON's numbers are not exact at the ends of 64 bits.
        Type::Int { min: i64::MIN, max: i64::MAX } => json!({"type": "integer"}),
        Type::Int { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Type::Port => json!({"type": "integer", "minimum": 0, "maximum": u16::MAX}),
        Type::Float => json!({"type": "number"}),
        Type::Duration => json!({"type": "string", "pattern": DURATION}),
        Type::DurationOrInt => json!({"type": ["string", "integer"], "pattern": DURATION}),
        Type::Quantity => json!({"type": ["string", "number"]}),
        Type::Time => json!({"type": "string", "format": "date-time"}),
        Type::Enum(choices) => json!({"enum": choices}),
        Type::List(item) => json!({"type": "array", "items": value(item)}),
        Type::Map(item) => {
            let mut item = value(item);
            nullable(&mut item);
            json!({"type": "object", "additionalProperties": item})
        }
        Type::Object(fields) => return object(fields),
        Type::Any => json!({}),
    };
    if let Value::Object(schema) = schema { schema } else { Map::new() }
}

fn nullable(schema: &mut Map<String, Value>) {
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push("null".into()),
        Some(one) => *one = json!([one.clone(), "null"]),
        None => {
            if let Some(Value::Array(choices)) = schema.get_mut("enum") {
                choices.push(Value::Null);
            }
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
