//! `rkadm completion`.

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::exit::{CommandError, ExitKind};
use crate::output;

/// The subcommand.
pub fn command() -> Command {
    Command::new("completion")
        .about("Print the script that completes commands and flags in a shell")
        .after_help(
            "bash, for this shell:  source <(rkadm completion bash)\n\
             bash, from now on:     rkadm completion bash > /etc/bash_completion.d/rkadm\n\
             zsh, from now on:      rkadm completion zsh > \"${fpath[1]}/_rkadm\"\n\
             fish, from now on:     rkadm completion fish > ~/.config/fish/completions/rkadm.fish",
        )
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("The shell that the script is for"),
        )
}

/// Runs it. The script is for a shell, whatever `--output` says.
pub fn run(matches: &ArgMatches) -> Result<(), CommandError> {
    let shell = *matches
        .get_one::<Shell>("shell")
        .ok_or_else(|| CommandError::new(ExitKind::Usage, "no shell is named"))?;
    let mut script = vec![];
    clap_complete::generate(shell, &mut super::command(), "rkadm", &mut script);
    output::plain(&String::from_utf8_lossy(&script));
    Ok(())
}
