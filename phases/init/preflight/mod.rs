//! `preflight`: what must hold on a machine before anything is done to it. Names of the checks are kubeadm's.

mod etcd;
mod images;
mod machine;
mod network;
mod ports;
mod runtime;
mod storage;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt, join_all};
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, phase::Finding},
    host::Probe,
};

use serde::{Deserialize, Serialize};

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
        let (missing, of_images) = images::missing(cx.host, &self.cluster).await;
        let mut all = check_all(cx.host, &self.cluster).await;
        all.extend(of_images);
        let (mut failed, mut told) = (vec![], vec![]);
        for (severity, finding) in all {
            if severity == Severity::Error && !is_ignored(&finding.check) {
                failed.push(finding);
                continue;
            }
            let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            cx.warn(format!("[{}] {}{hint}", finding.check, finding.message));
            told.push(Told { ignored: severity == Severity::Error, finding });
        }
        if !failed.is_empty() {
            return Err(PhaseError::Preflight(failed));
        }
        let mut pulls = vec![];
        if is_ignored("ImagePull") && !missing.is_empty() {
            cx.warn(format!("[ImagePull] not here and not pulled: {}", missing.join(", ")));
        } else {
            pulls = images::pulls(&self.cluster, missing);
        }
        if self.cluster.is_single_phase() && !cx.is_dry_run() {
            let value = serde_json::to_value(&told).unwrap_or_default();
            pulls.push(Step::Record { name: PREFLIGHT_OUTPUT.into(), value });
        }
        Ok(Verdict::from_steps(pulls, "all checks passed and all images are here"))
    }
}

/// Name of the recorded findings that did not stop the phase, when it was run alone.
pub const PREFLIGHT_OUTPUT: &str = "preflight";

/// A finding that did not stop the phase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// It would have, had its name not been given to `--ignore-preflight-errors`.
    pub ignored: bool,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

async fn check_all(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let checks: Vec<BoxFuture<'_, Vec<Found>>> = vec![
        async { machine::user(host) }.boxed(),
        machine::resources(host).boxed(),
        machine::swap(host, cluster).boxed(),
        machine::forwarding(host, cluster).boxed(),
        machine::programs(host).boxed(),
        machine::names(host, cluster).boxed(),
        machine::clock(host).boxed(),
        machine::earlier_cluster(host).boxed(),
        machine::firewall(host, cluster).boxed(),
        machine::cgroups(host, cluster).boxed(),
        machine::left_over(host, cluster).boxed(),
        storage::room(host).boxed(),
        storage::etcd_disk(host, cluster).boxed(),
        etcd::external(host, cluster).boxed(),
        async { network::proxies(cluster) }.boxed(),
        network::mtu(host).boxed(),
        machine::uploadable(host, cluster).boxed(),
        ports::free(host, cluster).boxed(),
        runtime::container_runtime(host, cluster).boxed(),
        runtime::kubelet(host, cluster).boxed(),
    ];
    join_all(checks).await.into_iter().flatten().collect()
}
