//! `rkadm config`.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use rkadm_core::config::{HostFacts, InitFlags, resolve_init};
use serde::Serialize;

use super::{Session, documents, exit::CommandError};

/// What `rkadm config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Look at the container images of a cluster
    #[command(subcommand)]
    Images(ImagesCommand),
}

/// What `rkadm config images` can do.
#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// Print the images that a configuration needs, a line each
    List(ImagesArgs),
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
pub fn run(session: &Session, command: &ConfigCommand) -> Result<(), CommandError> {
    let ConfigCommand::Images(ImagesCommand::List(args)) = command;
    let images = images(args)?;
    session.printer.result("Images", &images, || images.images.join("\n") + "\n");
    Ok(())
}

fn images(args: &ImagesArgs) -> Result<Images, CommandError> {
    let documents = documents::load(&args.config)?;
    let flags = InitFlags {
        feature_gates: args.feature_gates.clone(),
        image_repository: args.image_repository.clone(),
        kubernetes_version: args.kubernetes_version.clone(),
        ..InitFlags::default()
    };
    let config =
        resolve_init(&documents, &flags, &any_machine()).map_err(|errors| documents::invalid(&errors))?;
    Ok(Images { images: config.images() })
}

/// Images do not depend on the machine: the list is the same on a laptop without a network or a container runtime. The
/// address is one of those reserved for examples (RFC 5737).
pub fn any_machine() -> HostFacts {
    HostFacts {
        hostname: "node".into(),
        default_ipv4: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        ..HostFacts::default()
    }
}
