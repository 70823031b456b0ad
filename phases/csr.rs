//! `certs generate-csr`: keys and signing requests for an authority whose key is kept elsewhere.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    config::ResolvedInit,
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Verdict, Workflow,
        content::{Content, KubeconfigContent},
    },
    kubeconfig::{
        Kubeconfig,
        list::{self as kubeconfigs, KubeconfigSpec},
    },
    pki::{
        CertSpec, KeyAlgorithm, PrivateKey, ReceivedRequest,
        list::{self as certificates, CertEntry},
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    files::{Existing, directory, new_file},
    init::{Cluster, Environment, KUBERNETES_DIR, PRIVATE, PUBLIC_DIR},
};

/// What to make requests for, and where to put them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// The cluster's configuration: names, algorithm.
    pub config: ResolvedInit,
    /// Where keys and requests go.
    pub cert_dir: PathBuf,
    /// Where kubeconfigs with their requests go.
    pub kubeconfig_dir: Option<PathBuf>,
}

/// Phase ids are journal keys: never renamed.
const CERTIFICATES: [(&str, &str); 7] = [
    ("csr/apiserver", "apiserver"),
    ("csr/apiserver-kubelet-client", "apiserver-kubelet-client"),
    ("csr/front-proxy-client", "front-proxy-client"),
    ("csr/etcd-server", "etcd-server"),
    ("csr/etcd-peer", "etcd-peer"),
    ("csr/etcd-healthcheck-client", "etcd-healthcheck-client"),
    ("csr/apiserver-etcd-client", "apiserver-etcd-client"),
];
const KUBECONFIGS: [(&str, &str); 5] = [
    ("csr/admin.conf", "admin"),
    ("csr/super-admin.conf", "super-admin"),
    ("csr/kubelet.conf", "kubelet"),
    ("csr/controller-manager.conf", "controller-manager"),
    ("csr/scheduler.conf", "scheduler"),
];

/// A request for every certificate and kubeconfig of a control plane.
pub fn workflow(requests: &Arc<Requests>) -> Workflow {
    let mut phases: Vec<Box<dyn Phase>> = vec![];
    for (id, name) in CERTIFICATES {
        if let Some(entry) = certificates::entry(name) {
            phases.push(Box::new(Request {
                id,
                what: What::Certificate(entry),
                requests: Arc::clone(requests),
            }));
        }
    }
    for (id, name) in KUBECONFIGS {
        if let Some(spec) = kubeconfigs::file(name) {
            phases.push(Box::new(Request {
                id,
                what: What::Kubeconfig(spec),
                requests: Arc::clone(requests),
            }));
        }
    }
    Workflow { name: "certs generate-csr".into(), phases }
}

enum What {
    Certificate(&'static CertEntry),
    Kubeconfig(&'static KubeconfigSpec),
}

struct Request {
    id: &'static str,
    what: What,
    requests: Arc<Requests>,
}

/// A key's file with its content, and the request for it.
struct Files {
    key: PathBuf,
    content: Content,
    csr: PathBuf,
    spec: CertSpec,
}

impl Files {
    /// Whether a request says what is wanted, for the key that is there.
    async fn are_made(&self, cx: &PlanCx<'_>, request: &[u8]) -> Result<bool, PhaseError> {
        let Existing::Bytes(key) = Existing::at(cx, &self.key).await? else { return Ok(false) };
        let key = match self.content {
            Content::NewKey(_) => PrivateKey::from_pem(&key).ok(),
            _ => Kubeconfig::from_yaml(&String::from_utf8_lossy(&key))
                .ok()
                .and_then(|file| file.current().ok()?.1.key().ok()?),
        };
        let (Some(key), Ok(request)) = (key, ReceivedRequest::from_pem(request)) else { return Ok(false) };
        Ok(request.is_for(&key) && request.spec(self.spec.usage, self.spec.validity) == self.spec)
    }
}

impl Request {
    fn files(&self, cluster: &Cluster) -> Result<Files, PhaseError> {
        let inputs = cluster.cert_inputs()?;
        let algorithm: KeyAlgorithm = cluster.key_algorithm();
        Ok(match &self.what {
            What::Certificate(entry) => Files {
                key: self.requests.cert_dir.join(entry.key_file()),
                content: Content::NewKey(algorithm),
                csr: self.requests.cert_dir.join(entry.csr_file()),
                spec: entry.spec(&inputs),
            },
            What::Kubeconfig(kubeconfig) => {
                let config = &cluster.config;
                let dir = self.requests.kubeconfig_dir.clone().unwrap_or_else(|| KUBERNETES_DIR.into());
                let (endpoint, local) = (config.control_plane_endpoint(), config.local_api_url());
                let spec = kubeconfig.cert_spec(config.node_name(), inputs.leaf_validity);
                let content = KubeconfigContent {
                    cluster: config.cluster.cluster_name.clone(),
                    server: kubeconfig.server_url(&endpoint, &local).to_owned(),
                    user: kubeconfig.user_name(config.node_name()),
                    ca: rkadm_core::engine::content::CaFiles {
                        cert: self.requests.cert_dir.join("ca.crt"),
                        key: self.requests.cert_dir.join("ca.key"),
                    },
                    spec: spec.clone(),
                    algorithm,
                };
                Files {
                    key: dir.join(kubeconfig.file),
                    content: Content::Unsigned(Box::new(content)),
                    csr: dir.join(format!("{}.csr", kubeconfig.file)),
                    spec,
                }
            }
        })
    }
}

#[async_trait]
impl Phase for Request {
    fn meta(&self) -> PhaseMeta {
        let name = self.id.trim_start_matches("csr/");
        PhaseMeta::new(self.id, format!("Generate a key and a signing request for {name}")).once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let cluster = Cluster::new(Arc::new(self.requests.config.clone()), Environment::default());
        if let What::Certificate(entry) = &self.what
            && entry.needs_local_etcd()
            && cluster.etcd_data_dir().is_none()
        {
            return Ok(Verdict::NotApplicable("etcd is external".into()));
        }
        let files = self.files(&cluster)?;
        match Existing::at(cx, &files.csr).await? {
            Existing::Absent => {}
            // What an interrupted run wrote last, or a run before.
            Existing::Bytes(pem) if files.are_made(cx, &pem).await? => {
                return Ok(Verdict::AlreadyDone("the request is there already".into()));
            }
            _ => {
                return Err(PhaseError::Unusable {
                    message: format!("{} is there already, and is another request", files.csr.display()),
                    hint: "have that one signed, or move it away; --cert-dir and --kubeconfig-dir take other places"
                        .into(),
                });
            }
        }
        let parent = files.csr.parent().unwrap_or(std::path::Path::new("/")).to_owned();
        let mut steps = directory(cx, &parent, PUBLIC_DIR).await?;
        // A key that is there is kept: the new certificate will be for it.
        if Existing::at(cx, &files.key).await? == Existing::Absent {
            steps.push(new_file(files.key.clone(), PRIVATE, files.content));
        }
        let request = Content::Request { spec: Box::new(files.spec), key: files.key };
        steps.push(new_file(files.csr, PRIVATE, request));
        Ok(Verdict::Apply(steps))
    }

    fn keys_wanted(&self) -> usize {
        1
    }
}
