//! When the certificates of a control plane end. Only files are read, so this works when the API server does not.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use rkadm_core::{
    host::{HostError, Probe},
    kubeconfig::{Kubeconfig, list as kubeconfigs},
    pki::{
        Certificate,
        list::{self as certificates, CertEntry},
    },
};
use serde::Serialize;

use crate::init::Cluster;

/// All of them; a certificate's fields are those of kubeadm's `CertificateExpirationInfo`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expirations {
    /// Of components and users.
    pub certificates: Vec<Expiration>,
    /// Authorities.
    pub certificate_authorities: Vec<Expiration>,
}

/// The end of one certificate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiration {
    /// Its name in kubeadm's lists, or that of its kubeconfig.
    pub name: String,
    /// `None` where it is missing or unreadable.
    #[serde(rename = "expirationDate")]
    pub expires: Option<Timestamp>,
    /// Seconds until then; negative when it has expired, 0 when it is not known.
    pub residual_time: i64,
    /// The key of the authority is not on this machine, so nothing here can renew it.
    pub externally_managed: bool,
    /// Its authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_name: Option<&'static str>,
    /// There is no such file.
    pub missing: bool,
    /// Why the file cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Another authority signed it than the one of this machine, which therefore does not renew it.
    #[serde(skip)]
    pub strange: bool,
}

impl Expirations {
    /// Reads them all; `dir` is that of the PKI.
    pub async fn read(host: &dyn Probe, dir: &Path, now: Timestamp) -> Result<Self, HostError> {
        Files { host, dir, now }.read().await
    }
}

/// The files of a control plane.
struct Files<'a> {
    host: &'a dyn Probe,
    dir: &'a Path,
    now: Timestamp,
}

impl Files<'_> {
    async fn read(&self) -> Result<Expirations, HostError> {
        let local_etcd = self.has_local_etcd().await?;
        let mut found = Expirations { certificates: vec![], certificate_authorities: vec![] };
        let mut signers = Signers { files: self, keys: BTreeMap::new(), bundles: BTreeMap::new() };
        for entry in certificates::ENTRIES {
            if entry.needs_local_etcd() && !local_etcd {
                continue;
            }
            let file = self.host.read(&self.dir.join(entry.cert_file())).await?;
            let certificate = file.map(|pem| Certificate::from_pem(&pem).map_err(|error| error.to_string()));
            let elsewhere = signers.is_elsewhere(entry.ca.unwrap_or(entry)).await?;
            let strange = signers.is_strange(entry.ca, certificate.as_ref()).await?;
            let list =
                if entry.is_ca() { &mut found.certificate_authorities } else { &mut found.certificates };
            list.push(self.expiration(entry.id, entry.ca, (elsewhere, strange), certificate));
        }
        let ca = certificates::entry("ca");
        for spec in kubeconfigs::FILES.iter().filter(|spec| spec.renewable) {
            let Some(ca) = ca else { continue };
            let file = self.host.read(&Cluster::kubeconfig(spec.file)).await?;
            let certificate = file.and_then(|yaml| client_certificate(&yaml));
            let elsewhere = signers.is_elsewhere(ca).await?;
            let strange = signers.is_strange(Some(ca), certificate.as_ref()).await?;
            found.certificates.push(self.expiration(spec.file, Some(ca), (elsewhere, strange), certificate));
        }
        found.certificates.sort_by(|a, b| a.name.cmp(&b.name));
        found.certificate_authorities.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// With external etcd there are neither its static pod nor certificates of its own.
    async fn has_local_etcd(&self) -> Result<bool, HostError> {
        Ok(self.host.stat(&Cluster::manifest("etcd.yaml")).await?.is_some()
            || self.host.stat(&self.dir.join("etcd/server.crt")).await?.is_some())
    }

    fn expiration(
        &self,
        name: &str,
        ca: Option<&CertEntry>,
        (externally_managed, strange): (bool, bool),
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
            strange,
        }
    }
}

/// Where the keys of the authorities are, and what they signed; each is looked for once.
struct Signers<'a> {
    files: &'a Files<'a>,
    keys: BTreeMap<&'static str, bool>,
    bundles: BTreeMap<&'static str, Vec<Certificate>>,
}

impl Signers<'_> {
    /// The key is not on this machine.
    async fn is_elsewhere(&mut self, ca: &CertEntry) -> Result<bool, HostError> {
        if let Some(elsewhere) = self.keys.get(ca.id) {
            return Ok(*elsewhere);
        }
        let elsewhere = self.files.host.stat(&self.files.dir.join(ca.key_file())).await?.is_none();
        self.keys.insert(ca.id, elsewhere);
        Ok(elsewhere)
    }

    /// The authority is here, and signed something else.
    async fn is_strange(
        &mut self,
        ca: Option<&CertEntry>,
        certificate: Option<&Result<Certificate, String>>,
    ) -> Result<bool, HostError> {
        let (Some(ca), Some(Ok(certificate))) = (ca, certificate) else { return Ok(false) };
        if !self.bundles.contains_key(ca.id) {
            let pem = self.files.host.read(&self.files.dir.join(ca.cert_file())).await?.unwrap_or_default();
            self.bundles.insert(ca.id, Certificate::bundle_from_pem(&pem).unwrap_or_default());
        }
        let bundle = self.bundles.get(ca.id).map(Vec::as_slice).unwrap_or_default();
        Ok(!bundle.is_empty() && certificate.issuer_among(&[], bundle).is_none())
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
