//! What a file will hold: described while planning, made when the step is carried out.
//!
//! So plans are the same every time, hold no secret, and a dry run generates no key.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::act::{ActCx, PkiError, StepError};
use crate::{
    kubeconfig::{self, Credentials, Kubeconfig},
    pki::{CertSpec, Certificate, KeyAlgorithm, PrivateKey},
};

/// A certificate authority's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFiles {
    /// Certificate (PEM).
    pub cert: PathBuf,
    /// Private key (PEM).
    pub key: PathBuf,
}

/// A kubeconfig whose user has a client certificate made for it.
#[derive(Debug, Clone)]
pub struct KubeconfigContent {
    /// Cluster name in the file.
    pub cluster: String,
    /// API server's URL.
    pub server: String,
    /// User name in the file.
    pub user: String,
    /// Who signs, and whose certificate the file trusts.
    pub ca: CaFiles,
    /// The client certificate.
    pub spec: CertSpec,
    /// The new key's algorithm.
    pub algorithm: KeyAlgorithm,
}

/// What a file will hold.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes; not secret, so plans may show them.
    Bytes(Vec<u8>),
    /// These bytes, which no plan may show.
    Private(Vec<u8>),
    /// A new private key (PEM).
    NewKey(KeyAlgorithm),
    /// The public half (PEM) of a key on the host.
    PublicKeyOf(PathBuf),
    /// A certificate for the key on the host, signed by the authority, or by itself.
    Certificate {
        /// Subject, SANs, usage, validity.
        spec: Box<CertSpec>,
        /// The subject's private key.
        key: PathBuf,
        /// The signer; `None` for a self-signed authority.
        ca: Option<CaFiles>,
    },
    /// A kubeconfig with a new client key and certificate in it.
    Kubeconfig(Box<KubeconfigContent>),
    /// The kubeconfig on the host with a new client key and certificate in place of its own.
    Renewed(Box<RenewedContent>),
    /// A kubeconfig with a new client key, whose certificate is still to be signed elsewhere.
    Unsigned(Box<KubeconfigContent>),
    /// A signing request (PEM) for a key on the host: a key file, or the kubeconfig that holds it.
    Request {
        /// Subject and SANs.
        spec: Box<CertSpec>,
        /// Where the key is.
        key: PathBuf,
    },
    /// Made from what is only known when the step is carried out.
    Made(Arc<dyn ContentMaker>),
}

/// Makes the content of a file from what is only known when the step is carried out.
#[async_trait]
pub trait ContentMaker: std::fmt::Debug + Send + Sync {
    /// What it is, for the plan; without secrets.
    fn describe(&self) -> String;
    /// Makes it.
    async fn make(&self, cx: &ActCx<'_>) -> Result<Vec<u8>, StepError>;
}

/// A kubeconfig that keeps all but its client key and certificate.
#[derive(Debug, Clone)]
pub struct RenewedContent {
    /// The file.
    pub path: PathBuf,
    /// Who signs.
    pub ca: CaFiles,
    /// The client certificate.
    pub spec: CertSpec,
    /// The new key's algorithm.
    pub algorithm: KeyAlgorithm,
}

impl Content {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Bytes(text.into().into_bytes())
    }

    /// One phrase for plans, without secrets.
    pub fn describe(&self) -> String {
        match self {
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Private(_) => "(secret)".to_owned(),
            Self::NewKey(algorithm) => format!("new {algorithm} private key"),
            Self::PublicKeyOf(key) => format!("public key of {}", key.display()),
            Self::Certificate { spec, ca: None, .. } => {
                format!("self-signed CA certificate, {}", in_words(spec))
            }
            Self::Certificate { spec, ca: Some(ca), .. } => {
                format!("certificate signed by {}, {}", ca.cert.display(), in_words(spec))
            }
            Self::Kubeconfig(content) => {
                format!("kubeconfig of {} for {}, {}", content.user, content.server, in_words(&content.spec))
            }
            Self::Renewed(content) => {
                format!("the same kubeconfig with a new client certificate, {}", in_words(&content.spec))
            }
            Self::Unsigned(content) => {
                format!("kubeconfig of {} for {}, without its certificate", content.user, content.server)
            }
            Self::Request { spec, .. } => format!("signing request, {}", in_words(spec)),
            Self::Made(maker) => maker.describe(),
        }
    }

    /// The bytes, where they are known before apply and not secret.
    pub fn known(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The bytes, where nothing is left to make; they may be secret.
    pub(super) fn made(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) | Self::Private(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Makes the bytes.
    ///
    /// # Errors
    /// Files that are absent or unusable on the host, or a key that cannot be made.
    pub async fn make(&self, cx: &ActCx<'_>) -> Result<Vec<u8>, StepError> {
        match self {
            Self::Bytes(bytes) | Self::Private(bytes) => Ok(bytes.clone()),
            Self::NewKey(algorithm) => Ok(cx.new_key(*algorithm).await?.to_pem().as_bytes().to_vec()),
            Self::PublicKeyOf(key) => Ok(read_key(cx, key).await?.public_key_pem().into_bytes()),
            Self::Certificate { spec, key, ca } => {
                let key = read_key(cx, key).await?;
                let certificate = match ca {
                    None => crate::pki::issue_ca(spec, &key, Timestamp::now()).map_err(PkiError::from)?,
                    Some(ca) => {
                        let (ca_cert, ca_key) = read_ca(cx, ca).await?;
                        crate::pki::issue(spec, &key, &ca_cert, &ca_key, Timestamp::now())
                            .map_err(PkiError::from)?
                    }
                };
                Ok(certificate.to_pem().into_bytes())
            }
            Self::Kubeconfig(content) => make_kubeconfig(cx, content).await,
            Self::Renewed(content) => renew_kubeconfig(cx, content).await,
            Self::Unsigned(content) => {
                let ca = cx.host.read(&content.ca.cert).await?;
                let key = cx.new_key(content.algorithm).await?;
                let credentials = Credentials::Key(&key);
                let file = kubeconfig::build(
                    &content.cluster,
                    &content.server,
                    ca.as_deref(),
                    &content.user,
                    &credentials,
                );
                Ok(file.to_yaml().as_bytes().to_vec())
            }
            Self::Request { spec, key } => {
                let key = key_of(cx, key).await?;
                Ok(crate::pki::request(spec, &key).map_err(PkiError::from)?.to_pem().into_bytes())
            }
            Self::Made(maker) => maker.make(cx).await,
        }
    }
}

/// Subject and names, for plans.
fn in_words(spec: &CertSpec) -> String {
    let mut text = format!("CN={}", spec.common_name);
    for organization in &spec.organizations {
        text += &format!(" O={organization}");
    }
    let names: Vec<_> =
        spec.sans.dns.iter().cloned().chain(spec.sans.ips.iter().map(ToString::to_string)).collect();
    if !names.is_empty() {
        text += &format!(", valid for {}", names.join(" "));
    }
    text
}

async fn make_kubeconfig(cx: &ActCx<'_>, content: &KubeconfigContent) -> Result<Vec<u8>, StepError> {
    let (ca_cert, ca_key) = read_ca(cx, &content.ca).await?;
    let key = cx.new_key(content.algorithm).await?;
    let certificate = crate::pki::issue(&content.spec, &key, &ca_cert, &ca_key, Timestamp::now())
        .map_err(PkiError::from)?;
    // All of them, as they are published: while one authority replaces another, servers have certificates of either.
    let bundle = Certificate::bundle_from_pem(&cx.read(&content.ca.cert).await?).map_err(PkiError::from)?;
    let ca_pem: String = bundle.iter().map(Certificate::to_pem).collect();
    let file = kubeconfig::build(
        &content.cluster,
        &content.server,
        Some(ca_pem.as_bytes()),
        &content.user,
        &Credentials::Certificate(&certificate, &key),
    );
    Ok(file.to_yaml().as_bytes().to_vec())
}

async fn renew_kubeconfig(cx: &ActCx<'_>, content: &RenewedContent) -> Result<Vec<u8>, StepError> {
    let mut file = read_kubeconfig(cx, &content.path).await?;
    let (ca_cert, ca_key) = read_ca(cx, &content.ca).await?;
    let key = cx.new_key(content.algorithm).await?;
    let certificate = crate::pki::issue(&content.spec, &key, &ca_cert, &ca_key, Timestamp::now())
        .map_err(PkiError::from)?;
    if !file.embed_client(&certificate, &key) {
        return Err(StepError::Content(format!("{} has no current user", content.path.display())));
    }
    Ok(file.to_yaml().as_bytes().to_vec())
}

async fn read_kubeconfig(cx: &ActCx<'_>, path: &Path) -> Result<Kubeconfig, StepError> {
    let text = cx.read(path).await?;
    Kubeconfig::from_yaml(&String::from_utf8_lossy(&text))
        .map_err(|error| StepError::Content(format!("{}: {error}", path.display())))
}

/// The key in a key file, or in a kubeconfig.
async fn key_of(cx: &ActCx<'_>, path: &Path) -> Result<PrivateKey, StepError> {
    if path.extension().is_none_or(|extension| extension != "conf") {
        return read_key(cx, path).await;
    }
    let file = read_kubeconfig(cx, path).await?;
    let key = file.current().and_then(|(_, user)| user.key());
    key.map_err(|error| StepError::Content(format!("{}: {error}", path.display())))?
        .ok_or_else(|| StepError::Content(format!("{} holds no client key", path.display())))
}

async fn read_ca(cx: &ActCx<'_>, ca: &CaFiles) -> Result<(Certificate, PrivateKey), StepError> {
    let pem = cx.read(&ca.cert).await?;
    let certificate = Certificate::from_pem(&pem).map_err(|source| StepError::pki(&ca.cert, source))?;
    let key = read_key(cx, &ca.key).await?;
    if !key.matches(&certificate) {
        return Err(StepError::Content(format!(
            "{} does not belong to the certificate {}",
            ca.key.display(),
            ca.cert.display()
        )));
    }
    Ok((certificate, key))
}

async fn read_key(cx: &ActCx<'_>, path: &Path) -> Result<PrivateKey, StepError> {
    let pem = cx.read(path).await?;
    PrivateKey::from_pem(&pem).map_err(|source| StepError::pki(path, source))
}
