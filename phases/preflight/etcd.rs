//! An etcd that is there already.

use futures::future::join_all;
use rkadm_core::{
    config::types::ExternalEtcd,
    host::{HealthTarget, Probe, Trust},
    pki::{Certificate, PrivateKey},
};
use serde_json::Value;

use super::{Found, error};
use crate::init::Cluster;

/// kubeadm's minimum, for all minors from 1.34 to 1.37.
const MIN_VERSION: semver::Version = semver::Version::new(3, 5, 24);

/// Files of the client, then the version that every endpoint tells.
pub async fn external(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let Some(etcd) = &cluster.config.cluster.etcd.external else { return vec![] };
    let found = client_files(host, etcd).await;
    if !found.is_empty() {
        return found;
    }
    let asked = etcd.endpoints.iter().map(|endpoint| version(host, etcd, endpoint));
    join_all(asked).await.into_iter().flatten().collect()
}

async fn client_files(host: &dyn Probe, etcd: &ExternalEtcd) -> Vec<Found> {
    const CHECK: &str = "ExternalEtcdClientCertificates";
    let hint = "bring the files that etcd's operator made for this cluster's API servers";
    let mut found = vec![];
    let mut contents = vec![];
    for path in [&etcd.ca_file, &etcd.cert_file, &etcd.key_file] {
        match host.read(path.as_ref()).await {
            _ if path.is_empty() => {}
            Ok(Some(content)) => contents.push(content),
            Ok(None) => found.push(error(CHECK, format!("{path} doesn't exist"), hint)),
            Err(fault) => found.push(error(CHECK, fault.to_string(), hint)),
        }
    }
    if let [_, certificate, key] = contents.as_slice() {
        let pair = (Certificate::from_pem(certificate), PrivateKey::from_pem(key));
        match pair {
            (Err(why), _) => {
                found.push(error(CHECK, format!("{} cannot be used: {why}", etcd.cert_file), hint));
            }
            (_, Err(why)) => {
                found.push(error(CHECK, format!("{} cannot be used: {why}", etcd.key_file), hint));
            }
            (Ok(certificate), Ok(key)) if !key.matches(&certificate) => {
                let message = format!("{} does not belong to {}", etcd.key_file, etcd.cert_file);
                found.push(error(CHECK, message, hint));
            }
            _ => {}
        }
    }
    found
}

async fn version(host: &dyn Probe, etcd: &ExternalEtcd, endpoint: &str) -> Option<Found> {
    const CHECK: &str = "ExternalEtcdVersion";
    let trust = match (endpoint.starts_with("https:"), etcd.cert_file.is_empty()) {
        (false, _) => Trust::Plain,
        (true, true) => Trust::Ca(etcd.ca_file.clone().into()),
        (true, false) => Trust::Client {
            ca: etcd.ca_file.clone().into(),
            certificate: etcd.cert_file.clone().into(),
            key: etcd.key_file.clone().into(),
        },
    };
    let url = format!("{}/version", endpoint.trim_end_matches('/'));
    let hint = "the API server will need it: see that it runs, and that this machine reaches it";
    let answer = match host.health(&HealthTarget { url, trust }).await {
        Ok(answer) if answer.status == 200 => answer.body,
        Ok(answer) => {
            let message = format!("etcd at {endpoint} answers with status {}", answer.status);
            return Some(error(CHECK, message, hint));
        }
        Err(why) => return Some(error(CHECK, format!("etcd at {endpoint} does not answer: {why}"), hint)),
    };
    let told: Value = serde_json::from_str(&answer).unwrap_or_default();
    let version = told["etcdserver"].as_str().and_then(|text| text.parse::<semver::Version>().ok());
    match version {
        Some(version) if version >= MIN_VERSION => None,
        Some(version) => {
            let message = format!("etcd at {endpoint} is {version}; {MIN_VERSION} or newer is needed");
            Some(error(CHECK, message, "upgrade etcd first"))
        }
        None => Some(error(CHECK, format!("etcd at {endpoint} does not tell its version"), hint)),
    }
}
