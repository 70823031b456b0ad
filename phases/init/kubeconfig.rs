//! `kubeconfig/*`: the credentials of the administrator, the kubelet and the control plane's own clients.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict,
        content::{Content, KubeconfigContent},
    },
    kubeconfig::{
        self, Expected, KubeconfigProblem,
        list::{self, KubeconfigSpec},
    },
    pki::Certificate,
    text::sha256_hex,
};

use super::cluster::{Cluster, PRIVATE, PUBLIC_DIR};
use crate::files::{Existing, directory, new_file};

const IDS: [(&str, &str); 5] = [
    ("kubeconfig/admin", "admin"),
    ("kubeconfig/super-admin", "super-admin"),
    ("kubeconfig/kubelet", "kubelet"),
    ("kubeconfig/controller-manager", "controller-manager"),
    ("kubeconfig/scheduler", "scheduler"),
];

/// One phase for each file.
pub fn phases(cluster: &Arc<Cluster>) -> Vec<Box<dyn Phase>> {
    let mut phases: Vec<Box<dyn Phase>> = vec![];
    for (id, name) in IDS {
        if let Some(spec) = list::file(name) {
            phases.push(Box::new(Kubeconfig { id, spec, cluster: Arc::clone(cluster) }));
        }
    }
    phases
}

struct Kubeconfig {
    id: &'static str,
    spec: &'static KubeconfigSpec,
    cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for Kubeconfig {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(self.id, self.spec.title()).help(self.spec.help())
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let config = &self.cluster.config;
        let path = self.cluster.new_kubeconfig(self.spec.file);
        let endpoint = config.control_plane_endpoint();
        let local = config.local_api_url();
        let server = match self.spec.id {
            "kubelet" if !config.kubelet_local_mode() => &endpoint,
            _ => self.spec.server_url(&endpoint, &local),
        };
        match Existing::at(cx, &path).await? {
            Existing::Planned => return Ok(Verdict::AlreadyDone("planned by an earlier phase".into())),
            Existing::Bytes(yaml) => return self.check_existing(cx, &yaml, server).await,
            Existing::Absent => {}
        }
        let ca = self.cluster.ca_files("ca");
        for needed in [&ca.cert, &ca.key] {
            if Existing::at(cx, needed).await? == Existing::Absent {
                return Err(PhaseError::Unusable {
                    message: format!("{} is missing and {} is not here to sign its certificate", path.display(), needed.display()),
                    hint: "with an authority kept elsewhere, bring the kubeconfig files too; otherwise run `rkadm init phase certs ca` first".into(),
                });
            }
        }
        let mut steps = directory(cx, self.cluster.kubeconfig_dir(), PUBLIC_DIR).await?;
        let content = KubeconfigContent {
            cluster: config.cluster.cluster_name.clone(),
            server: server.to_owned(),
            user: self.spec.user_name(config.node_name()),
            ca,
            spec: self.spec.cert_spec(config.node_name(), self.cluster.cert_inputs()?.leaf_validity),
            algorithm: self.cluster.key_algorithm(),
        };
        steps.push(new_file(path, PRIVATE, Content::Kubeconfig(Box::new(content))));
        Ok(Verdict::Apply(steps))
    }

    fn keys_wanted(&self) -> usize {
        1
    }
}

/// What `certs generate-csr` leaves open: the certificate, which was signed elsewhere and lies beside the file, and the authority.
async fn complete(
    cx: &PlanCx<'_>,
    path: &Path,
    file: &mut kubeconfig::Kubeconfig,
    ca: &Certificate,
) -> Result<bool, String> {
    let Ok((cluster, user)) = file.current() else { return Ok(false) };
    let without_ca = cluster.certificate_authority.is_none() && cluster.certificate_authority_data.is_none();
    let waits = user.client_certificate.is_none() && user.client_certificate_data.is_none();
    let key = user.key().map_err(|error| error.to_string())?.filter(|_| waits);
    let signed = PathBuf::from(format!("{}.crt", path.display()));
    let mut changed = without_ca && file.embed_authority(ca);
    let Some(key) = key else { return Ok(changed) };
    if let Existing::Bytes(pem) = Existing::at(cx, &signed).await.map_err(|error| error.to_string())? {
        let certificate =
            Certificate::from_pem(&pem).map_err(|error| format!("{}: {error}", signed.display()))?;
        if !key.matches(&certificate) {
            return Err(format!("{} is not for the key in it", signed.display()));
        }
        changed |= file.embed_client(&certificate, &key);
    }
    Ok(changed)
}

impl Kubeconfig {
    async fn check_existing(
        &self,
        cx: &PlanCx<'_>,
        yaml: &[u8],
        server: &str,
    ) -> Result<Verdict, PhaseError> {
        let path = self.cluster.new_kubeconfig(self.spec.file);
        let unusable = |why: String| PhaseError::Unusable {
            message: format!("{} cannot be used: {why}", path.display()),
            hint: format!("move {} away to have a new one made", path.display()),
        };
        let mut file = kubeconfig::Kubeconfig::from_yaml(&String::from_utf8_lossy(yaml))
            .map_err(|error| unusable(error.to_string()))?;
        let ca = match Existing::at(cx, &self.cluster.ca_files("ca").cert).await? {
            Existing::Bytes(pem) => {
                Some(Certificate::from_pem(&pem).map_err(|error| unusable(error.to_string()))?)
            }
            Existing::Absent | Existing::Planned => None,
        };
        let Some(ca) = ca else {
            return Ok(Verdict::AlreadyDone("uses the existing file".into()));
        };
        let completed = complete(cx, &path, &mut file, &ca).await.map_err(unusable)?;
        let problems =
            kubeconfig::problems(&file, &Expected { server, ca: &ca, client: None }, Timestamp::now());
        let (fatal, other): (Vec<_>, Vec<_>) = problems.into_iter().partition(KubeconfigProblem::is_fatal);
        if !fatal.is_empty() {
            let why: Vec<_> = fatal.iter().map(ToString::to_string).collect();
            return Err(unusable(why.join("; ")));
        }
        for problem in other {
            cx.warn(format!("{} is kept: {problem}", path.display()));
        }
        if completed {
            let text = Content::Private(file.to_yaml().as_bytes().to_vec());
            let seen = Seen::Sha256(sha256_hex(yaml));
            return Ok(Verdict::Apply(vec![Step::WriteFile { path, mode: PRIVATE, content: text, seen }]));
        }
        Ok(Verdict::AlreadyDone("uses the existing file".into()))
    }
}
