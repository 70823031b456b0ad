//! `preflight`: what must hold on a machine before anything is done to it. Names of the checks are kubeadm's.

mod images;
mod machine;
mod ports;
mod runtime;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt, join_all};
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict, phase::Finding},
    host::Probe,
};

use super::cluster::Cluster;

/// Runs every check, then reports all that failed.
pub struct Preflight {
    cluster: Arc<Cluster>,
}

impl Preflight {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

/// Checks that fail for want of root's rights alone: to run at all, to use the runtime's socket.
const NEEDS_ROOT: [&str; 2] = ["IsPrivilegedUser", "CRI"];

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The cluster would not come up, or something would be overwritten.
    Error,
    /// It may work.
    Warning,
}

/// A finding and how bad it is.
pub type Found = (Severity, Finding);

/// An error with a hint.
pub fn error(check: impl Into<String>, message: impl Into<String>, hint: &str) -> Found {
    (Severity::Error, Finding { check: check.into(), message: message.into(), hint: Some(hint.into()) })
}

/// A warning with a hint.
pub fn warning(check: impl Into<String>, message: impl Into<String>, hint: &str) -> Found {
    (Severity::Warning, Finding { check: check.into(), message: message.into(), hint: Some(hint.into()) })
}

#[async_trait]
impl Phase for Preflight {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("preflight", "Run pre-flight checks")
            .help(
                "Check this machine, its container runtime and its kubelet, and pull the images. All checks run, then \
                 all that failed are shown. --ignore-preflight-errors=NAME turns one into a warning.",
            )
            .once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let ignored = &self.cluster.config.ignore_preflight_errors;
        let is_ignored = |check: &str| {
            ignored.iter().any(|name| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case(check))
        };
        // A plan is worth reading without root's rights, too.
        let only_reads = cx.is_dry_run() && cx.host.uid() != 0;
        let is_ignored = |check: &str| is_ignored(check) || (only_reads && NEEDS_ROOT.contains(&check));
        let mut failed = vec![];
        for (severity, finding) in check_all(cx.host, &self.cluster).await {
            if severity == Severity::Error && !is_ignored(&finding.check) {
                failed.push(finding);
            } else {
                cx.warn(format!("[{}] {}", finding.check, finding.message));
            }
        }
        let (mut missing, found) = images::missing(cx.host, &self.cluster).await;
        if is_ignored("ImagePull") && !missing.is_empty() {
            cx.warn(format!("[ImagePull] not here and not pulled: {}", missing.join(", ")));
            missing.clear();
        }
        for (_, finding) in found {
            if is_ignored(&finding.check) {
                cx.warn(format!("[{}] {}", finding.check, finding.message));
            } else {
                failed.push(finding);
            }
        }
        if !failed.is_empty() {
            return Err(PhaseError::Preflight(failed));
        }
        let steps = images::pulls(&self.cluster, missing);
        Ok(Verdict::from_steps(steps, "all checks passed and all images are here"))
    }
}

async fn check_all(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let checks: Vec<BoxFuture<'_, Vec<Found>>> = vec![
        async { machine::user(host) }.boxed(),
        machine::resources(host).boxed(),
        machine::swap(host, cluster).boxed(),
        machine::forwarding(host, cluster).boxed(),
        machine::programs(host).boxed(),
        machine::hostname(host, cluster).boxed(),
        machine::firewall(host, cluster).boxed(),
        machine::cgroups(host, cluster).boxed(),
        machine::left_over(host, cluster).boxed(),
        machine::writable(host).boxed(),
        machine::uploadable(host, cluster).boxed(),
        ports::free(host, cluster).boxed(),
        runtime::container_runtime(host, cluster).boxed(),
        runtime::kubelet(host, cluster).boxed(),
    ];
    join_all(checks).await.into_iter().flatten().collect()
}
