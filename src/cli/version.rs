//! `rkadm version`.

use clap::Command;
use rkadm_core::version::ROWS;
use serde::Serialize;

use super::Session;

/// The result of `rkadm version`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    /// The newest patch known of each supported Kubernetes minor.
    kubernetes: Vec<String>,
}

/// The subcommand.
pub fn command() -> Command {
    Command::new("version").about("Print the version of rkadm and the Kubernetes versions that it knows")
}

/// Runs it.
pub fn run(session: &Session) {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        kubernetes: ROWS.iter().map(|row| row.newest().to_string()).collect(),
    };
    session.printer.result("Version", &version, || {
        format!("rkadm {}\nKubernetes {}\n", version.version, version.kubernetes.join(" "))
    });
}
