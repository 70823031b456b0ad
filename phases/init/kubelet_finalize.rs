//! `kubelet-finalize/*`: from the certificate that init made for the kubelet to those that it renews by itself.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, content::Content, wait::Condition},
    host::ServiceVerb,
    kubeconfig::Kubeconfig,
    manifest::args,
    text::sha256_hex,
};

use super::{
    cluster::{Cluster, PRIVATE},
    kubelet_start::KUBELET,
};
use crate::files::Existing;

/// Points kubelet.conf at the certificate that the kubelet keeps current.
pub struct EnableClientCertRotation {
    cluster: Arc<Cluster>,
}

impl EnableClientCertRotation {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

#[async_trait]
impl Phase for EnableClientCertRotation {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(
            "kubelet-finalize/enable-client-cert-rotation",
            "Enable kubelet client certificate rotation",
        )
        .help(
            "Point kubelet.conf at the client certificate that the kubelet renews by itself, and restart the \
                 kubelet. Not when the configuration turns rotation off.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let rotating = self.cluster.kubelet_client_current();
        let flags = &self.cluster.config.node_registration.kubelet_extra_args;
        // A flag of the kubelet wins over its file.
        let off = match args::value(flags, "rotate-certificates") {
            Some(flag) => flag == "false",
            None => self.cluster.config.kubelet["rotateCertificates"] == false,
        };
        if off {
            return Ok(Verdict::NotApplicable("rotateCertificates is off".into()));
        }
        let path = Cluster::kubeconfig("kubelet.conf");
        let yaml = match Existing::at(cx, &path).await? {
            Existing::Bytes(yaml) => yaml,
            Existing::Planned => return Ok(Verdict::AlreadyDone("known after apply".into())),
            Existing::Absent => {
                return Err(PhaseError::Unusable {
                    message: format!("{} is missing", path.display()),
                    hint: "run `rkadm init phase kubeconfig kubelet` first".into(),
                });
            }
        };
        let unusable = |error: &dyn std::error::Error| PhaseError::Unusable {
            message: format!("{} cannot be used: {error}", path.display()),
            hint: format!("move {} away to have a new one made", path.display()),
        };
        let mut file =
            Kubeconfig::from_yaml(&String::from_utf8_lossy(&yaml)).map_err(|error| unusable(&error))?;
        if !file.use_rotated_client(&rotating.display().to_string()) {
            return Ok(Verdict::AlreadyDone("kubelet.conf names the rotated certificate".into()));
        }
        let timeout = self.cluster.tls_bootstrap();
        Ok(Verdict::Apply(vec![
            self.cluster.wait_within(
                Condition::FileExists { path: rotating },
                timeout,
                "timeouts.tlsBootstrap",
            ),
            Step::WriteFile {
                path,
                mode: PRIVATE,
                content: Content::Private(file.to_yaml().as_bytes().to_vec()),
                seen: Seen::Sha256(sha256_hex(&yaml)),
            },
            Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Restart },
        ]))
    }
}
