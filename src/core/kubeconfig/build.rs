//! Makes kubeconfigs in the shape kubeadm gives them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Map;
use zeroize::Zeroizing;

use super::{Cluster, Context, Kubeconfig, NamedCluster, NamedContext, NamedUser, Secret, User};
use crate::pki::{Certificate, PrivateKey};

/// How the user of a new kubeconfig proves itself.
#[derive(Debug)]
pub enum Credentials<'a> {
    /// A client certificate with its key, embedded.
    Certificate(&'a Certificate, &'a PrivateKey),
    /// A key whose certificate is still to be signed elsewhere (`certs generate-csr`).
    Key(&'a PrivateKey),
    /// A bearer token, such as a bootstrap token.
    Token(&'a str),
    /// Files the kubelet keeps rotating: certificate and key.
    Files {
        /// Path of the client certificate.
        certificate: &'a str,
        /// Path of the client key.
        key: &'a str,
    },
    /// None, for `cluster-info`.
    None,
}

/// Builds a kubeconfig with one cluster and one user. The context is named `<user>@<cluster>`.
///
/// `ca_pem` is embedded as it is; none leaves the field out.
pub fn build(
    cluster: &str,
    server: &str,
    ca_pem: Option<&[u8]>,
    user: &str,
    credentials: &Credentials<'_>,
) -> Kubeconfig {
    let context = format!("{user}@{cluster}");
    Kubeconfig {
        api_version: "v1".to_owned(),
        clusters: vec![NamedCluster {
            cluster: Cluster {
                certificate_authority_data: ca_pem.map(|pem| STANDARD.encode(pem)),
                server: server.to_owned(),
                ..Cluster::default()
            },
            name: cluster.to_owned(),
        }],
        contexts: vec![NamedContext {
            context: Context { cluster: cluster.to_owned(), user: user.to_owned(), other: Map::new() },
            name: context.clone(),
        }],
        current_context: context,
        kind: "Config".to_owned(),
        users: vec![NamedUser { name: user.to_owned(), user: credentials.user() }],
        other: Map::new(),
    }
}

impl Credentials<'_> {
    fn user(&self) -> User {
        let key_data =
            |key: &PrivateKey| Some(Secret::new(Zeroizing::new(STANDARD.encode(key.to_pem().as_bytes()))));
        match self {
            Self::Certificate(certificate, key) => User {
                client_certificate_data: Some(STANDARD.encode(certificate.to_pem())),
                client_key_data: key_data(key),
                ..User::default()
            },
            Self::Key(key) => User { client_key_data: key_data(key), ..User::default() },
            Self::Token(token) => {
                User { token: Some(Secret::new(Zeroizing::new((*token).to_owned()))), ..User::default() }
            }
            Self::Files { certificate, key } => User {
                client_certificate: Some((*certificate).to_owned()),
                client_key: Some((*key).to_owned()),
                ..User::default()
            },
            Self::None => User::default(),
        }
    }
}
