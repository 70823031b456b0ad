//! Compares a document with the schema of its kind and reports everything that does not fit.

use super::{Field, KINDS, Type, v1beta3};
use crate::config::document::{Document, Entry, Node, Spanned};
use crate::config::duration::GoDuration;
use crate::config::error::{ConfigError, Position};

/// Every problem of a document, by line; a missing field stands at the start of the object that lacks it.
pub fn check(document: &Document) -> Vec<ConfigError> {
    let known = KINDS
        .iter()
        .chain(&v1beta3::KINDS)
        .find(|known| known.kind == document.kind && known.api_version == document.api_version);
    let mut checker = Checker { file: &document.file, errors: Vec::new() };
    if let (Some(schema), Node::Map(entries)) = (known, &document.root.node) {
        let own: Vec<_> =
            entries.iter().filter(|entry| !["apiVersion", "kind"].contains(&entry.key.as_str())).collect();
        checker.fields("", document.root.at, &own, schema.fields);
    }
    if document.api_version == v1beta3::API_VERSION {
        let newer =
            KINDS.iter().find(|known| known.kind == document.kind).map_or(&[][..], |known| known.fields);
        for error in checker.errors.iter_mut().filter(|error| error.message == UNKNOWN_FIELD) {
            if is_known(newer, &error.field_path) {
                error.hint = Some("the field came with v1beta4: write it into the converted file".to_owned());
            }
        }
    }
    checker.errors.sort_by_key(ConfigError::order);
    checker.errors
}

const UNKNOWN_FIELD: &str = "unknown field";

/// Whether there is a field such as `nodeRegistration.taints[0].key`.
fn is_known(fields: &[Field], path: &str) -> bool {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let name = first.split('[').next().unwrap_or_default();
    let Some(field) = fields.iter().find(|field| field.name == name) else { return false };
    match field.value {
        _ if rest.is_empty() => true,
        Type::Object(fields) | Type::List(&Type::Object(fields)) => is_known(fields, rest),
        _ => false,
    }
}

struct Checker<'a> {
    file: &'a str,
    errors: Vec<ConfigError>,
}

impl Checker<'_> {
    fn report(&mut self, at: Position, error: ConfigError) {
        self.errors.push(error.at(self.file, at));
    }

    fn fields(&mut self, path: &str, at: Position, entries: &[&Entry], fields: &[Field]) {
        for entry in entries {
            let path = join(path, &entry.key);
            match fields.iter().find(|field| field.name == entry.key) {
                Some(field) => self.value(&path, &entry.value, &field.value),
                None => self.report(entry.at, unknown_field(&path, &entry.key, fields)),
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if !entries.iter().any(|entry| entry.key == field.name && entry.value.node != Node::Null) {
                self.report(at, ConfigError::new(join(path, field.name), "the field is required"));
            }
        }
    }

    fn value(&mut self, path: &str, value: &Spanned, expected: &Type) {
        match (expected, &value.node) {
            // Kubernetes reads null as not given.
            (_, Node::Null) | (Type::Any, _) => {}
            (Type::List(item), Node::List(items)) => {
                for (index, value) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    if value.node == Node::Null {
                        self.report(value.at, ConfigError::new(path, "the item is empty"));
                    } else {
                        self.value(&path, value, item);
                    }
                }
            }
            (Type::Map(item), Node::Map(entries)) => {
                for entry in entries {
                    self.value(&join(path, &entry.key), &entry.value, item);
                }
            }
            (Type::Object(fields), Node::Map(entries)) => {
                self.fields(path, value.at, &entries.iter().collect::<Vec<_>>(), fields);
            }
            _ => {
                if let Some(error) = scalar(path, value, expected) {
                    self.report(value.at, error);
                }
            }
        }
    }
}

/// The problem of a value that is not a list, map or object of the right kind.
fn scalar(path: &str, value: &Spanned, expected: &Type) -> Option<ConfigError> {
    let wrong = |message: String| Some(ConfigError::new(path, message));
    match (expected, &value.node) {
        (Type::Text, Node::Str(_))
        | (Type::Bool, Node::Bool(_))
        | (Type::Float | Type::Quantity, Node::Int(_) | Node::Float(_))
        | (Type::DurationOrInt, Node::Int(_))
        | (Type::Port, Node::Int(0..=65535)) => None,
        (Type::Quantity, Node::Str(text)) if is_quantity(text.trim()) => None,
        (Type::Quantity, Node::Str(text)) => wrong(format!("{text:?} is not a quantity such as \"100Mi\"")),
        (Type::Int { min, max }, Node::Int(number)) if (min..=max).contains(&number) => None,
        (Type::Int { min, max }, Node::Int(number)) => wrong(format!("{number} is not from {min} to {max}")),
        (Type::Port, Node::Int(number)) => wrong(format!("{number} is not a port from 1 to 65535")),
        (Type::Duration | Type::DurationOrInt, Node::Str(text)) => {
            text.parse::<GoDuration>().err().and_then(|error| wrong(error.to_string()))
        }
        (Type::Time, Node::Str(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(_) => None,
            Err(_) => wrong(format!("{text:?} is not a time such as \"2030-01-31T12:00:00Z\"")),
        },
        (Type::Enum(allowed), Node::Str(text)) if allowed.contains(&text.as_str()) => None,
        (Type::Enum(allowed), Node::Str(text)) => Some(bad_choice(path, text, allowed)),
        _ => Some(wrong_type(path, value, expected)),
    }
}

/// A number with a unit, in the notation of Kubernetes.
fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, unit) = unsigned.split_at(end);
    let exponent = |rest: &str| {
        let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let units =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains(&unit);
    number.bytes().any(|byte| byte.is_ascii_digit())
        && number.bytes().filter(|byte| *byte == b'.').count() < 2
        && (units || unit.strip_prefix(['e', 'E']).is_some_and(exponent))
}

fn unknown_field(path: &str, name: &str, fields: &[Field]) -> ConfigError {
    let error = ConfigError::new(path, UNKNOWN_FIELD);
    match nearest(name, fields.iter().map(|field| field.name)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

fn bad_choice(path: &str, text: &str, allowed: &[&str]) -> ConfigError {
    let shown: Vec<_> = allowed.iter().copied().filter(|choice| !choice.is_empty()).collect();
    let error = ConfigError::new(path, format!("{text:?} is not one of {}", shown.join(", ")));
    if text.starts_with("ML-DSA") {
        return error.hint("ML-DSA keys come with Kubernetes 1.38, which this rkadm does not deploy");
    }
    match nearest(text, shown.into_iter()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// The message never shows the value, which may be a secret in the wrong place.
fn wrong_type(path: &str, value: &Spanned, expected: &Type) -> ConfigError {
    let wanted = match expected {
        Type::Text | Type::Enum(_) => "a text",
        Type::Bool => "true or false",
        Type::Int { .. } | Type::Port => "a whole number",
        Type::Float => "a number",
        Type::Duration | Type::DurationOrInt => "a duration such as \"1h30m\"",
        Type::Quantity => "a quantity such as \"100Mi\"",
        Type::Time => "a time such as \"2030-01-31T12:00:00Z\"",
        Type::List(_) => "a list",
        Type::Map(_) | Type::Object(_) | Type::Any => "a map",
    };
    let found = match &value.node {
        Node::Null => "nothing",
        Node::Bool(_) => "true or false",
        Node::Int(_) => "a whole number",
        Node::Float(_) => "a number",
        Node::Str(_) => "a text",
        Node::List(_) => "a list",
        Node::Map(_) => "a map",
    };
    let error = ConfigError::new(path, format!("expected {wanted}, found {found}"));
    match (expected, &value.node) {
        (Type::Text | Type::Enum(_), Node::Bool(_) | Node::Int(_) | Node::Float(_)) => {
            error.hint("put the value in quotes")
        }
        (Type::Bool | Type::Int { .. } | Type::Port | Type::Float, Node::Str(_)) => {
            error.hint("write the value without quotes")
        }
        (Type::List(Type::Object(fields)), Node::Map(_))
            if fields.iter().any(|field| field.name == "value") =>
        {
            error.hint("since v1beta4 this is a list of {name, value}")
        }
        (Type::Map(Type::Text), Node::List(items)) if items.iter().any(|item| item.get("name").is_some()) => {
            error.hint("a list of {name, value} came with v1beta4, before it was a map of names to values")
        }
        _ => error,
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
