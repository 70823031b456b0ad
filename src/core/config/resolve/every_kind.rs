//! Checks every document that is given, whatever it is for.

use super::{HostFacts, InitFlags, KUBE_PROXY, KUBELET, Report, defaults, resolve};
use crate::config::Documents;
use crate::config::error::{ConfigError, ConfigErrors, Problems, Warning};
use crate::config::types::{
    ClusterConfiguration, InitConfiguration, JoinConfiguration, Kind, ResetConfiguration,
    UpgradeConfiguration,
};
use crate::config::validate::other_kinds::{check_join, check_reset, check_upgrade};
use crate::pki::list::DEFAULT_DIR;

/// Fills defaults and checks the values of each document, as the command that it is for does. What has an effect only
/// on a certain machine (ports, files) is not looked at.
///
/// # Errors
/// Every problem at once.
pub fn validate_documents(documents: &Documents, facts: &HostFacts) -> Result<Vec<Warning>, ConfigErrors> {
    let flags = InitFlags::default();
    let mut report = Report::new(documents, &flags);
    let has = |kind: &str| documents.find(kind).is_some();
    if has(JoinConfiguration::KIND) {
        let mut join: JoinConfiguration = report.decode();
        let mut problems = Problems::default();
        defaults::node(&mut problems, &mut join.node_registration, &flags, facts);
        if join.ca_cert_path.is_empty() {
            join.ca_cert_path = format!("{DEFAULT_DIR}/ca.crt");
        }
        check_join(&mut problems, &join);
        report.add(JoinConfiguration::KIND, problems);
    }
    if has(ResetConfiguration::KIND) {
        let mut reset: ResetConfiguration = report.decode();
        let mut problems = Problems::default();
        if reset.certificates_dir.is_empty() {
            DEFAULT_DIR.clone_into(&mut reset.certificates_dir);
        }
        check_reset(&mut problems, &reset);
        report.add(ResetConfiguration::KIND, problems);
    }
    if has(UpgradeConfiguration::KIND) {
        let mut problems = Problems::default();
        check_upgrade(&mut problems, &report.decode());
        report.add(UpgradeConfiguration::KIND, problems);
    }
    let of_init = [InitConfiguration::KIND, ClusterConfiguration::KIND, KUBELET, KUBE_PROXY];
    if of_init.iter().any(|kind| has(kind)) {
        // The report of the others goes in, so that all is told at once.
        let mut warnings = resolve(report, &flags, facts)?.warnings;
        if !has(InitConfiguration::KIND) && !has(ClusterConfiguration::KIND) {
            // A component's configuration alone leaves the version to whoever uses it.
            warnings.retain(|warning| warning.0.field_path != "kubernetesVersion");
        }
        return Ok(warnings);
    }
    report.errors.sort_by_key(ConfigError::order);
    if report.errors.is_empty() { Ok(report.warnings) } else { Err(ConfigErrors(report.errors)) }
}
