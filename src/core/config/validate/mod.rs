//! What must hold for a configuration whose defaults are filled. Every rule runs; the caller shows all the problems.

pub(crate) mod cluster;
pub mod names;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod other_kinds;

use super::error::Problems;
use super::types::{Arg, EnvVar};

/// Checks a path on this host, which must be absolute.
fn absolute(problems: &mut Problems, path: &str, value: &str) {
    if !value.starts_with('/') {
        problems.error(path, format!("{value:?} is not an absolute path"));
    }
}

/// Checks names of a certificate.
fn alt_names(problems: &mut Problems, path: &str, values: &[String]) {
    for (index, value) in values.iter().enumerate() {
        if !names::is_alt_name(value) {
            problems.error(
                format!("{path}[{index}]"),
                format!(
                    "{value:?} is neither an IP address nor a DNS name, with or without a leading \"*.\""
                ),
            );
        }
    }
}

/// Checks arguments of a component.
fn args(problems: &mut Problems, path: &str, values: &[Arg]) {
    for (index, arg) in values.iter().enumerate() {
        let path = format!("{path}[{index}].name");
        if arg.name.is_empty() {
            problems.error(path, "the argument has no name");
        } else if arg.name.starts_with('-') {
            let bare = arg.name.trim_start_matches('-');
            problems.error_hint(path, "the name starts with a dash", format!("write {bare:?}"));
        } else if arg.name.contains(['=', ' ']) {
            problems.error(path, format!("{:?} is not the name of a flag", arg.name));
        }
    }
}

/// Checks environment variables of a component.
fn envs(problems: &mut Problems, path: &str, values: &[EnvVar]) {
    for (index, env) in values.iter().enumerate() {
        if env.name.is_empty() || env.name.contains('=') {
            problems.error(
                format!("{path}[{index}].name"),
                format!("{:?} is not the name of a variable", env.name),
            );
        }
        if env.value.as_ref().is_some_and(|value| !value.is_empty()) && env.value_from.is_some() {
            problems.error(format!("{path}[{index}]"), "value and valueFrom exclude each other");
        }
    }
}
