//! `rkadm man`: for those who make packages, and hidden from everybody else.

use std::{fs, path::PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_mangen::Man;
use serde::Serialize;

use super::{
    Session,
    exit::{CommandError, ExitKind},
};

/// The result.
#[derive(Debug, Serialize)]
struct ManualPages {
    directory: PathBuf,
    /// Names of the files.
    pages: Vec<String>,
}

/// The subcommand.
pub fn command() -> Command {
    Command::new("man").about("Write the manual pages of all commands to a directory").hide(true).arg(
        Arg::new("directory")
            .value_name("DIR")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("Directory to write to, made when it is not there; files of the same name are replaced"),
    )
}

/// Runs it.
pub fn run(session: &Session, matches: &ArgMatches) -> Result<(), CommandError> {
    let directory: &PathBuf = matches
        .get_one("directory")
        .ok_or_else(|| CommandError::new(ExitKind::Usage, "no directory is named"))?;
    let cannot = |what: &str, error: std::io::Error| {
        CommandError::failed(format!("cannot write {}{what}: {error}", directory.display()))
    };
    fs::create_dir_all(directory).map_err(|error| cannot("", error))?;
    let mut pages = vec![];
    for (name, text) in pages_of(super::command()) {
        fs::write(directory.join(&name), text).map_err(|error| cannot(&format!("/{name}"), error))?;
        pages.push(name);
    }
    let count = pages.len();
    let result = ManualPages { directory: directory.clone(), pages };
    session
        .printer
        .result("ManualPages", &result, || format!("{count} pages written to {}\n", directory.display()));
    Ok(())
}

/// A page for each command that help shows, `rkadm-init-phase.1` for `rkadm init phase`.
fn pages_of(command: Command) -> Vec<(String, String)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = vec![];
    add(&command, &mut pages);
    pages
}

fn add(command: &Command, pages: &mut Vec<(String, String)>) {
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        add(child, pages);
    }
    let man = Man::new(command.clone()).manual("rkadm").source(concat!("rkadm ", env!("CARGO_PKG_VERSION")));
    let mut text = vec![];
    // A vector takes everything.
    let _ = man.render(&mut text);
    pages.push((man.get_filename(), with_lines(&String::from_utf8_lossy(&text))));
}

/// The text after the flags, which comes last, with its own line breaks: it is a list, or commands to type.
fn with_lines(page: &str) -> String {
    match page.split_once(".SH EXTRA\n") {
        Some((before, extra)) => format!("{before}.SH NOTES\n.nf\n{extra}.fi\n"),
        None => page.to_owned(),
    }
}
