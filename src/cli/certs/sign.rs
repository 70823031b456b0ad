//! `rkadm certs sign`: the certificates that requests ask for, where the authority's key is. It needs no cluster.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rkadm_core::{
    config::GoDuration,
    engine::Event,
    host::{Actuator, LocalHost, Probe},
    kubeconfig::{Kubeconfig, list as kubeconfigs},
    pki::{
        CertUsage, Certificate, PrivateKey, ReceivedRequest, issue_for,
        list::{CERT_MODE, ENTRIES, KEY_MODE, LEAF_VALIDITY},
    },
};
use serde::Serialize;

use crate::cli::{Session, exit::CommandError, exit::ExitKind};

/// What to sign, and with what.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Signing requests (PEM); each certificate is written beside its request, NAME.crt for NAME.csr
    #[arg(required = true, value_name = "CSR")]
    requests: Vec<PathBuf>,
    /// Directory of the authorities, laid out as /etc/kubernetes/pki: a request's file name tells which one signs it
    #[arg(long, value_name = "DIR", required_unless_present = "ca_cert")]
    ca_dir: Option<PathBuf>,
    /// Certificate of the authority that signs all of them
    #[arg(long, value_name = "FILE", requires = "ca_key", conflicts_with = "ca_dir")]
    ca_cert: Option<PathBuf>,
    /// Key of that authority
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// What the certificates may be used for [default: known by kubeadm's file names]
    #[arg(long, value_enum)]
    usage: Option<Usage>,
    /// How long they are valid
    #[arg(long, value_name = "DURATION")]
    validity_period: Option<GoDuration>,
    /// Write the certificate to FILE; for a single request
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Check everything and show what would be signed; write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Usage {
    /// Authenticates a TLS client
    Client,
    /// Authenticates a TLS server
    Server,
    /// Both, as etcd members need
    ServerClient,
}

impl From<Usage> for CertUsage {
    fn from(usage: Usage) -> Self {
        match usage {
            Usage::Client => Self::Client,
            Usage::Server => Self::Server,
            Usage::ServerClient => Self::ServerClient,
        }
    }
}

/// The result.
#[derive(Debug, Serialize)]
struct Signed {
    /// They are only shown.
    #[serde(rename = "dryRun", skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    certificates: Vec<One>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct One {
    request: PathBuf,
    certificate: PathBuf,
    common_name: String,
    organizations: Vec<String>,
    names: Vec<String>,
    #[serde(rename = "expirationDate")]
    expires: Timestamp,
    /// The kubeconfig beside the request that the certificate was put into.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
}

/// Runs it. All requests are read and checked before the first certificate is written.
pub async fn run(session: &Session, args: &SignArgs) -> Result<(), CommandError> {
    if args.out.is_some() && args.requests.len() > 1 {
        return Err(CommandError::new(ExitKind::Usage, "--out is for a single request"));
    }
    let host = session.host(crate::cli::API_TIMEOUT);
    let mut ready = vec![];
    for path in &args.requests {
        ready.push(Prepared::read(&host, args, path).await?);
    }
    let mut certificates = vec![];
    for one in ready {
        certificates.push(one.write(session, &host, args.dry_run).await?);
    }
    let signed = Signed { dry_run: args.dry_run, certificates };
    let verb = if args.dry_run { "would sign " } else { "" };
    session.printer.result("SignedCertificates", &signed, || {
        signed.certificates.iter().flat_map(|one| [verb.to_owned(), text(one)]).collect()
    });
    Ok(())
}

fn text(one: &One) -> String {
    let groups: Vec<_> = one.organizations.iter().map(|group| format!(" O={group}")).collect();
    let groups = groups.concat();
    let names = if one.names.is_empty() { String::new() } else { format!(", for {}", one.names.join(" ")) };
    let into = one.kubeconfig.as_ref().map(|path| format!(", also in {}", path.display()));
    format!(
        "{}: CN={}{groups}{names}, valid until {}{}\n",
        one.certificate.display(),
        one.common_name,
        one.expires.strftime("%b %d, %Y %H:%M UTC"),
        into.unwrap_or_default()
    )
}

/// A certificate that is signed but not written yet.
struct Prepared {
    path: PathBuf,
    out: PathBuf,
    request: ReceivedRequest,
    certificate: Certificate,
    kubeconfig: Option<(PathBuf, Kubeconfig)>,
}

impl Prepared {
    async fn read(host: &LocalHost, args: &SignArgs, path: &Path) -> Result<Self, CommandError> {
        let request =
            ReceivedRequest::from_pem(&read(host, path).await?).map_err(|error| unusable(path, &error))?;
        let known = known(path);
        let Some(usage) = args.usage.map(CertUsage::from).or(known.map(|known| known.usage)) else {
            let message = format!("what {} is for is not known from its name", path.display());
            return Err(CommandError::new(ExitKind::Usage, message)
                .hint("say it: --usage client, server or server-client"));
        };
        let (ca, ca_key) = authority(host, args, known.map_or("ca", |known| known.ca)).await?;
        let validity = args.validity_period.map_or(LEAF_VALIDITY, GoDuration::as_std);
        if validity.is_zero() {
            return Err(CommandError::new(ExitKind::Usage, "--validity-period must be longer than nothing"));
        }
        let certificate = issue_for(&request, &request.spec(usage, validity), &ca, &ca_key, Timestamp::now())
            .map_err(|error| unusable(path, &error))?;
        let out = args.out.clone().unwrap_or_else(|| path.with_extension("crt"));
        if host.stat(&out).await.map_err(CommandError::failed)?.is_some() {
            return Err(CommandError::failed(format!("{} is there already", out.display()))
                .hint("move it away, or name another file with --out"));
        }
        let kubeconfig = beside(host, path, &request).await?;
        Ok(Self { path: path.to_owned(), out, request, certificate, kubeconfig })
    }

    async fn write(
        mut self,
        session: &Session,
        host: &LocalHost,
        dry_run: bool,
    ) -> Result<One, CommandError> {
        if self.request.organizations().iter().any(|group| group == "system:masters") {
            let message = format!(
                "{}: whoever holds this key may do anything in the cluster, and RBAC cannot take it back",
                self.out.display()
            );
            session.reporter.report(Event::Warning { message });
        }
        let pem = self.certificate.to_pem();
        if !dry_run {
            host.write(&self.out, pem.as_bytes(), CERT_MODE).await.map_err(CommandError::failed)?;
        }
        let mut into = None;
        if let Some((path, file)) = &mut self.kubeconfig
            && let Ok(Some(key)) = file.current().and_then(|(_, user)| user.key())
            && file.embed_client(&self.certificate, &key)
        {
            let text = file.to_yaml();
            if !dry_run {
                host.write(path, text.as_bytes(), KEY_MODE).await.map_err(CommandError::failed)?;
            }
            into = Some(path.clone());
        }
        let sans = self.certificate.sans();
        let names = sans.dns.iter().cloned().chain(sans.ips.iter().map(ToString::to_string)).collect();
        Ok(One {
            request: self.path,
            certificate: self.out,
            common_name: self.certificate.common_name().to_owned(),
            organizations: self.certificate.organizations().to_vec(),
            names,
            expires: self.certificate.not_after(),
            kubeconfig: into,
        })
    }
}

/// What a request is for, by the name of its file.
#[derive(Clone, Copy)]
struct Known {
    usage: CertUsage,
    /// Base name of the authority.
    ca: &'static str,
}

fn known(path: &Path) -> Option<Known> {
    let name = path.file_name()?.to_str()?;
    if kubeconfigs::FILES.iter().any(|spec| name == format!("{}.csr", spec.file)) {
        return Some(Known { usage: CertUsage::Client, ca: "ca" });
    }
    let entry = ENTRIES.iter().find(|entry| !entry.is_ca() && path.ends_with(entry.csr_file()))?;
    Some(Known { usage: entry.usage, ca: entry.ca?.base_name })
}

async fn authority(
    host: &LocalHost,
    args: &SignArgs,
    base_name: &str,
) -> Result<(Certificate, PrivateKey), CommandError> {
    let of_dir = |extension| {
        let dir = args.ca_dir.clone().unwrap_or_default();
        dir.join(format!("{base_name}.{extension}"))
    };
    let cert_path = args.ca_cert.clone().unwrap_or_else(|| of_dir("crt"));
    let key_path = args.ca_key.clone().unwrap_or_else(|| of_dir("key"));
    let ca = Certificate::from_pem(&read(host, &cert_path).await?)
        .map_err(|error| unusable(&cert_path, &error))?;
    let key =
        PrivateKey::from_pem(&read(host, &key_path).await?).map_err(|error| unusable(&key_path, &error))?;
    if !key.matches(&ca) {
        let message = format!("{} does not belong to {}", key_path.display(), cert_path.display());
        return Err(CommandError::failed(message).hint("bring the key and the certificate of one authority"));
    }
    if ca.not_after() <= Timestamp::now() {
        let message = format!("{} expired on {}", cert_path.display(), ca.not_after());
        return Err(CommandError::failed(message)
            .hint("nothing that it signs is accepted: the cluster needs a new authority first"));
    }
    Ok((ca, key))
}

/// The kubeconfig that waits for this certificate. Any key beside the request must be the one that it is for.
async fn beside(
    host: &LocalHost,
    path: &Path,
    request: &ReceivedRequest,
) -> Result<Option<(PathBuf, Kubeconfig)>, CommandError> {
    let foreign = |key: &Path| {
        let message = format!("{} and {} do not belong together", path.display(), key.display());
        CommandError::failed(message).hint("have a request made for this key: `rkadm certs generate-csr`")
    };
    let key_path = path.with_extension("key");
    if let Some(pem) = host.read(&key_path).await.map_err(CommandError::failed)? {
        let key = PrivateKey::from_pem(&pem).map_err(|error| unusable(&key_path, &error))?;
        return if request.is_for(&key) { Ok(None) } else { Err(foreign(&key_path)) };
    }
    // `admin.conf` for `admin.conf.csr`.
    let conf = path.with_extension("");
    if conf.extension().is_none_or(|extension| extension != "conf") {
        return Ok(None);
    }
    let Some(text) = host.read(&conf).await.map_err(CommandError::failed)? else { return Ok(None) };
    let file =
        Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)).map_err(|error| unusable(&conf, &error))?;
    match file.current().and_then(|(_, user)| user.key()).map_err(|error| unusable(&conf, &error))? {
        Some(key) if request.is_for(&key) => Ok(Some((conf, file))),
        Some(_) => Err(foreign(&conf)),
        None => Ok(None),
    }
}

async fn read(host: &LocalHost, path: &Path) -> Result<Vec<u8>, CommandError> {
    let bytes = host.read(path).await.map_err(CommandError::failed)?;
    bytes.ok_or_else(|| CommandError::failed(format!("{} is missing", path.display())))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> CommandError {
    CommandError::failed(format!("{} cannot be used: {why}", path.display()))
}
