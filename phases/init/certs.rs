//! `certs/*`: the authorities, the certificates they sign, and the service account key pair.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict, content::Content},
    pki::{
        CertProblem, Certificate, PrivateKey,
        list::{self, CertEntry},
    },
};

use super::cluster::{Cluster, PRIVATE, PUBLIC, PUBLIC_DIR};
use crate::files::{Existing, directory, new_file};

/// Phase ids of the certificates, in order. They are journal keys: never renamed.
const IDS: [(&str, &str); 10] = [
    ("certs/ca", "ca"),
    ("certs/apiserver", "apiserver"),
    ("certs/apiserver-kubelet-client", "apiserver-kubelet-client"),
    ("certs/front-proxy-ca", "front-proxy-ca"),
    ("certs/front-proxy-client", "front-proxy-client"),
    ("certs/etcd-ca", "etcd-ca"),
    ("certs/etcd-server", "etcd-server"),
    ("certs/etcd-peer", "etcd-peer"),
    ("certs/etcd-healthcheck-client", "etcd-healthcheck-client"),
    ("certs/apiserver-etcd-client", "apiserver-etcd-client"),
];

/// All of them, then the service account key pair.
pub fn phases(cluster: &Arc<Cluster>) -> Vec<Box<dyn Phase>> {
    let mut phases: Vec<Box<dyn Phase>> = vec![];
    for (id, name) in IDS {
        if let Some(entry) = list::entry(name) {
            phases.push(Box::new(Cert { id, entry, cluster: Arc::clone(cluster) }));
        }
    }
    phases.push(Box::new(ServiceAccount { cluster: Arc::clone(cluster) }));
    phases
}

/// One certificate and its key.
struct Cert {
    id: &'static str,
    entry: &'static CertEntry,
    cluster: Arc<Cluster>,
}

/// What is on the host of a certificate and its key.
enum Pair {
    Absent,
    /// A key alone: a run was cut between key and certificate, or the operator brought a key.
    KeyOnly,
    /// A certificate alone: its key is kept elsewhere.
    CertOnly(Certificate),
    Both(Certificate, PrivateKey),
    Planned,
}

#[async_trait]
impl Phase for Cert {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(self.id, self.entry.title()).help(self.entry.help())
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if self.entry.needs_local_etcd() && self.cluster.etcd_data_dir().is_none() {
            return Ok(Verdict::NotApplicable("etcd is external".into()));
        }
        match self.pair(cx).await? {
            Pair::Planned => Ok(Verdict::AlreadyDone("planned by an earlier phase".into())),
            Pair::Both(cert, key) => self.check_existing(cx, &cert, Some(&key)).await,
            Pair::CertOnly(cert) if self.entry.is_ca() => self.check_existing(cx, &cert, None).await,
            Pair::CertOnly(_) => Err(PhaseError::Unusable {
                message: format!("{} exists without its key {}", self.cert().display(), self.key().display()),
                hint: "put the key beside it, or move the certificate away to have both made".into(),
            }),
            Pair::KeyOnly => self.make(cx, false).await,
            Pair::Absent => self.make(cx, true).await,
        }
    }

    fn keys_wanted(&self) -> usize {
        1
    }
}

impl Cert {
    fn cert(&self) -> std::path::PathBuf {
        self.cluster.cert_file(&self.entry.cert_file())
    }

    fn key(&self) -> std::path::PathBuf {
        self.cluster.cert_file(&self.entry.key_file())
    }

    async fn make(&self, cx: &PlanCx<'_>, with_key: bool) -> Result<Verdict, PhaseError> {
        let (cert, key) = (self.cert(), self.key());
        let ca = self.entry.ca.map(|ca| self.cluster.ca_files(ca.base_name));
        if let Some(ca) = &ca
            && Existing::at(cx, &ca.key).await? == Existing::Absent
        {
            return Err(PhaseError::Unusable {
                message: format!(
                    "{} is missing and {} is not here to sign it",
                    cert.display(),
                    ca.key.display()
                ),
                hint: "with an authority kept elsewhere, bring every certificate that it signs and its key"
                    .into(),
            });
        }
        let mut steps = directory(cx, cert.parent().unwrap_or(Path::new("/")), PUBLIC_DIR).await?;
        if with_key {
            steps.push(new_file(key.clone(), PRIVATE, Content::NewKey(self.cluster.key_algorithm())));
        }
        let spec = Box::new(self.entry.spec(&self.cluster.cert_inputs()?));
        steps.push(new_file(cert, PUBLIC, Content::Certificate { spec, key, ca }));
        Ok(Verdict::Apply(steps))
    }

    async fn pair(&self, cx: &PlanCx<'_>) -> Result<Pair, PhaseError> {
        let cert = Existing::at(cx, &self.cert()).await?;
        let key = Existing::at(cx, &self.key()).await?;
        let cert = match cert {
            Existing::Planned => return Ok(Pair::Planned),
            Existing::Absent => None,
            Existing::Bytes(pem) => {
                Some(Certificate::from_pem(&pem).map_err(|error| unusable(&self.cert(), &error))?)
            }
        };
        let key = match key {
            Existing::Planned | Existing::Absent => None,
            Existing::Bytes(pem) => {
                Some(PrivateKey::from_pem(&pem).map_err(|error| unusable(&self.key(), &error))?)
            }
        };
        Ok(match (cert, key) {
            (None, None) => Pair::Absent,
            (None, Some(_)) => Pair::KeyOnly,
            (Some(cert), None) => Pair::CertOnly(cert),
            (Some(cert), Some(key)) => Pair::Both(cert, key),
        })
    }

    /// All certificates of the file.
    async fn chain(&self, cx: &PlanCx<'_>) -> Result<Vec<Certificate>, PhaseError> {
        let Existing::Bytes(pem) = Existing::at(cx, &self.cert()).await? else { return Ok(vec![]) };
        Certificate::bundle_from_pem(&pem).map_err(|error| unusable(&self.cert(), &error))
    }

    async fn check_existing(
        &self,
        cx: &PlanCx<'_>,
        cert: &Certificate,
        key: Option<&PrivateKey>,
    ) -> Result<Verdict, PhaseError> {
        let ca = match self.entry.ca {
            None => None,
            Some(ca) => {
                let path = self.cluster.ca_files(ca.base_name).cert;
                match Existing::at(cx, &path).await? {
                    Existing::Bytes(pem) => {
                        let bundle =
                            Certificate::bundle_from_pem(&pem).map_err(|error| unusable(&path, &error))?;
                        // Both authorities while one replaces the other; and a company's may have others between.
                        let chain = self.chain(cx).await?;
                        cert.issuer_among(&chain, &bundle).or_else(|| bundle.first()).cloned()
                    }
                    Existing::Absent | Existing::Planned => None,
                }
            }
        };
        let spec = self.entry.spec(&self.cluster.cert_inputs()?);
        let problems = cert.check(&spec, ca.as_ref(), key, Timestamp::now());
        let fatal: Vec<_> =
            problems.iter().filter(|problem| problem.is_fatal()).map(ToString::to_string).collect();
        if !fatal.is_empty() {
            return Err(PhaseError::Unusable {
                message: format!("{} cannot be used: {}", self.cert().display(), fatal.join("; ")),
                hint: format!(
                    "bring a usable pair, or move {} and {} away to have new ones made",
                    self.cert().display(),
                    self.key().display()
                ),
            });
        }
        let differs: Vec<_> = problems.iter().map(CertProblem::to_string).collect();
        let what =
            if key.is_some() { "uses the existing pair" } else { "the authority's key is kept elsewhere" };
        let differs =
            if differs.is_empty() { String::new() } else { format!(" (differs: {})", differs.join("; ")) };
        let why = format!("{what}{differs}");
        // Where one phase stands for all certificates, this is not to be seen otherwise.
        if self.cluster.joins() && !differs.is_empty() {
            let id = self.id;
            cx.warn(format!("{id}: {why}; move the pair away first to have one made for this cluster"));
        }
        Ok(Verdict::AlreadyDone(why))
    }
}

/// The key pair that signs service account tokens.
struct ServiceAccount {
    cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for ServiceAccount {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("certs/sa", "Generate the key pair that signs service account tokens")
            .help(list::SERVICE_ACCOUNT.help)
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let private = self.cluster.cert_file(list::SERVICE_ACCOUNT.private);
        let public = self.cluster.cert_file(list::SERVICE_ACCOUNT.public);
        let mut steps = directory(cx, private.parent().unwrap_or(Path::new("/")), PUBLIC_DIR).await?;
        let existing_public = Existing::at(cx, &public).await?;
        let key = match Existing::at(cx, &private).await? {
            Existing::Planned => return Ok(Verdict::AlreadyDone("planned by an earlier phase".into())),
            Existing::Bytes(pem) => {
                Some(PrivateKey::from_pem(&pem).map_err(|error| unusable(&private, &error))?)
            }
            Existing::Absent if existing_public != Existing::Absent => {
                return Err(PhaseError::Unusable {
                    message: format!(
                        "{} exists without its private key {}",
                        public.display(),
                        private.display()
                    ),
                    hint: "bring the private key too, or move the public one away to have both made".into(),
                });
            }
            Existing::Absent => None,
        };
        match (key, existing_public) {
            (Some(key), Existing::Bytes(pem)) => {
                if !key.is_among(&pem) {
                    return Err(PhaseError::Unusable {
                        message: format!(
                            "{} is not the public half of {}",
                            public.display(),
                            private.display()
                        ),
                        hint: "bring a pair that belongs together, or move both away to have a new one made"
                            .into(),
                    });
                }
                return Ok(Verdict::AlreadyDone("uses the existing key pair".into()));
            }
            (Some(_), _) => {}
            (None, _) => {
                let key = Content::NewKey(self.cluster.key_algorithm());
                steps.push(new_file(private.clone(), PRIVATE, key));
            }
        }
        // kubeadm writes the public half as closed as the private one.
        steps.push(new_file(public, PRIVATE, Content::PublicKeyOf(private)));
        Ok(Verdict::Apply(steps))
    }

    fn keys_wanted(&self) -> usize {
        1
    }
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> PhaseError {
    PhaseError::Unusable {
        message: format!("{} cannot be used: {error}", path.display()),
        hint: "bring a usable file, or move it away to have a new one made".into(),
    }
}
