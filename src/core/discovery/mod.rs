//! How a node that joins finds its cluster, comes to trust it, and learns its settings. Only reads, and only over the
//! network: nothing on the machine is changed.
//!
//! - [`token`]: by a bootstrap token, whose secret half signs the cluster's public information (kubeadm's JWS).
//! - [`file`]: by a kubeconfig, from a file or an https URL.
//! - [`settings`]: what the cluster then tells of itself.

mod error;
pub mod file;
pub mod settings;
pub mod token;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    config::{GoDuration, ResolvedJoin, Secret},
    kube::{KubeClient, KubeError, client::Options},
    kubeconfig::{self, Credentials, Kubeconfig},
};

pub use error::DiscoveryError;
pub use settings::{ClusterSettings, NodeSeen};

/// Name that kubeadm gives the cluster in the kubeconfig of a TLS bootstrap.
const CLUSTER_NAME: &str = "kubernetes";
/// Name of the user that a bootstrap token is.
const TOKEN_USER: &str = "tls-bootstrap-token-user";

/// A cluster that was found and is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundCluster {
    /// URL of its API server, or of the load balancer before several.
    pub server: String,
    /// Its authorities (PEM).
    pub ca: String,
    /// The kubeconfig (YAML) that the kubelet asks for its first certificate with, and that is used until then.
    pub bootstrap: Secret,
    /// Where the cluster says that it is, when a discovery file names another server. Nothing depends on it.
    #[serde(skip)]
    pub elsewhere: Option<String>,
}

/// Whom to tell what is waited for.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Finds the cluster.
///
/// `read` gives the content of a file that the configuration names, or why it cannot be read. What may pass by itself (an
/// API server that does not answer yet) is waited for until `timeouts.discovery` is over.
///
/// # Errors
/// What cannot be cured by waiting is told at once.
pub async fn find(
    join: &ResolvedJoin,
    read: &(dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync),
    tell: Tell<'_>,
) -> Result<FoundCluster, DiscoveryError> {
    let limit = join.timeouts.discovery.map_or(Duration::from_mins(5), GoDuration::as_std);
    let discovery = &join.discovery;
    let tls_token = discovery.tls_bootstrap_token.as_ref();
    if let Some(by_token) = &discovery.bootstrap_token {
        let (server, ca) = token::discover(by_token, limit, tell).await?;
        let Some(tls_token) = tls_token else { return Err(DiscoveryError::NoCredentials) };
        return Ok(with_token(server, ca, tls_token));
    }
    let path = discovery.file.as_ref().map(|file| file.kube_config_path.as_str()).unwrap_or_default();
    let given = file::load(path, read, limit, tell).await?;
    let file::InFile { server, ca, elsewhere } = file::discover(path, &given, read, limit, tell).await?;
    if let Some(token) = tls_token {
        return Ok(FoundCluster { elsewhere, ..with_token(server, ca, token) });
    }
    let bootstrap = file::bootstrap(&given, &server, &ca, read)?;
    Ok(FoundCluster { server, ca, bootstrap: Secret::new(bootstrap.as_str()), elsewhere })
}

fn with_token(server: String, ca: String, token: &Secret) -> FoundCluster {
    let credentials = Credentials::Token(token.expose());
    let file = kubeconfig::build(CLUSTER_NAME, &server, Some(ca.as_bytes()), TOKEN_USER, &credentials);
    let bootstrap = Secret::new(file.to_yaml().as_str());
    FoundCluster { server, ca, bootstrap, elsewhere: None }
}

/// One try of a call takes this long at most, and a third of the whole time, so that what is waited for is told in between.
const TRY: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(250);

/// Repeats a call while its failure may pass by itself, until the time is up.
async fn patiently<T, F>(limit: Duration, tell: Tell<'_>, mut call: impl FnMut() -> F) -> Result<T, KubeError>
where
    F: Future<Output = Result<T, KubeError>>,
{
    let began = Instant::now();
    let mut told = String::new();
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !error.is_transient() || began.elapsed() + PAUSE >= limit {
            return Err(error);
        }
        let text = error::in_words(&error);
        if text != told {
            tell(&format!("the API server ({text})"));
            told = text;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A client with short tries.
fn client(file: &Kubeconfig, limit: Duration) -> Result<KubeClient, KubeError> {
    let options = Options { server: None, call_timeout: TRY.min(limit / 3) };
    KubeClient::with_options(file.to_yaml().as_bytes(), &options)
}

#[cfg(test)]
mod tests;
