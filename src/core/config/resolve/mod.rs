//! From files, flags and facts to the one value that the phases of `init` work from.

mod defaults;
mod every_kind;
mod input;
mod join;
mod reset;
mod resolved;
mod stored;
mod token;
mod upgrade;

pub(super) use defaults::{reset_with_defaults, upgrade_with_defaults};
pub use every_kind::{Completed, complete_documents, validate_documents};
pub use input::{HostFacts, InitFlags};
pub use join::{JoinFlags, ResolvedJoin, contradictions, joined, resolve_join};
pub use reset::{NodePaths, ResetFlags, resolve_reset};
pub use resolved::{FieldDifference, Image, ResolvedInit};
pub use stored::{StoredConfigError, version as stored_version};
pub use token::resolve_token;
pub use upgrade::{StoredSettings, UpgradedNode, resolve_upgrade, upgraded};

use self::input::Flags;
use super::component;
use super::document::Documents;
use super::error::{ConfigError, ConfigErrors, Problems, Warning};
use super::types::{ClusterConfiguration, InitConfiguration, Kind};
use super::validate;
use crate::version::{KubeVersion, MinorRow, NEWEST, check_supported};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::IpAddr;

const KUBELET: &str = "KubeletConfiguration";
const KUBE_PROXY: &str = "KubeProxyConfiguration";

/// Merges files and flags, fills defaults and checks everything. Fails with every problem at once.
pub fn resolve_init(
    documents: &Documents,
    flags: &InitFlags,
    facts: &HostFacts,
) -> Result<ResolvedInit, ConfigErrors> {
    let mut report = Report::new(documents, flags);
    refuse_mixing(&mut report, flags);
    refuse_other_kinds(&mut report);
    resolve(report, flags, facts, Purpose::Use)
}

/// What a configuration is resolved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be used on this machine.
    Use,
    /// To be checked or written out, for whatever machine.
    Document,
}

/// Goes on from what was found before.
fn resolve(
    mut report: Report<'_>,
    flags: &InitFlags,
    facts: &HostFacts,
    purpose: Purpose,
) -> Result<ResolvedInit, ConfigErrors> {
    let init: InitConfiguration = report.decode();
    let cluster: ClusterConfiguration = report.decode();
    let address_given =
        !init.local_api_endpoint.advertise_address.is_empty() || flags.apiserver_advertise_address.is_some();

    let mut problems = Problems::default();
    let init = defaults::init(&mut problems, init, &cluster, flags, facts);
    let address = validate::node::check_endpoint(&mut problems, &init.local_api_endpoint);
    check_init(&mut problems, &init);
    report.add(InitConfiguration::KIND, problems);

    let mut problems = Problems::default();
    let cluster = defaults::cluster(&mut problems, cluster, flags);
    let version = kubernetes_version(&mut problems, &cluster, facts);
    let cluster = defaults::endpoint_port(cluster, init.local_api_endpoint.bind_port);
    validate::cluster::check(&mut problems, &cluster, version.as_ref());
    if let Some(message) = address.and_then(|address| validate::cluster::other_family(&cluster, address)) {
        // The family of an address that nobody gave says nothing about the configuration.
        if address_given || purpose == Purpose::Use {
            problems.error("networking.serviceSubnet", message);
        } else {
            problems.warn("networking.serviceSubnet", message);
        }
    }
    report.add(ClusterConfiguration::KIND, problems);

    let (kubelet, kube_proxy) = components(&mut report, &cluster, address, version.as_ref());
    report.errors.sort_by_key(ConfigError::order);
    report.warnings.sort_by_key(|warning| warning.0.order());
    let Some(version) = version.filter(|_| report.errors.is_empty()) else {
        return Err(ConfigErrors(report.errors));
    };
    Ok(assemble(init, cluster, version, (kubelet, kube_proxy), flags, facts, report))
}

/// Collects problems and finds their place in the files or among the flags.
struct Report<'a> {
    documents: &'a Documents,
    flags: &'a dyn Flags,
    errors: Vec<ConfigError>,
    warnings: Vec<Warning>,
}

impl<'a> Report<'a> {
    fn new(documents: &'a Documents, flags: &'a dyn Flags) -> Self {
        Self { documents, flags, errors: Vec::new(), warnings: documents.warnings.clone() }
    }

    fn add(&mut self, kind: &str, problems: Problems) {
        let place = |error: ConfigError| {
            if error.field_path.starts_with("--") {
                return error;
            }
            match self.flags.setting(&error.field_path) {
                Some(flag) => ConfigError { field_path: flag.to_owned(), ..error },
                None => self.documents.place(kind, error),
            }
        };
        self.errors.extend(problems.errors.into_iter().map(place));
        self.warnings.extend(problems.warnings.into_iter().map(|warning| Warning(place(warning.0))));
    }

    fn value(&self, kind: &str) -> Option<Value> {
        self.documents.find(kind).map(super::document::Document::to_value)
    }

    /// The document as its type, or the empty one when there is none or it does not fit.
    fn decode<K: Kind + DeserializeOwned + Default>(&mut self) -> K {
        let Some(mut value) = self.value(K::KIND) else { return K::default() };
        drop_empty_choices(&mut value);
        match serde_json::from_value(value) {
            Ok(decoded) => decoded,
            Err(error) => {
                // The schema has checked all but the insides of `valueFrom`.
                let error = ConfigError::new("", format!("the document cannot be read: {error}"));
                self.errors.push(self.documents.place(K::KIND, error));
                K::default()
            }
        }
    }
}

/// An empty text for one of a set of choices, or for a secret, means not given.
fn drop_empty_choices(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                let optional =
                    ["imagePullPolicy", "encryptionAlgorithm", "certificateKey", "tlsBootstrapToken"];
                !(optional.contains(&key.as_str()) && value == "")
            });
            map.values_mut().for_each(drop_empty_choices);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty_choices),
        _ => {}
    }
}

fn refuse_mixing(report: &mut Report<'_>, flags: &InitFlags) {
    if !report.documents.given() {
        return;
    }
    for flag in flags.excluded_by_config() {
        report.errors.push(
            ConfigError::new(flag, "cannot be used together with --config")
                .hint("set it in the configuration file"),
        );
    }
}

/// A file for something else, given by mistake, must not mean the defaults. kubeadm refuses it too.
fn refuse_other_kinds(report: &mut Report<'_>) {
    let kinds = [InitConfiguration::KIND, ClusterConfiguration::KIND];
    if report.documents.given() && kinds.iter().all(|kind| report.documents.find(kind).is_none()) {
        let message = format!("no {} and no {} was found", kinds[0], kinds[1]);
        report.errors.push(ConfigError::new("--config", message).hint("give at least one of them"));
    }
}

fn check_init(problems: &mut Problems, init: &InitConfiguration) {
    validate::node::check_registration(problems, &init.node_registration);
    validate::node::check_tokens(problems, &init.bootstrap_tokens);
    validate::node::check_certificate_key(problems, init.certificate_key.as_ref());
    validate::node::check_ignored(
        problems,
        "nodeRegistration.ignorePreflightErrors",
        &init.node_registration.ignore_preflight_errors,
    );
    if let Some(patches) = init.patches.as_ref().filter(|patches| !patches.directory.is_empty()) {
        validate::node::check_patches(problems, &patches.directory);
    }
    if let Some(timeouts) = &init.timeouts {
        validate::node::check_timeouts(problems, timeouts);
    }
}

/// The version that was asked for, or else the newest known one that is not newer than the kubelet.
fn kubernetes_version(
    problems: &mut Problems,
    cluster: &ClusterConfiguration,
    facts: &HostFacts,
) -> Option<KubeVersion> {
    let path = "kubernetesVersion";
    let asked = cluster.kubernetes_version.as_str();
    if asked.is_empty() || asked == "stable-1" || asked == "stable" {
        return Some(default_version(problems, facts.kubelet_version.as_ref()));
    }
    // kubeadm, too, takes a version of its own where the internet does not answer.
    if ["latest", "ci/"].iter().any(|label| asked.starts_with(label)) {
        problems.warn(
            path,
            format!("the label {asked:?} is known to the internet only, which rkadm does not ask"),
        );
        return Some(default_version(problems, facts.kubelet_version.as_ref()));
    }
    let version = match KubeVersion::resolve(asked) {
        Ok(version) => version,
        Err(error) => {
            let newest = NEWEST.newest();
            problems.error_hint(
                path,
                error.to_string(),
                format!("the newest version this rkadm knows is {newest}"),
            );
            return None;
        }
    };
    if let Err(error) = check_supported(&version) {
        problems.error(path, error.to_string());
        return None;
    }
    Some(version)
}

fn default_version(problems: &mut Problems, kubelet: Option<&KubeVersion>) -> KubeVersion {
    let path = "kubernetesVersion";
    let newest = NEWEST.newest();
    match kubelet.filter(|kubelet| **kubelet < newest) {
        None => {
            problems.warn(path, format!("not given: using {newest}, the newest this rkadm knows"));
            newest
        }
        Some(kubelet) if kubelet.row().is_some() && !kubelet.is_prerelease() => {
            let used = kubelet.row().map_or_else(|| kubelet.clone(), MinorRow::newest).min(kubelet.clone());
            problems
                .warn(path, format!("not given: using {used}, because the installed kubelet is {kubelet}"));
            used
        }
        Some(kubelet) => {
            let oldest = crate::version::OLDEST.newest();
            problems.warn(
                path,
                format!("not given: using {oldest}, the nearest this rkadm knows to the installed kubelet {kubelet}"),
            );
            oldest
        }
    }
}

fn components(
    report: &mut Report<'_>,
    cluster: &ClusterConfiguration,
    address: Option<IpAddr>,
    version: Option<&KubeVersion>,
) -> (Value, Value) {
    let mut problems = Problems::default();
    let kubelet = component::kubelet(&mut problems, cluster, report.value(KUBELET).as_ref());
    report.add(KUBELET, problems);
    let mut problems = Problems::default();
    let mode = version.and_then(KubeVersion::row).unwrap_or(NEWEST).kube_proxy_mode;
    let kube_proxy =
        component::kube_proxy(&mut problems, cluster, address, mode, report.value(KUBE_PROXY).as_ref());
    report.add(KUBE_PROXY, problems);
    (kubelet, kube_proxy)
}

fn assemble(
    init: InitConfiguration,
    mut cluster: ClusterConfiguration,
    version: KubeVersion,
    (kubelet, kube_proxy): (Value, Value),
    flags: &InitFlags,
    facts: &HostFacts,
    report: Report<'_>,
) -> ResolvedInit {
    cluster.kubernetes_version = version.to_string();
    let mut node_registration = init.node_registration;
    let ignore_preflight_errors = std::mem::take(&mut node_registration.ignore_preflight_errors);
    ResolvedInit {
        cluster,
        node_registration,
        local_api_endpoint: init.local_api_endpoint,
        bootstrap_tokens: init.bootstrap_tokens,
        certificate_key: init.certificate_key,
        skip_phases: init.skip_phases,
        patches_dir: init.patches.map(|patches| patches.directory).filter(|directory| !directory.is_empty()),
        timeouts: init.timeouts.unwrap_or_default().with_defaults(),
        kubelet,
        kube_proxy,
        kubelet_generated: report.documents.find(KUBELET).is_none(),
        kube_proxy_generated: report.documents.find(KUBE_PROXY).is_none(),
        upload_certs: flags.upload_certs,
        ignore_preflight_errors,
        dry_run: init.dry_run,
        kubernetes_version: version,
        systemd_resolved: facts.systemd_resolved,
        skip_token_print: flags.skip_token_print,
        skip_certificate_key_print: flags.skip_certificate_key_print,
        warnings: report.warnings,
    }
}

#[cfg(test)]
mod tests;
