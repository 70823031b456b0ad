//! `rkadm config`.

mod defaults;
mod migrate;
mod schema;
mod validate;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use rkadm_core::config::{HostFacts, InitFlags, ResolvedInit, resolve_init};
use serde::Serialize;

use super::{Session, documents, exit::CommandError, pull};
use crate::output::note;

/// `rkadm config`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct ConfigArgs {
    /// Taken for kubeadm's sake: no cluster is asked
    #[arg(long, value_name = "FILE", global = true, hide = true)]
    kubeconfig: Option<PathBuf>,
    #[command(subcommand)]
    command: ConfigCommand,
}

/// What `rkadm config` can do.
#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Look at the container images of a cluster
    #[command(subcommand)]
    Images(ImagesCommand),
    /// Convert a configuration of kubeadm.k8s.io/v1beta3 to v1beta4
    Migrate(migrate::MigrateArgs),
    /// Print a configuration with every default written out, as a start for one's own
    #[command(subcommand)]
    Print(defaults::PrintCommand),
    /// Print the JSON Schema of configuration files, for editors
    Schema,
    /// Check configuration files, all kinds and every error at once
    Validate(validate::ValidateArgs),
}

/// What `rkadm config images` can do.
#[derive(Debug, Subcommand)]
enum ImagesCommand {
    /// Print the images that a configuration needs, a line each
    List(ImagesArgs),
    /// Pull the images that a configuration needs and that the container runtime does not hold
    Pull(pull::PullArgs),
}

/// Which images.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Configuration file (kubeadm.k8s.io/v1beta4); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Feature gates, `Name=true,…`
    #[arg(long, value_name = "GATES")]
    feature_gates: Option<String>,
    /// Container registry to pull control plane images from [default: registry.k8s.io]
    #[arg(long, value_name = "REGISTRY")]
    image_repository: Option<String>,
    /// Kubernetes version of the control plane; the newest known when not set
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
}

/// The result of `rkadm config images list`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Images {
    images: Vec<String>,
}

/// Runs it.
pub async fn run(session: &Session, args: &ConfigArgs) -> Result<(), CommandError> {
    match &args.command {
        ConfigCommand::Images(ImagesCommand::List(args)) => {
            let images = Images { images: resolve(args, None, &any_machine())?.images() };
            session.printer.result("Images", &images, || images.images.join("\n") + "\n");
            Ok(())
        }
        ConfigCommand::Images(ImagesCommand::Pull(args)) => pull::run(session, args).await,
        ConfigCommand::Migrate(args) => migrate::run(session, args).await,
        ConfigCommand::Print(command) => defaults::run(session, command),
        ConfigCommand::Schema => {
            schema::run();
            Ok(())
        }
        ConfigCommand::Validate(args) => validate::run(session, args),
    }
}

/// The configuration that the images are of.
pub fn resolve(
    args: &ImagesArgs,
    cri_socket: Option<String>,
    facts: &HostFacts,
) -> Result<ResolvedInit, CommandError> {
    let documents = documents::load(&args.config)?;
    let mut flags = InitFlags { cri_socket, ..InitFlags::default() };
    let given = [
        ("--feature-gates", &args.feature_gates, &mut flags.feature_gates),
        ("--image-repository", &args.image_repository, &mut flags.image_repository),
        ("--kubernetes-version", &args.kubernetes_version, &mut flags.kubernetes_version),
    ];
    for (name, value, flag) in given.into_iter().filter(|(_, value, _)| value.is_some()) {
        // As with kubeadm, whose scripts give both.
        if documents.given() {
            note(&format!("Warning: {name} is not used: the configuration file says what is needed"));
        } else {
            flag.clone_from(value);
        }
    }
    resolve_init(&documents, &flags, facts).map_err(|errors| documents::invalid(&errors))
}

/// Images do not depend on the machine: the list is the same on a laptop without a network or a container runtime. The
/// addresses are of those reserved for examples (RFC 5737 and 3849).
pub fn any_machine() -> HostFacts {
    HostFacts {
        hostname: "node".into(),
        default_ipv4: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        default_ipv6: Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
        ..HostFacts::default()
    }
}
