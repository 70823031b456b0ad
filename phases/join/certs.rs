//! `control-plane-prepare/certs`: this node's own certificates, signed by the shared authorities.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::joining::{Joining, WORKER};
use crate::{files::Existing, init};

/// Issues what init issues one by one.
pub struct Certs {
    joining: Arc<Joining>,
    single: Vec<Box<dyn Phase>>,
}

impl Certs {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining), single: init::certificates(&joining.cluster) }
    }
}

#[async_trait]
impl Phase for Certs {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(
            "control-plane-prepare/certs",
            "Generate the certificates for the new control plane components",
        )
        .help(
            "Issue the certificates of this node's API server and etcd with the authorities that all control planes \
             share, which must be here: by --certificate-key, or copied by hand.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.joining.is_control_plane() {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        let missing = missing_shared_files(cx, &self.joining).await?;
        if !missing.is_empty() {
            return Err(PhaseError::Unusable {
                message: format!("files that all control planes share are missing: {}", missing.join(", ")),
                hint: "give --certificate-key (`rkadm init phase upload-certs --upload-certs` on a control plane prints \
                       one), or copy the files from a control plane"
                    .into(),
            });
        }
        let mut steps = vec![];
        for phase in &self.single {
            if let Verdict::Apply(more) = phase.plan(cx).await? {
                for step in more {
                    // Two certificates of one directory both want it made.
                    if !steps.iter().any(|known| format!("{known:?}") == format!("{step:?}")) {
                        steps.push(step);
                    }
                }
            }
        }
        Ok(Verdict::from_steps(steps, "uses the existing certificates"))
    }

    fn keys_wanted(&self) -> usize {
        // All but the authorities and the service account's key pair.
        if self.joining.is_control_plane() { 7 } else { 0 }
    }
}

/// Those of the shared files that are not on this machine. An authority's key may be kept elsewhere.
pub async fn missing_shared_files(cx: &PlanCx<'_>, joining: &Joining) -> Result<Vec<String>, PhaseError> {
    let local_etcd = joining.cluster.etcd_data_dir().is_some();
    let mut missing = vec![];
    for (file, wanted) in [
        ("ca.crt", true),
        ("front-proxy-ca.crt", true),
        ("etcd/ca.crt", local_etcd),
        ("sa.key", true),
        ("sa.pub", true),
    ] {
        let path = joining.cluster.cert_file(file);
        if wanted && Existing::at(cx, &path).await? == Existing::Absent {
            missing.push(path.display().to_string());
        }
    }
    Ok(missing)
}
