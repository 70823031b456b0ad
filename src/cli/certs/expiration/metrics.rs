//! The result as metrics, in the text format that Prometheus' node_exporter collects from files.

use std::path::Path;

use jiff::Timestamp;
use rkadm_core::host::Actuator;
use rkadm_phases::expiration::{Expiration, Expirations};

use crate::cli::{exit::CommandError, metrics::replace};

/// Replaces the file at once: the collector never sees half of it.
pub async fn write(host: &dyn Actuator, path: &Path, found: &Expirations) -> Result<(), CommandError> {
    replace(host, path, |_| text(found, Timestamp::now())).await
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
