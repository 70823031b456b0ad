//! `rkadm config validate`.

use std::path::PathBuf;

use clap::Args;
use rkadm_core::{config::validate_documents, engine::Event};
use serde::Serialize;

use crate::cli::{
    Session, documents,
    exit::{CommandError, ExitKind},
};

/// What to check.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Configuration file (kubeadm.k8s.io/v1beta4); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// Taken for kubeadm's sake: rkadm knows no deprecated version of the configuration
    #[arg(long)]
    allow_deprecated_api: bool,
    /// Taken for kubeadm's sake: rkadm knows no experimental version of the configuration
    #[arg(long)]
    allow_experimental_api: bool,
}

/// The result.
#[derive(Debug, Serialize)]
struct Validation {
    /// The kinds that were found, in the order of the files.
    kinds: Vec<String>,
    warnings: Vec<String>,
}

/// Runs it. Works on any machine: nothing of it is looked at.
pub fn run(session: &Session, args: &ValidateArgs) -> Result<(), CommandError> {
    let loaded = documents::load(&args.config)?;
    if loaded.iter().next().is_none() {
        return Err(CommandError::new(
            ExitKind::InvalidConfig,
            "there is no configuration in what was given",
        )
        .hint(
            "a document needs apiVersion: kubeadm.k8s.io/v1beta4 and a kind such as ClusterConfiguration",
        ));
    }
    let warnings =
        validate_documents(&loaded, &super::any_machine()).map_err(|errors| documents::invalid(&errors))?;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    for message in &warnings {
        session.reporter.report(Event::Warning { message: message.clone() });
    }
    let kinds = loaded.iter().map(|document| document.kind.clone()).collect();
    session.printer.result("ConfigurationValidation", &Validation { kinds, warnings }, || "ok\n".to_owned());
    Ok(())
}
