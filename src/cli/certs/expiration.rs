//! `rkadm certs check-expiration`: when the certificates of this control plane end. It reads files and nothing else, so it
//! works when the API server does not.

mod metrics;

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use rkadm_core::config::{GoDuration, document::Document};
use rkadm_phases::expiration::{Expiration, Expirations};

use crate::{
    cli::{
        Session, documents,
        exit::{CommandError, ExitKind},
    },
    output::text,
};

/// Where to look, and when to complain.
#[derive(Debug, Args)]
pub struct ExpirationArgs {
    /// Directory of the certificates [default: that of --config, of this machine's API server, or /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Configuration file whose `certificatesDir` is looked at; may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Taken for kubeadm's sake: no cluster is asked
    #[arg(long, value_name = "FILE", hide = true)]
    kubeconfig: Option<PathBuf>,
    /// Exit with 1 when a certificate has expired, expires within this time, or cannot be read; `720h` for a month
    #[arg(long, value_name = "DURATION")]
    fail_within: Option<GoDuration>,
    /// Also write the result as metrics to FILE, for the textfile collector of Prometheus' node_exporter (NAME.prom)
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

/// Runs it.
pub async fn run(session: &Session, args: &ExpirationArgs) -> Result<(), CommandError> {
    let host = session.host(crate::cli::API_TIMEOUT);
    let dir = match cert_dir(args)? {
        Some(dir) => dir,
        None => super::own_dir(&host).await,
    };
    let found = Expirations::read(&host, &dir, Timestamp::now()).await.map_err(CommandError::failed)?;
    session.printer.result("CertificateExpiration", &found, || human(&found));
    if let Some(path) = &args.prometheus {
        metrics::write(&host, path, &found).await?;
    }
    let Some(limit) = args.fail_within else { return Ok(()) };
    let due = due(&found, limit);
    if due.is_empty() {
        return Ok(());
    }
    let message = format!("{} must be looked after", text::count(due.len(), "certificate"));
    Err(CommandError { details: due, ..CommandError::new(ExitKind::Failed, message).after_result() })
}

/// The directory of the flag or of the configuration.
fn cert_dir(args: &ExpirationArgs) -> Result<Option<PathBuf>, CommandError> {
    let documents = documents::load(&args.config)?;
    if let Some(dir) = &args.cert_dir {
        return Ok(Some(dir.clone()));
    }
    let cluster = documents.find("ClusterConfiguration").map(Document::to_value);
    let dir = cluster.and_then(|cluster| cluster["certificatesDir"].as_str().map(str::to_owned));
    Ok(dir.filter(|dir| !dir.is_empty()).map(PathBuf::from))
}

/// Those that are expired, about to, or unusable, a line each. What is missing may be meant to be:
/// `super-admin.conf` is on the first control plane only.
fn due(found: &Expirations, limit: GoDuration) -> Vec<String> {
    let limit = i64::try_from(limit.as_std().as_secs()).unwrap_or(i64::MAX);
    let all = found.certificates.iter().chain(&found.certificate_authorities);
    all.filter_map(|one| match (&one.error, one.expires) {
        (Some(error), _) => Some(format!("{} cannot be read: {error}", one.name)),
        (None, Some(date)) if one.residual_time <= 0 => {
            Some(format!("{} expired on {}", one.name, day(date)))
        }
        (None, Some(date)) if one.residual_time <= limit => {
            Some(format!("{} expires on {}", one.name, day(date)))
        }
        _ => None,
    })
    .collect()
}

fn day(date: Timestamp) -> String {
    date.strftime("%b %d, %Y %H:%M UTC").to_string()
}

/// kubeadm's two tables, and what cannot be read below them.
fn human(found: &Expirations) -> String {
    let title = |one: &Expiration| match (&one.error, one.missing) {
        (Some(_), _) => format!("!UNUSABLE! {}", one.name),
        (None, true) => format!("!MISSING! {}", one.name),
        (None, false) => one.name.clone(),
    };
    let row = |one: &Expiration| {
        let ca = one.ca_name.map(str::to_owned);
        let Some(date) = one.expires else {
            // As many columns as the others have.
            let blank = std::iter::repeat_n(String::new(), if ca.is_some() { 4 } else { 3 });
            return std::iter::once(title(one)).chain(blank).collect();
        };
        let managed = if one.externally_managed { "yes" } else { "no" };
        let first = [title(one), day(date), residual(one.residual_time)];
        first.into_iter().chain(ca).chain([managed.to_owned()]).collect::<Vec<_>>()
    };
    let rows = |list: &[Expiration]| list.iter().map(row).collect();
    let mut tables = text::table(
        &["CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "CERTIFICATE AUTHORITY", "EXTERNALLY MANAGED"],
        rows(&found.certificates),
    );
    tables += "\n";
    tables += &text::table(
        &["CERTIFICATE AUTHORITY", "EXPIRES", "RESIDUAL TIME", "EXTERNALLY MANAGED"],
        rows(&found.certificate_authorities),
    );
    for one in found.certificates.iter().chain(&found.certificate_authorities) {
        if let Some(error) = &one.error {
            tables += &format!("\n{}: {error}\n", one.name);
        }
    }
    tables
}

/// The largest unit that fits, as kubeadm rounds it: `364d`, `9y`.
fn residual(seconds: i64) -> String {
    let time = SignedDuration::from_secs(seconds);
    let hours = time.as_hours();
    match seconds {
        ..=0 => "expired".into(),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", time.as_mins()),
        3_600..86_400 => format!("{hours}h"),
        86_400..31_536_000 => format!("{}d", hours / 24),
        _ => format!("{}y", hours / 24 / 365),
    }
}
