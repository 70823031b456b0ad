//! `rkadm config print`.

use clap::{Args, Subcommand, ValueEnum};
use rkadm_core::{
    config::print::{self, Component},
    yaml,
};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Session, documents, exit::CommandError};

/// Which configuration.
#[derive(Debug, Subcommand)]
pub enum PrintCommand {
    /// Print the default configuration of `init`
    #[command(name = "init-defaults")]
    Init(InitDefaultsArgs),
    /// Print the default configuration of `join`
    #[command(name = "join-defaults")]
    Join,
    /// Print the default configuration of `reset`
    #[command(name = "reset-defaults")]
    Reset,
    /// Print the default configuration of `upgrade`
    #[command(name = "upgrade-defaults")]
    Upgrade,
}

/// What else is printed.
#[derive(Debug, Args)]
pub struct InitDefaultsArgs {
    /// Configurations of components to print too
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_enum)]
    component_configs: Vec<ComponentKind>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ComponentKind {
    #[value(name = "KubeletConfiguration")]
    Kubelet,
    #[value(name = "KubeProxyConfiguration")]
    KubeProxy,
}

/// The result for programs.
#[derive(Debug, Serialize)]
struct Defaults {
    documents: Vec<Value>,
}

/// Runs it.
pub fn run(session: &Session, command: &PrintCommand) -> Result<(), CommandError> {
    let documents = match command {
        PrintCommand::Init(args) => {
            let components = args.component_configs.iter().map(|kind| match kind {
                ComponentKind::Kubelet => Component::Kubelet,
                ComponentKind::KubeProxy => Component::KubeProxy,
            });
            print::init_defaults(&components.collect::<Vec<_>>())
        }
        PrintCommand::Join => print::join_defaults(),
        PrintCommand::Reset => Ok(print::reset_defaults()),
        PrintCommand::Upgrade => Ok(print::upgrade_defaults()),
    };
    let body = Defaults { documents: documents.map_err(|errors| documents::invalid(&errors))? };
    let human = || body.documents.iter().map(yaml::to_string).collect::<Vec<_>>().join("---\n");
    session.printer.result("ConfigurationDefaults", &body, human);
    Ok(())
}
