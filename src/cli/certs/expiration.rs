//! `rkadm certs check-expiration`: when the certificates of this control plane end. It reads files and nothing else, so it
//! works when the API server does not.

mod metrics;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    config::GoDuration,
    host::Probe,
    kubeconfig::{Kubeconfig, list as kubeconfigs},
    pki::{
        Certificate,
        list::{self as certificates, CertEntry, DEFAULT_DIR},
    },
};
use rkadm_phases::init::Cluster;
use serde::Serialize;

use crate::{
    cli::{
        Session,
        exit::{CommandError, ExitKind},
    },
    output::text,
};

/// Where to look, and when to complain.
#[derive(Debug, Args)]
pub struct ExpirationArgs {
    /// Directory of the certificates
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    cert_dir: PathBuf,
    /// Exit with 1 when a certificate has expired, expires within this time, or cannot be read; `720h` for a month
    #[arg(long, value_name = "DURATION")]
    fail_within: Option<GoDuration>,
    /// Also write the result as metrics to FILE, for the textfile collector of Prometheus' node_exporter (NAME.prom)
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

/// The result; a certificate's fields are those of kubeadm's `CertificateExpirationInfo`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Expirations {
    certificates: Vec<Expiration>,
    certificate_authorities: Vec<Expiration>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Expiration {
    name: String,
    #[serde(rename = "expirationDate")]
    expires: Option<Timestamp>,
    /// Seconds until then; negative when it has expired, 0 when it is not known.
    residual_time: i64,
    /// The key of the authority is not on this machine, so nothing here can renew it.
    externally_managed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_name: Option<&'static str>,
    missing: bool,
    /// Why the file cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs it.
pub async fn run(session: &Session, args: &ExpirationArgs) -> Result<(), CommandError> {
    let host = session.host(crate::cli::API_TIMEOUT);
    let found = Files { host: &host, dir: &args.cert_dir, now: Timestamp::now() }
        .read()
        .await
        .map_err(CommandError::failed)?;
    session.printer.result("CertificateExpiration", &found, || human(&found));
    if let Some(path) = &args.prometheus {
        metrics::write(&host, path, &found).await?;
    }
    let Some(limit) = args.fail_within else { return Ok(()) };
    let due = found.due(limit);
    if due.is_empty() {
        return Ok(());
    }
    let message = format!("{} must be looked after", text::count(due.len(), "certificate"));
    Err(CommandError { details: due, ..CommandError::new(ExitKind::Failed, message) })
}

/// The files of a control plane.
struct Files<'a> {
    host: &'a dyn Probe,
    dir: &'a Path,
    now: Timestamp,
}

impl Files<'_> {
    async fn read(&self) -> Result<Expirations, rkadm_core::host::HostError> {
        let local_etcd = self.has_local_etcd().await?;
        let mut found = Expirations { certificates: vec![], certificate_authorities: vec![] };
        let mut signers = Signers { files: self, keys: BTreeMap::new() };
        for entry in certificates::ENTRIES {
            if entry.needs_local_etcd() && !local_etcd {
                continue;
            }
            let file = self.host.read(&self.dir.join(entry.cert_file())).await?;
            let certificate = file.map(|pem| Certificate::from_pem(&pem).map_err(|error| error.to_string()));
            let elsewhere = signers.is_elsewhere(entry.ca.unwrap_or(entry)).await?;
            let list =
                if entry.is_ca() { &mut found.certificate_authorities } else { &mut found.certificates };
            list.push(self.expiration(entry.id, entry.ca, elsewhere, certificate));
        }
        let ca = certificates::entry("ca");
        for spec in kubeconfigs::FILES.iter().filter(|spec| spec.renewable) {
            let Some(ca) = ca else { continue };
            let file = self.host.read(&Cluster::kubeconfig(spec.file)).await?;
            let certificate = file.and_then(|yaml| client_certificate(&yaml));
            let elsewhere = signers.is_elsewhere(ca).await?;
            found.certificates.push(self.expiration(spec.file, Some(ca), elsewhere, certificate));
        }
        found.certificates.sort_by(|a, b| a.name.cmp(&b.name));
        found.certificate_authorities.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// With external etcd there are neither its static pod nor certificates of its own.
    async fn has_local_etcd(&self) -> Result<bool, rkadm_core::host::HostError> {
        Ok(self.host.stat(&Cluster::manifest("etcd.yaml")).await?.is_some()
            || self.host.stat(&self.dir.join("etcd/server.crt")).await?.is_some())
    }

    fn expiration(
        &self,
        name: &str,
        ca: Option<&CertEntry>,
        externally_managed: bool,
        certificate: Option<Result<Certificate, String>>,
    ) -> Expiration {
        let missing = certificate.is_none();
        let (expires, error) = match certificate {
            None => (None, None),
            Some(Ok(certificate)) => (Some(certificate.not_after()), None),
            Some(Err(error)) => (None, Some(error)),
        };
        Expiration {
            name: name.to_owned(),
            expires,
            residual_time: expires.map_or(0, |date| date.duration_since(self.now).as_secs()),
            externally_managed,
            ca_name: ca.map(|ca| ca.id),
            missing,
            error,
        }
    }
}

/// Where the keys of the authorities are; each is looked for once.
struct Signers<'a> {
    files: &'a Files<'a>,
    keys: BTreeMap<&'static str, bool>,
}

impl Signers<'_> {
    /// The key is not on this machine.
    async fn is_elsewhere(&mut self, ca: &CertEntry) -> Result<bool, rkadm_core::host::HostError> {
        if let Some(elsewhere) = self.keys.get(ca.id) {
            return Ok(*elsewhere);
        }
        let elsewhere = self.files.host.stat(&self.files.dir.join(ca.key_file())).await?.is_none();
        self.keys.insert(ca.id, elsewhere);
        Ok(elsewhere)
    }
}

/// The certificate of a kubeconfig's user; none where the user is known by something else.
fn client_certificate(yaml: &[u8]) -> Option<Result<Certificate, String>> {
    let read = || {
        let text = std::str::from_utf8(yaml).map_err(|error| error.to_string())?;
        let file = Kubeconfig::from_yaml(text).map_err(|error| error.to_string())?;
        let (_, user) = file.current().map_err(|error| error.to_string())?;
        user.certificate().map_err(|error| error.to_string())
    };
    read().transpose()
}

impl Expirations {
    /// Those that are expired, about to, or unusable, a line each. What is missing may be meant to be:
    /// `super-admin.conf` is on the first control plane only.
    fn due(&self, limit: GoDuration) -> Vec<String> {
        let limit = i64::try_from(limit.as_std().as_secs()).unwrap_or(i64::MAX);
        let all = self.certificates.iter().chain(&self.certificate_authorities);
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
