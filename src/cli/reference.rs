//! The reference of commands in the book, made from the commands as they are declared. It is a test only: the binary has
//! `--help`.

use std::{collections::BTreeMap, path::Path};

use clap::{Arg, Command, Id};

const HEAD: &str = "\
<!-- Generated from the declarations in src/cli by `make docs-reference`. -->

# Commands

All that `rkadm --help` knows, on one page. Names of flags, and their defaults are those of kubeadm where it has the
command; [coming from kubeadm](../guide/from-kubeadm.md) tells the differences. A flag marked with `*` must be given.

Every command takes these flags, and `--help`:

";

#[test]
fn the_page_of_commands_is_up_to_date() {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let mut text = HEAD.to_owned();
    text += &table(own(&command, Arg::is_global_set));
    let known = globals(&command, &[]);
    for child in visible(&command) {
        section(child, 2, &known, &mut text);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/commands.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    } else {
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "docs/reference/commands.md is not up to date: run `make docs-reference`");
    }
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|child| !child.is_hide_set())
}

/// Arguments that are shown, without the help flag.
fn own(command: &Command, wanted: impl Fn(&Arg) -> bool) -> Vec<&Arg> {
    let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    command.get_arguments().filter(shown).filter(|arg| wanted(arg)).collect()
}

/// The flags of a command that those below it take, too, with the ones of those above it.
fn globals(command: &Command, above: &[Id]) -> Vec<Id> {
    let own = command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().clone());
    above.iter().cloned().chain(own).collect()
}

/// A command and what is below it. Phases have the flags of their verb, so they are a list. `above` are the flags that stand
/// in the sections above.
fn section(command: &Command, level: usize, above: &[Id], text: &mut String) {
    let name = command.get_bin_name().unwrap_or_default();
    *text += &format!("\n{} {name}\n\n{}\n", "#".repeat(level.min(4)), about(command));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    let obvious = usage == format!("{name} [OPTIONS]") || command.is_subcommand_required_set();
    if !obvious {
        *text += &format!("\n```text\n{usage}\n```\n");
    }
    let flags = own(command, |arg| !above.contains(arg.get_id()));
    if !flags.is_empty() {
        if command.has_subcommands() && flags.iter().all(|arg| arg.is_global_set()) {
            *text += "\nEach of them takes these flags, also before its name:\n";
        }
        *text += &format!("\n{}", table(flags));
    }
    for child in visible(command) {
        if child.get_name() == "phase" {
            phases(command, child, level + 1, text);
        } else {
            section(child, level + 1, &globals(command, above), text);
        }
    }
}

fn about(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    format!("{}.", about.trim_end_matches('.'))
}

fn phases(verb: &Command, phase: &Command, level: usize, text: &mut String) {
    let name = phase.get_bin_name().unwrap_or_default();
    let flags_of = verb.get_bin_name().unwrap_or_default();
    *text += &format!("\n{} {name}\n\n{} ", "#".repeat(level), about(phase));
    *text += &format!("Each takes the flags of `{flags_of}`");
    let known: Vec<_> = verb.get_arguments().map(|arg| arg.get_id().clone()).collect();
    let mut more: BTreeMap<String, &Arg> = BTreeMap::new();
    let mut rows = String::new();
    for leaf in visible(phase).flat_map(leaves) {
        let extra = own(leaf, |arg| !known.contains(arg.get_id()));
        let names: Vec<_> = extra.iter().map(|arg| format!("`{}`", flag(arg))).collect();
        more.extend(extra.into_iter().map(|arg| (flag(arg), arg)));
        let path = leaf.get_bin_name().unwrap_or_default();
        rows += &format!("| `{path}` | {} | {} |\n", names.join(", "), about(leaf).trim_end_matches('.'));
    }
    *text += if more.is_empty() { ".\n\n" } else { ", and some take these too:\n\n" };
    if !more.is_empty() {
        *text += &format!("{}\n", table(more.into_values().collect()));
    }
    *text += &format!("| command | more flags | what it does |\n|---|---|---|\n{rows}");
}

fn leaves(command: &Command) -> Vec<&Command> {
    let below: Vec<_> = visible(command).flat_map(leaves).collect();
    if below.is_empty() { vec![command] } else { below }
}

fn table(args: Vec<&Arg>) -> String {
    let mut text = "| flag | default | meaning |\n|---|---|---|\n".to_owned();
    for arg in args {
        let (meaning, default) = meaning(arg);
        let required = if arg.is_required_set() { "*" } else { "" };
        let row = format!("`{}`{required}\n{default}\n{meaning}", flag(arg));
        text += &format!("| {} |\n", row.replace('|', "\\|").replace('\n', " | "));
    }
    text
}

/// `-o, --output <OUTPUT>`; a plain word for an argument without a flag.
fn flag(arg: &Arg) -> String {
    let names =
        [arg.get_short().map(|short| format!("-{short}")), arg.get_long().map(|long| format!("--{long}"))];
    let names = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let values = arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>"));
    let values =
        if arg.get_action().takes_values() { values.collect::<Vec<_>>().join(" ") } else { String::new() };
    match (names.is_empty(), arg.is_require_equals_set()) {
        (true, _) => values,
        (_, true) => format!("{names}[={values}]"),
        _ => format!("{names} {values}").trim_end().to_owned(),
    }
}

/// What a flag means, and its default: clap's, or the one that its text ends with.
fn meaning(arg: &Arg) -> (String, String) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (help, told) = match help.strip_suffix(']').and_then(|text| text.split_once(" [default: ")) {
        Some((help, default)) => (help.to_owned(), default.to_owned()),
        None => (help, String::new()),
    };
    let used = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let used = if arg.get_action().takes_values() && !arg.is_hide_default_value_set() {
        used.collect::<Vec<_>>().join(",")
    } else {
        String::new()
    };
    let default = if told.is_empty() { used } else { told };
    let default = match default.as_str() {
        words if words.is_empty() || words.contains(' ') => default,
        value => format!("`{value}`"),
    };
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let listed = arg.get_action().takes_values() && !values.is_empty();
    let choices = if listed { format!(": {}", values.join(", ")) } else { String::new() };
    (help + &choices, default)
}
