//! The settings of `reset`, from files, flags and facts.

use super::input::Flags;
use super::{HostFacts, Report, defaults};
use crate::config::document::Documents;
use crate::config::error::{ConfigError, ConfigErrors, Problems, Warning};
use crate::config::types::{Kind, ResetConfiguration};
use crate::config::validate::{node::check_ignored, other_kinds::check_reset};

/// The flags of `reset` that have a field in its configuration; `None`, empty or false when not given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResetFlags {
    /// `--cert-dir`: directory of the certificates.
    pub cert_dir: Option<String>,
    /// `--cleanup-tmp-dir`.
    pub cleanup_tmp_dir: bool,
    /// `--cri-socket`: socket of the container runtime.
    pub cri_socket: Option<String>,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--force`.
    pub force: bool,
    /// `--ignore-preflight-errors`.
    pub ignore_preflight_errors: Vec<String>,
    /// `--skip-phases`.
    pub skip_phases: Vec<String>,
}

impl Flags for ResetFlags {
    fn setting(&self, field_path: &str) -> Option<&'static str> {
        let (flag, given) = match field_path.split('[').next().unwrap_or_default() {
            "certificatesDir" => ("--cert-dir", self.cert_dir.is_some()),
            "criSocket" => ("--cri-socket", self.cri_socket.is_some()),
            "ignorePreflightErrors" => {
                ("--ignore-preflight-errors", !self.ignore_preflight_errors.is_empty())
            }
            _ => return None,
        };
        given.then_some(flag)
    }
}

/// What a node is configured with, as far as it tells.
#[derive(Debug, Clone, Default)]
pub struct NodePaths {
    /// The kubelet's socket of the runtime.
    pub cri_socket: Option<String>,
    /// The directory of the certificates of its control plane.
    pub certificates_dir: Option<String>,
}

/// Merges files and flags (a flag wins), fills defaults and checks everything. Fails with every problem at once.
///
/// `here` is what this machine is known to use.
pub fn resolve_reset(
    documents: &Documents,
    flags: &ResetFlags,
    here: NodePaths,
    facts: &HostFacts,
) -> Result<(ResetConfiguration, Vec<Warning>), ConfigErrors> {
    let mut report = Report::new(documents, flags);
    if documents.given() && documents.find(ResetConfiguration::KIND).is_none() {
        let message = format!("no {} was found", ResetConfiguration::KIND);
        report.errors.push(ConfigError::new("--config", message).hint("`reset` reads no other kind"));
    }
    let mut reset: ResetConfiguration = report.decode();
    let mut problems = Problems::default();
    let set = |field: &mut String, flag: &Option<String>| {
        if let Some(value) = flag {
            field.clone_from(value);
        }
    };
    set(&mut reset.certificates_dir, &flags.cert_dir);
    set(&mut reset.cri_socket, &flags.cri_socket);
    reset.cleanup_tmp_dir |= flags.cleanup_tmp_dir;
    reset.dry_run |= flags.dry_run;
    reset.force |= flags.force;
    reset.ignore_preflight_errors.extend(flags.ignore_preflight_errors.iter().cloned());
    if !flags.skip_phases.is_empty() {
        reset.skip_phases.clone_from(&flags.skip_phases);
    }
    if reset.cri_socket.is_empty() {
        match (here.cri_socket, facts.cri_sockets.as_slice()) {
            (Some(socket), _) => reset.cri_socket = socket,
            (None, [socket]) => reset.cri_socket.clone_from(socket),
            (None, []) => {}
            (None, several) => problems.error_hint(
                "criSocket",
                format!("several container runtimes were found: {}", several.join(", ")),
                "choose one with this field or --cri-socket",
            ),
        }
    }
    if let (true, Some(dir)) = (reset.certificates_dir.is_empty(), here.certificates_dir) {
        reset.certificates_dir = dir;
    }
    defaults::socket_url(&mut problems, "criSocket", &mut reset.cri_socket);
    let reset = defaults::reset_with_defaults(reset);
    check_reset(&mut problems, &reset);
    check_ignored(&mut problems, "ignorePreflightErrors", &reset.ignore_preflight_errors);
    report.add(ResetConfiguration::KIND, problems);
    report.errors.sort_by_key(ConfigError::order);
    if report.errors.is_empty() { Ok((reset, report.warnings)) } else { Err(ConfigErrors(report.errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn resolve(text: &str, flags: &ResetFlags) -> Result<ResetConfiguration, String> {
        let documents = match text {
            "" => Documents::none(),
            text => {
                Documents::load(&[Source::new("reset.yaml", text)]).map_err(|errors| errors.to_string())?
            }
        };
        resolve_reset(&documents, flags, NodePaths::default(), &HostFacts::default())
            .map(|(reset, _)| reset)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn flags_win_over_the_file_and_defaults_fill_the_rest() {
        let file = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ResetConfiguration\ncertificatesDir: /srv/pki\nforce: true\n";
        let flags = ResetFlags { cert_dir: Some("/etc/pki".into()), ..ResetFlags::default() };
        let reset = resolve(file, &flags).unwrap();
        assert_eq!(reset.certificates_dir, "/etc/pki");
        assert!(reset.force);
        assert_eq!(reset.cri_socket, "unix:///var/run/containerd/containerd.sock");
        assert_eq!(resolve("", &ResetFlags::default()).unwrap().certificates_dir, "/etc/kubernetes/pki");
    }

    #[test]
    fn a_file_of_another_kind_is_no_configuration_of_reset() {
        let file = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n";
        let error = resolve(file, &ResetFlags::default()).unwrap_err();
        assert!(error.contains("no ResetConfiguration was found"), "{error}");
    }

    #[test]
    fn the_kubelets_socket_is_taken_before_those_that_are_there() {
        let facts =
            HostFacts { cri_sockets: vec!["unix:///a".into(), "unix:///b".into()], ..HostFacts::default() };
        let resolve = |known: Option<&str>| {
            resolve_reset(
                &Documents::none(),
                &ResetFlags::default(),
                NodePaths { cri_socket: known.map(str::to_owned), ..NodePaths::default() },
                &facts,
            )
        };
        assert_eq!(resolve(Some("unix:///k")).unwrap().0.cri_socket, "unix:///k");
        assert!(resolve(None).unwrap_err().to_string().contains("several container runtimes"));
    }
}
