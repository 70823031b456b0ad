//! Discovery by a bootstrap token.
//!
//! The cluster's public information is read from an API server that nobody can trust yet. The token's secret half has
//! signed it, and the pinned authority stands in it; then it is read again, trusted, and has to be the same.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{DiscoveryError, PAUSE, Tell, client, patiently};
use crate::{
    config::types::BootstrapTokenDiscovery,
    kube::{KubeError, ObjectRef},
    kubeconfig::{self, Credentials, Kubeconfig},
    pki::{
        Certificate,
        bootstrap_token::BootstrapToken,
        jws::{self, JwsError},
    },
    yaml,
};

/// How long a signature is waited for. The controller manager signs within a second of a token's creation.
const SIGNATURE: Duration = Duration::from_secs(10);

/// URL and authorities (PEM) of the cluster at the endpoint.
pub async fn discover(
    discovery: &BootstrapTokenDiscovery,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<(String, String), DiscoveryError> {
    let endpoint = &discovery.api_server_endpoint;
    let token = discovery.token.as_ref().map(|token| token.expose().parse::<BootstrapToken>());
    let Some(Ok(token)) = token else { return Err(DiscoveryError::NoCredentials) };
    let url = format!("https://{endpoint}");
    let text = signed_info(endpoint, &untrusting(&url), &token, limit, tell).await?;
    let (server, ca) = parse(endpoint, &text)?;
    if !discovery.ca_cert_hashes.is_empty() {
        check_pins(endpoint, &ca, &discovery.ca_cert_hashes)?;
    }
    // With a pin or without: who answers has to hold a key that the authority has signed.
    let trusting = kubeconfig::build("kubernetes", &url, Some(ca.as_bytes()), "none", &Credentials::None);
    let again = signed_info(endpoint, &trusting, &token, limit, tell).await?;
    if again != text {
        return Err(DiscoveryError::Changed { endpoint: endpoint.clone() });
    }
    Ok((server, ca))
}

/// A kubeconfig that trusts anybody: what is read by it proves itself.
fn untrusting(url: &str) -> Kubeconfig {
    let mut file = kubeconfig::build("kubernetes", url, None, "none", &Credentials::None);
    for named in &mut file.clusters {
        named.cluster.other.insert("insecure-skip-tls-verify".into(), Value::Bool(true));
    }
    file
}

/// The kubeconfig in `cluster-info`, once it is signed for the token.
async fn signed_info(
    endpoint: &str,
    file: &Kubeconfig,
    token: &BootstrapToken,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<String, DiscoveryError> {
    let client = client(file, limit).map_err(|error| DiscoveryError::of_call(endpoint, &error))?;
    let (began, mut told) = (Instant::now(), false);
    loop {
        let info = cluster_info(&client, limit, tell).await;
        let info = info.map_err(|error| match error {
            KubeError::NotFound { .. } | KubeError::Forbidden { .. } | KubeError::Unauthorized { .. } => {
                DiscoveryError::NoClusterInfo { endpoint: endpoint.to_owned() }
            }
            error => DiscoveryError::of_call(endpoint, &error),
        })?;
        let text = info["data"]["kubeconfig"].as_str().unwrap_or_default();
        let token_id = token.id().to_owned();
        let signature = info["data"][jws::signature_key(&token_id)].as_str();
        match signature.map(|signature| jws::verify(signature, text, token)) {
            Some(Ok(())) => return Ok(text.to_owned()),
            Some(Err(JwsError::Mismatch)) => {
                return Err(DiscoveryError::WrongToken { endpoint: endpoint.to_owned(), token_id });
            }
            Some(Err(error)) => {
                let problem = format!("the signature for token {token_id}: {error}");
                return Err(DiscoveryError::ClusterInfo { endpoint: endpoint.to_owned(), problem });
            }
            None if began.elapsed() >= SIGNATURE.min(limit) => {
                return Err(DiscoveryError::UnknownToken { endpoint: endpoint.to_owned(), token_id });
            }
            None => {}
        }
        if !std::mem::replace(&mut told, true) {
            tell("the cluster to sign its information for the token");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn cluster_info(
    client: &crate::kube::KubeClient,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<Value, KubeError> {
    let target = ObjectRef::new("ConfigMap", Some("kube-public"), "cluster-info")?;
    let found = patiently(limit, tell, || client.get(&target)).await?;
    found.ok_or_else(|| KubeError::NotFound {
        action: format!("get {target}"),
        message: "it does not exist".into(),
    })
}

/// Server and authorities of the kubeconfig in `cluster-info`.
pub(super) fn parse(endpoint: &str, text: &str) -> Result<(String, String), DiscoveryError> {
    let wrong = |problem: String| DiscoveryError::ClusterInfo { endpoint: endpoint.to_owned(), problem };
    // Its lists of contexts and users are null, so that it is no kubeconfig of kubectl's.
    let file: Value = yaml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let cluster = &file["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().filter(|url| url.starts_with("https://"));
    let server = server.ok_or_else(|| wrong("it names no https server".into()))?;
    let data = cluster["certificate-authority-data"].as_str().unwrap_or_default();
    let pem = STANDARD.decode(data).map_err(|_| wrong("its certificate authority is not base64".into()))?;
    Certificate::bundle_from_pem(&pem)
        .map_err(|error| wrong(format!("its certificate authority: {error}")))?;
    let pem = String::from_utf8(pem).map_err(|_| wrong("its certificate authority is not PEM".into()))?;
    Ok((server.to_owned(), pem))
}

/// Every authority has to be a pinned one: each of them could sign an API server's certificate.
fn check_pins(endpoint: &str, ca: &str, pins: &[String]) -> Result<(), DiscoveryError> {
    let authorities = Certificate::bundle_from_pem(ca.as_bytes()).unwrap_or_default();
    let hashes: Vec<_> = authorities.iter().map(Certificate::spki_hash).collect();
    let known = |hash: &String| pins.iter().any(|pin| pin.eq_ignore_ascii_case(hash));
    if !hashes.is_empty() && hashes.iter().all(known) {
        return Ok(());
    }
    Err(DiscoveryError::OtherAuthority { endpoint: endpoint.to_owned(), found: hashes.join(", ") })
}
