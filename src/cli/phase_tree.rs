//! `rkadm <verb>` and `rkadm <verb> phase …`: one subcommand for each phase, made from its declaration, and the workflow
//! with the phases that were chosen.

use std::collections::BTreeSet;

use clap::{ArgMatches, Command};
use rkadm_core::engine::{PhaseMeta, Workflow, workflow::SelectionError};

use super::exit::{CommandError, ExitKind};

/// Adds the phases of its workflow to the command of a verb: as subcommands, and as a list in its help. `flags` adds the
/// verb's flags to the phase, or group of phases, of this id.
pub fn with_phases(
    command: Command,
    metas: &[PhaseMeta],
    flags: impl Fn(&str, Command) -> Command,
) -> Command {
    let shown = metas.iter().filter(|meta| !meta.hidden);
    let lines: Vec<_> = shown.map(|meta| format!("  {:<44} {}", meta.id, meta.title)).collect();
    let phase = phases(command.get_name(), metas, flags);
    command
        .after_help(format!("Phases, in order:\n{}", lines.join("\n")))
        .subcommand(phase)
        .args_conflicts_with_subcommands(true)
}

fn phases(verb: &str, metas: &[PhaseMeta], flags: impl Fn(&str, Command) -> Command) -> Command {
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

/// The phase that was asked for, `certs/ca` or `certs`, none for the whole workflow, and the matches that hold the flags.
pub fn chosen(matches: &ArgMatches) -> Result<(Option<String>, &ArgMatches), CommandError> {
    let Some(("phase", phase)) = matches.subcommand() else { return Ok((None, matches)) };
    let Some((name, matches)) = phase.subcommand() else {
        return Err(CommandError::new(ExitKind::Usage, "no phase given"));
    };
    Ok(match matches.subcommand() {
        None => (Some(name.to_owned()), matches),
        Some(("all", matches)) => (Some(name.to_owned()), matches),
        Some((child, matches)) => (Some(format!("{name}/{child}")), matches),
    })
}

/// The name of a verb's workflow, of which only a phase may run.
pub fn workflow_name(verb: &str, only: Option<&str>) -> String {
    only.map_or_else(|| verb.to_owned(), |only| format!("{verb} phase {only}"))
}

/// The phases to run and to leave out.
pub struct Selected {
    pub workflow: Workflow,
    pub skip: BTreeSet<&'static str>,
}

impl Selected {
    /// Of a verb's whole workflow: `only` one phase or those below a name, else all but `skip`.
    ///
    /// # Errors
    /// A phase that the workflow does not have, or that cannot be left out.
    pub fn of(
        verb: &str,
        whole: Workflow,
        skip: &[String],
        only: Option<&str>,
    ) -> Result<Self, CommandError> {
        let refused = |error: SelectionError| refused(&error, verb);
        let skip = whole.skips(skip).map_err(refused)?;
        let Some(only) = only else { return Ok(Self { workflow: whole, skip }) };
        let mut workflow = whole.only(&[only.to_owned()]).map_err(refused)?;
        workflow.name = workflow_name(verb, Some(only));
        // A phase that is asked for by name is run, whatever the configuration leaves out of a whole run.
        Ok(Self { workflow, skip: BTreeSet::new() })
    }
}

fn refused(error: &SelectionError, verb: &str) -> CommandError {
    let mut refused = CommandError::new(ExitKind::Usage, error.to_string());
    if let SelectionError::Unknown { nearest: Some(nearest), .. } = error {
        refused = refused.hint(format!("did you mean {nearest:?}?"));
    }
    refused.hint(format!("`rkadm {verb} --help` lists the phases"))
}
