//! `rkadm version`.

use clap::Command;
use rkadm_core::version::{NEWEST, ROWS};
use serde::Serialize;

use super::Session;

/// The result of `rkadm version`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    /// What scripts ask kubeadm for: the newest Kubernetes that it deploys.
    client_version: ClientVersion,
    version: &'static str,
    /// The newest patch known of each supported Kubernetes minor.
    kubernetes: Vec<String>,
}

/// Of kubeadm's fields, those that say something here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientVersion {
    major: String,
    minor: String,
    git_version: String,
    platform: String,
}

/// The subcommand.
pub fn command() -> Command {
    Command::new("version").about("Print the version of rkadm and the Kubernetes versions that it knows")
}

/// Runs it.
pub fn run(session: &Session, short: bool) {
    let newest = NEWEST.newest();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let version = Known {
        client_version: ClientVersion {
            major: newest.major().to_string(),
            minor: newest.minor().to_string(),
            git_version: newest.to_string(),
            platform: format!("{}/{architecture}", std::env::consts::OS),
        },
        version: env!("CARGO_PKG_VERSION"),
        kubernetes: ROWS.iter().map(|row| row.newest().to_string()).collect(),
    };
    session.printer.result("Version", &version, || {
        if short {
            return format!("{newest}\n");
        }
        format!("rkadm {}\nKubernetes {}\n", version.version, version.kubernetes.join(" "))
    });
}
