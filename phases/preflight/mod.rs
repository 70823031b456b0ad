//! What must hold on a machine before anything is done to it. Names of the checks are kubeadm's.
//!
//! The checks, and how they are judged. Which of them a command asks for is its own `preflight` phase's to say.

pub mod etcd;
pub mod images;
pub mod machine;
pub mod network;
pub mod ports;
pub mod runtime;
pub mod storage;

use rkadm_core::engine::{PhaseError, PlanCx, Step, phase::Finding};
use serde::{Deserialize, Serialize};

use crate::init::Cluster;

/// Checks that fail for want of root's rights alone: to run at all, to use the runtime's socket.
const NEEDS_ROOT: [&str; 2] = ["IsPrivilegedUser", "CRI"];

/// Name of the recorded findings that did not stop the phase, when it was run alone.
pub const PREFLIGHT_OUTPUT: &str = "preflight";

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The node would not come up, or something would be overwritten.
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

/// A finding that did not stop the phase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// It would have, had its name not been given to `--ignore-preflight-errors`.
    pub ignored: bool,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Whether `--ignore-preflight-errors` names this check.
pub fn is_ignored(ignored: &[String], check: &str) -> bool {
    ignored.iter().any(|name| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case(check))
}

/// Tells the findings, fails where one is an error that is not ignored, and gives the steps that are left: to pull the
/// images that are `missing`.
///
/// # Errors
/// All the findings that stop the phase, at once.
pub fn judge(
    cx: &PlanCx<'_>,
    cluster: &Cluster,
    found: Vec<Found>,
    missing: Vec<String>,
) -> Result<Vec<Step>, PhaseError> {
    let ignored = &cluster.config.ignore_preflight_errors;
    // A plan is worth reading without root's rights, too.
    let only_reads = cx.is_dry_run() && cx.host.uid() != 0;
    let is_ignored = |check: &str| is_ignored(ignored, check) || (only_reads && NEEDS_ROOT.contains(&check));
    let (mut failed, mut told) = (vec![], vec![]);
    for (severity, finding) in found {
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
    let mut steps = vec![];
    if is_ignored("ImagePull") && !missing.is_empty() {
        cx.warn(format!("[ImagePull] not here and not pulled: {}", missing.join(", ")));
    } else {
        steps = images::pulls(cluster, missing);
    }
    if cluster.is_single_phase() && !cx.is_dry_run() {
        let value = serde_json::to_value(&told).unwrap_or_default();
        steps.push(Step::Record { name: PREFLIGHT_OUTPUT.into(), value });
    }
    Ok(steps)
}
