//! Discovery by a kubeconfig, from a file or from an https URL.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{CLUSTER_NAME, DiscoveryError, PAUSE, Tell, client, patiently, token};
use crate::{
    health::{self, Tls},
    kube::ObjectRef,
    kubeconfig::{self, Credentials, Kubeconfig, User},
    pki::Certificate,
};

/// The authorities that this machine trusts; the first that is there is used.
pub const HOST_AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

type Read<'a> = &'a (dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync);

fn wrong(path: &str, problem: impl Into<String>) -> DiscoveryError {
    DiscoveryError::File { path: path.to_owned(), problem: problem.into() }
}

/// Reads the kubeconfig.
pub async fn load(
    path: &str,
    read: Read<'_>,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<Kubeconfig, DiscoveryError> {
    let text = if path.starts_with("https://") {
        fetch(path, read, limit, tell).await?
    } else {
        let bytes = read(path).map_err(|problem| wrong(path, problem))?;
        Zeroizing::new(String::from_utf8(bytes).map_err(|_| wrong(path, "it is not UTF-8"))?)
    };
    let file = Kubeconfig::from_yaml(&text).map_err(|error| wrong(path, error.to_string()))?;
    // As kubectl does.
    Ok(match Path::new(path).parent() {
        Some(dir) if !path.starts_with("https://") => file.with_paths_below(dir),
        _ => file,
    })
}

/// A URL's server proves itself to the authorities that this machine trusts.
async fn fetch(
    url: &str,
    read: Read<'_>,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<Zeroizing<String>, DiscoveryError> {
    let authorities = HOST_AUTHORITIES.iter().find_map(|path| read(path).ok());
    let Some(authorities) = authorities else {
        return Err(wrong(
            url,
            "this machine has no bundle of trusted authorities (package ca-certificates)",
        ));
    };
    let tls = Tls::ca(authorities);
    let began = Instant::now();
    let mut told = false;
    loop {
        match health::probe_http(url, &tls).await {
            Ok(answer) if answer.status == 200 => return Ok(Zeroizing::new(answer.body)),
            Ok(answer) if answer.status < 500 => {
                return Err(wrong(url, format!("its server answers with status {}", answer.status)));
            }
            Err(error) if !error.is_transient() || began.elapsed() >= limit => {
                return Err(wrong(url, crate::text::chain(&error)));
            }
            Ok(answer) if began.elapsed() >= limit => {
                return Err(wrong(url, format!("its server answers with status {}", answer.status)));
            }
            _ => {}
        }
        if !std::mem::replace(&mut told, true) {
            tell(&format!("{url} to answer"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The cluster in a file.
pub struct InFile {
    /// URL of its API server.
    pub server: String,
    /// Its authorities (PEM).
    pub ca: String,
    /// Where the cluster says that it is, when that is elsewhere.
    pub elsewhere: Option<String>,
}

/// URL and authorities of the cluster in the file, once a server has proved that it is of them. Who names a server there means it: the
/// one that the cluster tells everybody may be out of reach from here. That is kubeadm's way, too.
pub async fn discover(
    path: &str,
    given: &Kubeconfig,
    read: Read<'_>,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<InFile, DiscoveryError> {
    // A file for discovery alone has neither user nor context.
    let cluster = match given.current() {
        Ok((cluster, _)) => cluster,
        Err(_) => match given.clusters.as_slice() {
            [only] => &only.cluster,
            _ => return Err(wrong(path, "it has no current context, and not exactly one cluster")),
        },
    };
    let server = cluster.server.clone();
    if !server.starts_with("https://") {
        return Err(wrong(path, "its server is no https URL"));
    }
    let ca = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (None, Some(file)) => read(file).map_err(|problem| wrong(file, problem))?,
        (data, _) => STANDARD
            .decode(data.as_deref().unwrap_or_default())
            .map_err(|_| wrong(path, "certificate-authority-data is not base64"))?,
    };
    let ca = String::from_utf8(ca).map_err(|_| wrong(path, "its certificate authority is not PEM"))?;
    if Certificate::bundle_from_pem(ca.as_bytes()).is_err() {
        return Err(wrong(
            path,
            "it has no certificate-authority-data, and no certificate-authority, that is a certificate",
        ));
    }
    let anybody = kubeconfig::build(CLUSTER_NAME, &server, Some(ca.as_bytes()), "none", &Credentials::None);
    let client = client(&anybody, limit).map_err(|error| DiscoveryError::of_call(&server, &error))?;
    let target = ObjectRef::new("ConfigMap", Some("kube-public"), "cluster-info")
        .map_err(|error| DiscoveryError::of_call(&server, &error))?;
    match patiently(limit, tell, || client.get(&target)).await {
        Ok(Some(info)) => {
            let said = token::parse(&server, info["data"]["kubeconfig"].as_str().unwrap_or_default());
            let elsewhere = said.ok().map(|(url, _)| url).filter(|url| *url != server);
            Ok(InFile { server, ca, elsewhere })
        }
        // A cluster that tells strangers nothing: the file is what is known.
        Ok(None)
        | Err(crate::kube::KubeError::Forbidden { .. } | crate::kube::KubeError::Unauthorized { .. }) => {
            Ok(InFile { server, ca, elsewhere: None })
        }
        Err(error) => Err(DiscoveryError::of_call(&server, &error)),
    }
}

/// The kubeconfig of the TLS bootstrap: the file's own user, with what it names by path embedded.
///
/// # Errors
/// The file's user has nothing to log in with.
pub fn bootstrap(
    given: &Kubeconfig,
    server: &str,
    ca: &str,
    read: Read<'_>,
) -> Result<Zeroizing<String>, DiscoveryError> {
    let mut user = match given.current() {
        Ok((_, user)) => user.clone(),
        Err(_) => return Err(DiscoveryError::NoCredentials),
    };
    if user == User::default() {
        return Err(DiscoveryError::NoCredentials);
    }
    let content = |file: &str| read(file).map_err(|problem| wrong(file, problem));
    if let Some(file) = user.client_certificate.take() {
        user.client_certificate_data = Some(STANDARD.encode(content(&file)?));
    }
    if let Some(file) = user.client_key.take() {
        let key = Zeroizing::new(content(&file)?);
        user.client_key_data = Some(kubeconfig::Secret::new(Zeroizing::new(STANDARD.encode(&*key))));
    }
    if let Some(Value::String(file)) = user.other.remove("tokenFile") {
        let token = Zeroizing::new(content(&file)?);
        let text = std::str::from_utf8(&token).map_err(|_| wrong(&file, "it is not UTF-8"))?;
        user.token = Some(kubeconfig::Secret::new(Zeroizing::new(text.trim().to_owned())));
    }
    let mut file =
        kubeconfig::build(CLUSTER_NAME, server, Some(ca.as_bytes()), super::TOKEN_USER, &Credentials::None);
    for named in &mut file.users {
        named.user = user.clone();
    }
    Ok(file.to_yaml())
}
