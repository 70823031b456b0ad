//! `rkadm <verb> phase …`: one subcommand for each phase, made from its declaration.

use std::collections::BTreeSet;

use clap::{ArgMatches, Command};
use rkadm_core::engine::PhaseMeta;

/// The `phase` subcommand of a workflow. `flags` adds the verb's flags to the phase, or group of phases, of this id.
pub fn command(verb: &str, metas: &[PhaseMeta], flags: impl Fn(&str, Command) -> Command) -> Command {
    let mut phase = Command::new("phase")
        .about(format!("Run a single phase of the {verb} workflow"))
        .subcommand_required(true)
        .arg_required_else_help(true);
    let mut groups = BTreeSet::new();
    for meta in metas {
        let Some((group, _)) = meta.id.split_once('/') else {
            phase = phase.subcommand(leaf(meta.id, meta, &flags));
            continue;
        };
        if groups.insert(group) {
            phase = phase.subcommand(group_command(group, metas, &flags));
        }
    }
    phase
}

/// The flags come first: they bring a description of their own.
fn leaf(name: &'static str, meta: &PhaseMeta, flags: &impl Fn(&str, Command) -> Command) -> Command {
    let command = flags(meta.id, Command::new(name)).about(meta.title.to_string()).hide(meta.hidden);
    if meta.help.is_empty() { command } else { command.long_about(meta.help.to_string()) }
}

fn group_command(
    group: &'static str,
    metas: &[PhaseMeta],
    flags: &impl Fn(&str, Command) -> Command,
) -> Command {
    let mut command = Command::new(group)
        .about(format!("Run all {group} phases, or one of them"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(flags(group, Command::new("all")).about(format!("Run all {group} phases")));
    for meta in metas {
        if let Some((_, name)) = meta.id.split_once('/').filter(|(parent, _)| *parent == group) {
            command = command.subcommand(leaf(name, meta, flags));
        }
    }
    command
}

/// The phase that was asked for, `certs/ca` or `certs`, and the matches that hold its flags.
pub fn selected(phase: &ArgMatches) -> Option<(String, &ArgMatches)> {
    let (name, matches) = phase.subcommand()?;
    match matches.subcommand() {
        None => Some((name.to_owned(), matches)),
        Some(("all", matches)) => Some((name.to_owned(), matches)),
        Some((child, matches)) => Some((format!("{name}/{child}"), matches)),
    }
}
