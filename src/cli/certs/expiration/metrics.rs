//! The result as metrics, in the text format that Prometheus' node_exporter collects from files.

use std::path::Path;

use jiff::Timestamp;
use rkadm_core::host::Actuator;

use rkadm_phases::expiration::{Expiration, Expirations};

use crate::cli::exit::CommandError;

/// The collector runs as another user.
const MODE: u32 = 0o644;

/// Replaces the file at once: the collector never sees half of it.
pub async fn write(host: &dyn Actuator, path: &Path, found: &Expirations) -> Result<(), CommandError> {
    let path = std::path::absolute(path).map_err(CommandError::failed)?;
    let text = text(found, Timestamp::now());
    host.write(&path, text.as_bytes(), MODE).await.map_err(|error| {
        CommandError::failed(error).hint("--prometheus takes the path of a file in a directory that exists")
    })
}

fn text(found: &Expirations, now: Timestamp) -> String {
    let all = || found.certificates.iter().chain(&found.certificate_authorities);
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: Vec<String>| {
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for sample in samples {
            text += &format!("{name}{sample}\n");
        }
    };
    family(
        "rkadm_certificate_expiration_timestamp_seconds",
        "When the certificate ends.",
        all().filter_map(|one| Some(format!("{} {}", labels(one), one.expires?.as_second()))).collect(),
    );
    family(
        "rkadm_certificate_unusable",
        "1 when the file is there and cannot be read as a certificate.",
        all()
            .filter(|one| !one.missing)
            .map(|one| format!("{} {}", labels(one), u8::from(one.error.is_some())))
            .collect(),
    );
    family(
        "rkadm_certificate_check_timestamp_seconds",
        "When the certificates were looked at.",
        vec![format!(" {}", now.as_second())],
    );
    text
}

/// Names are rkadm's own and need no escaping.
fn labels(one: &Expiration) -> String {
    match one.ca_name {
        Some(ca) => format!("{{name=\"{}\",ca=\"{ca}\"}}", one.name),
        None => format!("{{name=\"{}\"}}", one.name),
    }
}
