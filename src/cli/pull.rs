//! `rkadm config images pull`.

use clap::Args;
use futures::future::join_all;
use rkadm_core::{
    config::{HostFacts, types::ImagePullPolicy},
    host::{
        Probe as _,
        images::{Pull, pull_images},
    },
};
use serde::Serialize;

use super::{
    API_TIMEOUT, Session,
    config::{ImagesArgs, any_machine, resolve},
    exit::CommandError,
    facts,
};
use crate::output::{note, text::count};

/// Which images, and where to.
#[derive(Debug, Args)]
pub struct PullArgs {
    #[command(flatten)]
    images: ImagesArgs,
    /// Socket of the container runtime; found by itself when there is one
    #[arg(long, value_name = "URL")]
    cri_socket: Option<String>,
    /// Show which images would be pulled; pull none
    #[arg(long)]
    dry_run: bool,
}

/// The result of `rkadm config images pull`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PulledImages {
    /// They are only looked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    images: Vec<PulledImage>,
}

#[derive(Debug, Serialize)]
struct PulledImage {
    image: String,
    outcome: Outcome,
}

/// What has become of an image.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It was pulled.
    Pulled,
    /// It was there.
    Present,
    /// It would be pulled.
    ToPull,
}

/// Runs it.
pub async fn run(session: &Session, args: &PullArgs) -> Result<(), CommandError> {
    let host = session.host(API_TIMEOUT);
    let found = facts::gather(&host, false).await.map_err(CommandError::failed)?;
    // Of this machine, only the runtime matters.
    let facts = HostFacts { cri_sockets: found.cri_sockets, ..any_machine() };
    let config = resolve(&args.images, args.cri_socket.clone(), &facts)?;
    let socket = &config.node_registration.cri_socket;
    host.runtime_version(socket).await.map_err(|error| {
        CommandError::failed(format!("the container runtime does not answer: {error}"))
            .detail("No image was pulled.")
            .hint("install and start a container runtime such as containerd, or name its socket with --cri-socket; its socket is for root")
    })?;
    let names = config.images();
    note(&format!("looking for {}", count(names.len(), "image")));
    let always = config.node_registration.image_pull_policy == Some(ImagePullPolicy::Always);
    let results: Vec<_> = if args.dry_run {
        let looked = join_all(names.iter().map(|image| host.image_present(socket, image))).await;
        let outcome = |here| if here && !always { Outcome::Present } else { Outcome::ToPull };
        looked.into_iter().map(|here| here.map(outcome)).collect()
    } else {
        let pulled = pull_images(&host, socket, &names, always).await;
        let outcome = |pull| match pull {
            Pull::Pulled => Outcome::Pulled,
            Pull::Present => Outcome::Present,
        };
        pulled.into_iter().map(|pull| pull.map(outcome)).collect()
    };
    let (mut images, mut failed) = (vec![], vec![]);
    for (image, result) in names.into_iter().zip(results) {
        match result {
            Ok(outcome) => images.push(PulledImage { image, outcome }),
            Err(error) => failed.push(format!("{image}: {error}")),
        }
    }
    if args.dry_run && !failed.is_empty() {
        let message = format!(
            "the container runtime does not say of {} whether it has it",
            count(failed.len(), "image")
        );
        return Err(CommandError { details: failed, ..CommandError::failed(message) });
    }
    if !failed.is_empty() {
        let message = format!("{} could not be pulled", count(failed.len(), "image"));
        let kept = format!("{} of {} are here.", images.len(), images.len() + failed.len());
        return Err(CommandError { details: failed, ..CommandError::failed(message) }.detail(kept).hint(
            "check that the registry can be reached from this machine, or name another with --image-repository",
        ));
    }
    let pulled = PulledImages { dry_run: args.dry_run, images };
    session.printer.result("PulledImages", &pulled, || {
        let lines: Vec<_> = pulled.images.iter().map(line).collect();
        lines.join("\n") + "\n"
    });
    Ok(())
}

fn line(image: &PulledImage) -> String {
    match image.outcome {
        Outcome::Pulled => format!("[config/images] Pulled {}", image.image),
        Outcome::Present => format!("[config/images] Present {}", image.image),
        Outcome::ToPull => format!("[config/images] Would pull {}", image.image),
    }
}
