//! Command lines of static pods: default arguments, overridden and extended by the configuration's.

use crate::config::types::Arg;

/// Splits `--name=value`; an argument without value has an empty one.
pub fn parse(argument: &str) -> Arg {
    let bare = argument.trim_start_matches('-');
    let (name, value) = bare.split_once('=').unwrap_or((bare, ""));
    Arg::new(name, value)
}

/// The arguments in kubeadm's order: the defaults that nobody overrides, sorted by name, then the extra ones as given.
///
/// Extra names may repeat, for flags such as `service-account-issuer` whose order matters.
pub fn merge(mut defaults: Vec<Arg>, extra: &[Arg]) -> Vec<Arg> {
    defaults.retain(|default| extra.iter().all(|other| other.name != default.name));
    defaults.sort_by(|a, b| a.name.cmp(&b.name));
    defaults.extend_from_slice(extra);
    defaults
}

/// [`merge`] for a container's command: the program, then `--name=value`.
pub fn command(default_command: &[String], extra: &[Arg]) -> Vec<String> {
    let Some((program, defaults)) = default_command.split_first() else { return Vec::new() };
    let merged = merge(defaults.iter().map(|argument| parse(argument)).collect(), extra);
    std::iter::once(program.clone()).chain(merged.iter().map(written)).collect()
}

/// `--name=value`.
pub fn written(argument: &Arg) -> String {
    format!("--{}={}", argument.name, argument.value)
}

/// The value that takes effect for a name: the last one.
pub fn value<'a>(extra: &'a [Arg], name: &str) -> Option<&'a str> {
    extra.iter().rev().find(|argument| argument.name == name).map(|argument| argument.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overridden_defaults_move_to_where_the_operator_put_them() {
        let defaults: Vec<_> =
            ["etcd", "--name=a", "--data-dir=/d", "--initial-cluster=x", "--initial-cluster-state=y"]
                .map(String::from)
                .into();
        let extra = [Arg::new("v", "2"), Arg::new("data-dir", "/e"), Arg::new("v", "3")];
        assert_eq!(
            command(&defaults, &extra),
            [
                "etcd",
                "--initial-cluster=x",
                "--initial-cluster-state=y",
                "--name=a",
                "--v=2",
                "--data-dir=/e",
                "--v=3"
            ]
        );
        assert_eq!(value(&extra, "v"), Some("3"));
    }
}
