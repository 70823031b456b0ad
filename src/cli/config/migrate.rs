//! `rkadm config migrate`.

use std::path::{Path, PathBuf};

use clap::Args;
use rkadm_core::{
    config::migrate,
    engine::Event,
    host::{Actuator as _, LocalHost},
    yaml,
};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{
    API_TIMEOUT, Session, documents,
    exit::{CommandError, ExitKind},
    facts,
};

/// What to convert, and where to.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Configuration file to convert, of kubeadm.k8s.io/v1beta3 or v1beta4; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    old_config: PathBuf,
    /// File that the result is written to, readable by its owner only, because it may hold tokens; stdout when not set
    #[arg(long, value_name = "FILE")]
    new_config: Option<PathBuf>,
    /// Taken for kubeadm's sake: rkadm knows no experimental version of the configuration
    #[arg(long)]
    allow_experimental_api: bool,
}

/// Tokens and keys are in it.
const MODE: u32 = 0o600;

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Migration {
    /// The kinds that were written.
    kinds: Vec<Value>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_config: Option<PathBuf>,
    /// Absent when they are in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<Vec<Value>>,
}

/// Runs it. Of the machine, its name and address are taken where the file leaves them out, as kubeadm does.
pub async fn run(session: &Session, args: &MigrateArgs) -> Result<(), CommandError> {
    let source = documents::source("--old-config", &args.old_config)?;
    let loaded = migrate::load(&[source]).map_err(|errors| documents::invalid(&errors))?;
    if !loaded.iter().any(|document| document.api_version.starts_with("kubeadm.k8s.io/")) {
        return Err(CommandError::new(ExitKind::InvalidConfig, "there is nothing to convert in the file")
            .hint("it needs a document of kubeadm.k8s.io/v1beta3, such as ClusterConfiguration"));
    }
    let with_kubelet = !documents::names_version(&loaded);
    let facts =
        facts::gather(&session.host(API_TIMEOUT), with_kubelet).await.map_err(CommandError::failed)?;
    let completed = migrate::complete(&loaded, &facts).map_err(|errors| documents::invalid(&errors))?;
    let warnings: Vec<_> = completed.warnings.iter().map(ToString::to_string).collect();
    for message in &warnings {
        session.reporter.report(Event::Warning { message: message.clone() });
    }
    let text = completed.documents.iter().map(yaml::to_string).collect::<Vec<_>>().join("---\n");
    if let Some(path) = &args.new_config {
        write(path, &text).await?;
    }
    let migration = Migration {
        kinds: completed.documents.iter().map(|document| document["kind"].clone()).collect(),
        warnings,
        new_config: args.new_config.clone(),
        documents: args.new_config.is_none().then_some(completed.documents),
    };
    session.printer.result("ConfigurationMigration", &migration, || match &args.new_config {
        Some(path) => format!("written to {}\n", path.display()),
        None => text,
    });
    Ok(())
}

/// Replaces the file at once: the old and the new file may be the same. As with files that are read, a path is one of the
/// caller, not of the machine that is worked on.
async fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let path = std::path::absolute(path).map_err(CommandError::failed)?;
    LocalHost::new("/", API_TIMEOUT).write(&path, text.as_bytes(), MODE).await.map_err(|error| {
        CommandError::failed(error).hint("--new-config takes the path of a file in a directory that exists")
    })
}
