//! `certs renew`: new certificates with the names of the old ones, and the static pods restarted that use them.

mod certificate;
mod kubeconfig;
mod preflight;
mod restart;
mod target;

use std::{path::PathBuf, sync::Arc};

use rkadm_core::{
    config::ResolvedInit,
    engine::{Phase, PhaseError, PlanCx, Step, Verdict, Workflow, content::CaFiles},
    manifest::Component,
    pki::CertSpec,
};
use serde::{Deserialize, Serialize};

use crate::init::{Cluster, Environment};
pub use certificate::STRANGE;
pub use restart::{RESTART_ACTION, WITH_ETCD};
pub use target::{TARGETS, Target};

/// What to renew, and how. It is kept with the operation, so that a resume goes on with the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renewal {
    /// Names as in [`TARGETS`]; empty for all that is there and can be renewed here.
    pub names: Vec<String>,
    /// Directory of the certificates.
    pub cert_dir: PathBuf,
    /// The cluster's configuration, where it was given: the algorithm and validity of new certificates.
    pub config: Option<ResolvedInit>,
    /// Subjects and names come from the configuration, not from the certificates that are there.
    pub names_from_config: bool,
    /// Restart the static pods that use what was renewed.
    pub restart: bool,
    /// The runtime's socket URL.
    pub cri_socket: String,
}

impl Renewal {
    /// The command's name, which is the operation's.
    pub fn command(&self) -> String {
        let names = if self.names.is_empty() { "all".to_owned() } else { self.names.join(" ") };
        format!("certs renew {names}")
    }

    /// Whether a name was asked for; then it must be there.
    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|named| named == name)
    }

    /// Whether it is to be renewed, by its name or with all.
    pub fn wants(&self, target: &Target) -> bool {
        self.names.is_empty() || self.is_named(target.name)
    }

    fn ca_files(&self, base_name: &str) -> CaFiles {
        CaFiles {
            cert: self.cert_dir.join(format!("{base_name}.crt")),
            key: self.cert_dir.join(format!("{base_name}.key")),
        }
    }

    /// The cluster as the configuration describes it, for names from there.
    fn cluster(&self) -> Option<Cluster> {
        let config = self.config.clone()?;
        Some(Cluster::new(Arc::new(config), Environment::default()))
    }

    /// The certificate as the configuration wants it.
    fn configured(
        &self,
        of: impl FnOnce(&Cluster, &rkadm_core::pki::list::CertInputs) -> CertSpec,
    ) -> Option<Result<CertSpec, PhaseError>> {
        let cluster = self.cluster()?;
        Some(cluster.cert_inputs().map(|inputs| of(&cluster, &inputs)))
    }
}

/// The phases, in order: certificates, kubeconfigs, then the static pods in the order in which they need each other.
pub fn workflow(renewal: &Arc<Renewal>) -> Workflow {
    let mut phases: Vec<Box<dyn Phase>> = vec![Box::new(preflight::Check::new(renewal))];
    for target in TARGETS.iter().filter(|target| renewal.wants(target)) {
        phases.push(target.phase(renewal));
    }
    if renewal.restart {
        for component in Component::ALL {
            if TARGETS.iter().any(|target| renewal.wants(target) && target.used_by == Some(component)) {
                phases.push(Box::new(restart::Restart::new(renewal, component)));
            }
        }
    }
    Workflow { name: renewal.command(), phases }
}

/// The steps that renew one certificate, where that is not done and it can be renewed here.
///
/// # Errors
/// What is there cannot be used.
pub(crate) async fn steps(
    cx: &PlanCx<'_>,
    renewal: &Arc<Renewal>,
    target: &'static Target,
) -> Result<Option<Vec<Step>>, PhaseError> {
    if cx.store.output(&target.output()).is_some() {
        return Ok(Some(vec![]));
    }
    match target.phase(renewal).plan(cx).await? {
        Verdict::Apply(steps) => Ok(Some(steps)),
        Verdict::AlreadyDone(_) | Verdict::NotApplicable(_) => Ok(None),
    }
}
