//! The kubeconfig format, version 1. Fields are in alphabetical order, the order kubeadm and kubectl write; what we do
//! not know is kept.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Secret;
use crate::pki::{Certificate, CertificateError, KeyError, PrivateKey};
use crate::yaml::{self, YamlError};

/// A kubeconfig that cannot be read, or lacks what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// Not a kubeconfig. Only the line is told: the parser's message can quote the file, which holds keys.
    #[error("not a valid kubeconfig{}", .line.map_or_else(String::new, |line| format!(" (line {line})")))]
    Malformed {
        /// Line of the problem, from 1, when known.
        line: Option<usize>,
    },
    /// No current context, or it names a cluster or user that is not there.
    #[error("the kubeconfig has no usable current context {0:?}")]
    NoContext(String),
    /// A `*-data` field is not base64.
    #[error("field {0} of the kubeconfig is not base64")]
    NotBase64(&'static str),
    /// An embedded certificate is damaged.
    #[error("field {field} of the kubeconfig is not a certificate")]
    Certificate {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// An embedded key is damaged.
    #[error("field client-key-data of the kubeconfig is not a private key")]
    Key(#[source] KeyError),
}

impl From<YamlError> for KubeconfigError {
    fn from(error: YamlError) -> Self {
        Self::Malformed { line: error.line }
    }
}

/// A kubeconfig file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kubeconfig {
    /// Always `v1`.
    #[serde(rename = "apiVersion", default = "api_version")]
    pub api_version: String,
    /// Clusters by name.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub clusters: Vec<NamedCluster>,
    /// Pairs of cluster and user by name.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub contexts: Vec<NamedContext>,
    /// Name of the context in use.
    #[serde(rename = "current-context", default)]
    pub current_context: String,
    /// Always `Config`.
    #[serde(default = "kind")]
    pub kind: String,
    /// Users by name.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub users: Vec<NamedUser>,
    /// Fields we do not know, such as `preferences`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Go writes an empty list as null, as in the kubeconfig of `cluster-info`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn api_version() -> String {
    "v1".to_owned()
}

fn kind() -> String {
    "Config".to_owned()
}

/// A cluster and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedCluster {
    /// What it is reached by.
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
}

/// How to reach an API server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cluster {
    /// File with the CAs to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<String>,
    /// The CAs to trust, PEM in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
    /// URL of the API server.
    #[serde(default)]
    pub server: String,
    /// Fields we do not know, such as `proxy-url`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A context and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedContext {
    /// What it pairs.
    pub context: Context,
    /// Its name.
    pub name: String,
}

/// A pair of cluster and user.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Context {
    /// Name of a cluster.
    #[serde(default)]
    pub cluster: String,
    /// Name of a user.
    #[serde(default)]
    pub user: String,
    /// Fields we do not know, such as `namespace`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A user and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedUser {
    /// Its name.
    pub name: String,
    /// How it proves itself.
    #[serde(default)]
    pub user: User,
}

/// How a user proves itself. Plain-text fields we do not know, `password` and `exec` among them, are kept in `other`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// File with the client certificate; the kubelet's rotated one, for example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// The client certificate, PEM in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_data: Option<String>,
    /// File with the client key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// The client key, PEM in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_data: Option<Secret>,
    /// A bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Fields we do not know. They may be secret.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("client_certificate", &self.client_certificate)
            .field("client_key", &self.client_key)
            .field("client_key_data", &self.client_key_data)
            .field("token", &self.token)
            .field("other", &self.other.keys())
            .finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// Points the user of the current context at a file that holds its certificate and key, in place of embedded
    /// ones. False when it names that file already, or when there is no such user.
    pub fn use_rotated_client(&mut self, pem: &str) -> bool {
        let Some(user) = self.current_user_mut() else { return false };
        let wanted = Some(pem.to_owned());
        if user.client_certificate == wanted && user.client_key == wanted {
            return false;
        }
        *user = User {
            client_certificate: wanted.clone(),
            client_key: wanted,
            other: std::mem::take(&mut user.other),
            ..User::default()
        };
        true
    }

    /// Gives the user of the current context a certificate and its key, embedded, in place of those it had. False when
    /// there is no such user.
    pub fn embed_client(&mut self, certificate: &Certificate, key: &PrivateKey) -> bool {
        let Some(user) = self.current_user_mut() else { return false };
        *user = User {
            client_certificate_data: Some(STANDARD.encode(certificate.to_pem())),
            client_key_data: Some(Secret::new(Zeroizing::new(STANDARD.encode(key.to_pem().as_bytes())))),
            other: std::mem::take(&mut user.other),
            ..User::default()
        };
        true
    }

    /// Gives the cluster of the current context an authority, embedded. False when there is no such cluster.
    pub fn embed_authority(&mut self, ca: &Certificate) -> bool {
        let context = self.contexts.iter().find(|context| context.name == self.current_context);
        let Some(name) = context.map(|context| context.context.cluster.clone()) else { return false };
        let Some(named) = self.clusters.iter_mut().find(|cluster| cluster.name == name) else { return false };
        named.cluster.certificate_authority = None;
        named.cluster.certificate_authority_data = Some(STANDARD.encode(ca.to_pem()));
        true
    }

    fn current_user_mut(&mut self) -> Option<&mut User> {
        let context = self.contexts.iter().find(|context| context.name == self.current_context)?;
        let name = context.context.user.clone();
        self.users.iter_mut().find(|user| user.name == name).map(|user| &mut user.user)
    }

    /// Reads a file's text.
    pub fn from_yaml(text: &str) -> Result<Self, KubeconfigError> {
        Ok(yaml::from_str(text)?)
    }

    /// Writes a file's text, byte for byte as kubeadm would.
    pub fn to_yaml(&self) -> Zeroizing<String> {
        Zeroizing::new(yaml::to_string(self))
    }

    /// The cluster and user of the current context.
    pub fn current(&self) -> Result<(&Cluster, &User), KubeconfigError> {
        self.find().ok_or_else(|| KubeconfigError::NoContext(self.current_context.clone()))
    }

    /// The same with paths of certificates, keys and tokens made absolute: as kubectl reads them, they are relative to the
    /// directory of the kubeconfig.
    #[must_use]
    pub fn with_paths_below(mut self, dir: &Path) -> Self {
        let below = |path: &mut String| {
            if !path.is_empty() {
                *path = dir.join(&*path).display().to_string();
            }
        };
        self.clusters
            .iter_mut()
            .filter_map(|named| named.cluster.certificate_authority.as_mut())
            .for_each(below);
        for NamedUser { user, .. } in &mut self.users {
            [&mut user.client_certificate, &mut user.client_key].into_iter().flatten().for_each(below);
            if let Some(Value::String(path)) = user.other.get_mut("tokenFile") {
                below(path);
            }
        }
        self
    }

    fn find(&self) -> Option<(&Cluster, &User)> {
        let context = &self.contexts.iter().find(|context| context.name == self.current_context)?.context;
        let cluster = self.clusters.iter().find(|cluster| cluster.name == context.cluster)?;
        let user = self.users.iter().find(|user| user.name == context.user)?;
        Some((&cluster.cluster, &user.user))
    }
}

impl Cluster {
    /// The embedded CAs; none if there are none (they may be in a file).
    pub fn authorities(&self) -> Result<Option<Vec<Certificate>>, KubeconfigError> {
        const FIELD: &str = "certificate-authority-data";
        let Some(data) = &self.certificate_authority_data else { return Ok(None) };
        Certificate::bundle_from_pem(&decode(FIELD, data)?)
            .map(Some)
            .map_err(|source| KubeconfigError::Certificate { field: FIELD, source })
    }
}

impl User {
    /// The embedded client certificate, if any.
    pub fn certificate(&self) -> Result<Option<Certificate>, KubeconfigError> {
        const FIELD: &str = "client-certificate-data";
        let Some(data) = &self.client_certificate_data else { return Ok(None) };
        Certificate::from_pem(&decode(FIELD, data)?)
            .map(Some)
            .map_err(|source| KubeconfigError::Certificate { field: FIELD, source })
    }

    /// The embedded client key, if any.
    pub fn key(&self) -> Result<Option<PrivateKey>, KubeconfigError> {
        let Some(data) = &self.client_key_data else { return Ok(None) };
        let pem = decode("client-key-data", data.expose())?;
        PrivateKey::from_pem(&pem).map(Some).map_err(KubeconfigError::Key)
    }
}

fn decode(field: &'static str, data: &str) -> Result<Zeroizing<Vec<u8>>, KubeconfigError> {
    // YAML may fold long values; base64 ignores white space, our decoder does not.
    let compact: Zeroizing<String> = Zeroizing::new(data.split_ascii_whitespace().collect());
    STANDARD.decode(compact.as_bytes()).map(Zeroizing::new).map_err(|_| KubeconfigError::NotBase64(field))
}
