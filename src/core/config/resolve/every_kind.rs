//! Checks and completes every document that is given, whatever it is for.

use super::{HostFacts, InitFlags, KUBE_PROXY, KUBELET, Purpose, Report, defaults, resolve};
use crate::config::document::{Document, Documents};
use crate::config::error::{ConfigError, ConfigErrors, Problems, Warning};
use crate::config::secret::exposed;
use crate::config::types::{
    ClusterConfiguration, InitConfiguration, JoinConfiguration, Kind, ResetConfiguration,
    UpgradeConfiguration,
};
use crate::config::validate::other_kinds::{check_join, check_reset, check_upgrade};
use serde_json::Value;

/// Documents with every default written out.
#[derive(Debug)]
pub struct Completed {
    /// In the order that kubeadm writes them, with secrets in clear. The settings of components are as they were given:
    /// their defaults are those of each Kubernetes version.
    pub documents: Vec<Value>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Fills defaults and checks the values of each document, as the command that it is for does. What has an effect only
/// on a certain machine (ports, files) is not looked at.
///
/// # Errors
/// Every problem at once.
pub fn validate_documents(documents: &Documents, facts: &HostFacts) -> Result<Vec<Warning>, ConfigErrors> {
    complete_documents(documents, facts).map(|completed| completed.warnings)
}

/// As [`validate_documents`], and gives the documents with their defaults. Settings of `init` and of the cluster belong
/// together: when one is given, there are both.
///
/// # Errors
/// Every problem at once.
pub fn complete_documents(documents: &Documents, facts: &HostFacts) -> Result<Completed, ConfigErrors> {
    let flags = InitFlags::default();
    let mut report = Report::new(documents, &flags);
    let has = |kind: &str| documents.find(kind).is_some();
    let others = others(&mut report, facts);
    let components = [KUBELET, KUBE_PROXY].into_iter().filter_map(|kind| documents.find(kind));
    let mut components: Vec<_> = components.map(Document::to_value).collect();
    components.iter_mut().for_each(crate::yaml::sort_keys);

    let of_init = has(InitConfiguration::KIND) || has(ClusterConfiguration::KIND);
    let mut completed = Vec::new();
    let warnings = if of_init || !components.is_empty() {
        // The report of the others goes in, so that all is told at once.
        let mut config = resolve(report, &flags, facts, Purpose::Document)?;
        if of_init {
            completed.push(exposed(|| config.init_configuration().to_document()));
            completed.push(config.cluster.to_document());
        } else {
            // A component's configuration alone leaves the version to whoever uses it.
            config.warnings.retain(|warning| warning.0.field_path != "kubernetesVersion");
        }
        config.warnings
    } else {
        report.errors.sort_by_key(ConfigError::order);
        if !report.errors.is_empty() {
            return Err(ConfigErrors(report.errors));
        }
        report.warnings
    };
    completed.extend(others);
    completed.extend(components);
    Ok(Completed { documents: completed, warnings })
}

/// The documents that are not for `init`.
fn others(report: &mut Report<'_>, facts: &HostFacts) -> Vec<Value> {
    let mut completed = Vec::new();
    let documents = report.documents;
    let has = |kind: &str| documents.find(kind).is_some();
    if has(JoinConfiguration::KIND) {
        let mut problems = Problems::default();
        let mut join = defaults::join(&mut problems, report.decode(), facts);
        check_join(&mut problems, &join);
        let discovery = &mut join.discovery;
        if discovery.tls_bootstrap_token.is_none() {
            // After the check: a wrong token is told once.
            discovery.tls_bootstrap_token =
                discovery.bootstrap_token.as_ref().and_then(|it| it.token.clone());
        }
        report.add(JoinConfiguration::KIND, problems);
        completed.push(exposed(|| join.to_document()));
    }
    if has(ResetConfiguration::KIND) {
        let mut problems = Problems::default();
        let mut reset = defaults::reset_with_defaults(report.decode());
        defaults::socket_url(&mut problems, "criSocket", &mut reset.cri_socket);
        check_reset(&mut problems, &reset);
        report.add(ResetConfiguration::KIND, problems);
        completed.push(reset.to_document());
    }
    if has(UpgradeConfiguration::KIND) {
        let mut problems = Problems::default();
        let upgrade = defaults::upgrade_with_defaults(report.decode());
        check_upgrade(&mut problems, &upgrade);
        report.add(UpgradeConfiguration::KIND, problems);
        completed.push(upgrade.to_document());
    }
    completed
}
