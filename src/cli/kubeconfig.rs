//! `rkadm kubeconfig`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use rkadm_core::{
    config::{GoDuration, InitFlags, resolve_init},
    engine::Event,
    host::Probe,
    kubeconfig::{self, Credentials, Kubeconfig},
    pki::{CertSpec, CertUsage, Certificate, KeyAlgorithm, PrivateKey, Sans, issue, list::LEAF_VALIDITY},
    yaml,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    API_TIMEOUT, Session,
    cluster::ADMIN_CONF,
    documents,
    exit::{CommandError, ExitKind},
    facts,
};

/// Whoever is in it may do anything, and no RBAC object takes that away.
const MASTERS: &str = "system:masters";

/// What `rkadm kubeconfig` can do.
#[derive(Debug, Subcommand)]
pub enum KubeconfigCommand {
    /// Print a kubeconfig for an additional user
    ///
    /// The cluster's CA, on this machine, signs a client certificate for the user; RBAC says what the user may do. A
    /// certificate cannot be taken back before it expires, so keep it short-lived.
    User(UserArgs),
}

/// For whom.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// Name of the user: the certificate's common name
    #[arg(long, value_name = "NAME")]
    client_name: String,
    /// Configuration file (kubeadm.k8s.io/v1beta4) of the cluster; without one, the server and the name of the cluster are
    /// those of /etc/kubernetes/admin.conf
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Groups of the user: the certificate's organizations
    #[arg(long, value_name = "GROUP,…", value_delimiter = ',')]
    org: Vec<String>,
    /// Token that the user is known by, instead of a client certificate
    #[arg(long, value_name = "TOKEN", conflicts_with = "validity_period")]
    token: Option<String>,
    /// How long the certificate is valid [default: 8760h0m0s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    validity_period: Option<GoDuration>,
}

/// The result for programs.
#[derive(Debug, Serialize)]
struct UserKubeconfig {
    kubeconfig: Value,
}

/// Which cluster.
struct Target {
    name: String,
    server: String,
    dir: PathBuf,
    /// `None` for that of the authority's key.
    algorithm: Option<KeyAlgorithm>,
}

/// Runs it.
pub async fn run(session: &Session, command: &KubeconfigCommand) -> Result<(), CommandError> {
    let KubeconfigCommand::User(args) = command;
    if args.client_name.trim().is_empty() {
        return Err(CommandError::new(ExitKind::Usage, "--client-name is empty: the user needs a name"));
    }
    let host = session.host(API_TIMEOUT);
    let target =
        if args.config.is_empty() { of_machine(&host).await? } else { of_files(&host, args).await? };
    let ca_path = target.dir.join("ca.crt");
    let ca_pem = read(&host, &ca_path).await?;
    let ca = Certificate::from_pem(&ca_pem).map_err(|error| unusable(&ca_path, &error))?;
    let credentials = |credentials: &Credentials<'_>| {
        kubeconfig::build(&target.name, &target.server, Some(&ca_pem), &args.client_name, credentials)
    };
    let file = if let Some(token) = &args.token {
        credentials(&Credentials::Token(token))
    } else {
        let (certificate, key) = sign(session, &host, &target, &ca, args).await?;
        credentials(&Credentials::Certificate(&certificate, &key))
    };
    let text = file.to_yaml();
    let body = || yaml::documents(&text).ok().and_then(|mut list| list.pop()).unwrap_or_default();
    session.printer.result("UserKubeconfig", &UserKubeconfig { kubeconfig: body() }, || text.to_string());
    Ok(())
}

async fn sign(
    session: &Session,
    host: &dyn Probe,
    target: &Target,
    ca: &Certificate,
    args: &UserArgs,
) -> Result<(Certificate, PrivateKey), CommandError> {
    let now = Timestamp::now();
    if ca.not_after() <= now {
        let message = format!("{} expired on {}", target.dir.join("ca.crt").display(), ca.not_after());
        return Err(CommandError::failed(message)
            .hint("nothing that it signs is accepted: the cluster needs a new authority first"));
    }
    let validity = args.validity_period.map_or(LEAF_VALIDITY, GoDuration::as_std);
    if validity.is_zero() {
        return Err(CommandError::new(ExitKind::Usage, "--validity-period must be longer than nothing"));
    }
    let key_path = target.dir.join("ca.key");
    let ca_key =
        PrivateKey::from_pem(&read(host, &key_path).await?).map_err(|error| unusable(&key_path, &error))?;
    if !ca_key.matches(ca) {
        let message = format!("{} is not the key of ca.crt beside it", key_path.display());
        return Err(CommandError::failed(message).hint("bring the key and the certificate of one authority"));
    }
    let spec = CertSpec {
        common_name: args.client_name.clone(),
        organizations: args.org.clone(),
        sans: Sans::default(),
        usage: CertUsage::Client,
        validity,
    };
    let algorithm = target.algorithm.or_else(|| ca_key.algorithm()).unwrap_or_default();
    let key = PrivateKey::generate(algorithm).map_err(CommandError::failed)?;
    let certificate = issue(&spec, &key, ca, &ca_key, now).map_err(CommandError::failed)?;
    let warn = |message: String| session.reporter.report(Event::Warning { message });
    if args.org.iter().any(|group| group == MASTERS) {
        warn(format!(
            "group {MASTERS}: whoever holds this file may do anything, and RBAC cannot take it back"
        ));
    }
    if certificate.not_after() > ca.not_after() {
        warn(format!("the authority expires before this certificate, on {}", ca.not_after()));
    }
    Ok((certificate, key))
}

/// The cluster that configuration files describe.
async fn of_files(host: &dyn Probe, args: &UserArgs) -> Result<Target, CommandError> {
    let documents = documents::load(&args.config)?;
    let facts = facts::without_runtime(host).await.map_err(CommandError::failed)?;
    let config = resolve_init(&documents, &InitFlags::default(), &facts)
        .map_err(|errors| documents::invalid(&errors))?;
    Ok(Target {
        name: config.cluster.cluster_name.clone(),
        server: config.control_plane_endpoint(),
        dir: config.cert_dir().into(),
        algorithm: Some(config.key_algorithm()),
    })
}

/// The cluster of this control plane.
async fn of_machine(host: &dyn Probe) -> Result<Target, CommandError> {
    let path = Path::new(ADMIN_CONF);
    let text = read(host, path).await.map_err(|error| error.hint("or describe the cluster with --config"))?;
    let file =
        Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)).map_err(|error| unusable(path, &error))?;
    let (cluster, _) = file.current().map_err(|error| unusable(path, &error))?;
    let context = file.contexts.iter().find(|context| context.name == file.current_context);
    Ok(Target {
        name: context.map(|context| context.context.cluster.clone()).unwrap_or_default(),
        server: cluster.server.clone(),
        dir: super::certs::own_dir(host).await,
        algorithm: None,
    })
}

async fn read(host: &dyn Probe, path: &Path) -> Result<Vec<u8>, CommandError> {
    match host.read(path).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(CommandError::failed(format!("{} is missing", path.display()))
            .hint("run this on a control plane that has the keys of the cluster's authority")),
        Err(error) => Err(CommandError::failed(error)),
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> CommandError {
    CommandError::failed(format!("{} cannot be used: {why}", path.display()))
}
