//! Flags of `rkadm upgrade …`: kubeadm's names, and a few of our own.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::Args;
use rkadm_core::config::types::{ImagePullPolicy, Patches, UpgradeApply, UpgradeConfiguration, UpgradeNode};
use rkadm_phases::upgrade::{Scope, kubelet::KubeletUpgrade};

use crate::cli::args::{FailurePolicy, absolute};

/// What `apply` and `node` have both.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Renew the certificates of components that change [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub certificate_renewal: Option<bool>,
    /// Configuration file (kubeadm.k8s.io/v1beta4, UpgradeConfiguration); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Print the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Upgrade etcd too [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub etcd_upgrade: Option<bool>,
    /// Preflight checks whose errors become warnings; `all` for every one
    #[arg(long, value_name = "CHECK,…", value_delimiter = ',')]
    pub ignore_preflight_errors: Vec<String>,
    /// Kubeconfig to reach the API server with [default: /etc/kubernetes/admin.conf, on workers kubelet.conf]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Directory of patches for static pods, the kubelet's configuration and addons
    #[arg(long, value_name = "DIR")]
    pub patches: Option<PathBuf>,
    /// Phases to leave out
    #[arg(long, value_name = "PHASE,…", value_delimiter = ',')]
    pub skip_phases: Vec<String>,
    /// Directory of the backup before the upgrade [default: /var/lib/rkadm/backups]
    #[arg(long, value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,
    /// What to do when a step fails
    #[arg(long, value_enum, default_value_t)]
    pub on_failure: FailurePolicy,
}

/// Flags of `upgrade apply` and of each of its phases.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ApplyArgs {
    /// Version to upgrade to, such as v1.37.2 [default: kubernetesVersion of --config]
    #[arg(value_name = "VERSION")]
    pub version: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    /// Allow alphas, betas and release candidates
    #[arg(long)]
    pub allow_experimental_upgrades: bool,
    /// Allow release candidates
    #[arg(long)]
    pub allow_release_candidate_upgrades: bool,
    /// Only tell of version rules that are broken, and do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Show the cluster's configuration that the upgrade works from
    #[arg(long)]
    pub print_config: bool,
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// Flags of an upgrade of several machines.
#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// Upgrade all these machines with one command, over ssh: control planes one by one, that of etcd's leader last, then workers. All
    /// control planes have to be named. Keys must be known to ssh, and the user there root or able to use sudo without a question
    #[arg(long, value_name = "HOST,…", value_delimiter = ',', conflicts_with_all = ["config", "print_config", "kubeconfig"])]
    pub nodes: Vec<String>,
    /// With --nodes, how many workers are upgraded at the same time
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, requires = "nodes")]
    pub max_unavailable: NonZeroUsize,
    #[command(flatten)]
    pub kubelet: KubeletArgs,
}

/// Flags of `upgrade node` and of each of its phases.
#[derive(Debug, Clone, Args)]
pub struct NodeArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub kubelet: KubeletArgs,
}

/// Whether and how the kubelet is upgraded.
#[derive(Debug, Clone, Args)]
pub struct KubeletArgs {
    /// Upgrade the kubelet too: drain the node, install the package by the machine's package manager (apt, dnf, zypper), restart,
    /// wait until the node is Ready, uncordon it
    #[arg(long)]
    pub kubelet: bool,
    /// With --kubelet, put this program in place of the kubelet instead of a package
    #[arg(long, value_name = "FILE")]
    pub kubelet_binary: Option<PathBuf>,
    /// With --kubelet, how many seconds the pods may take to move away
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub drain_timeout: u64,
    /// With --kubelet, let pods go that are managed by nobody and do not come back
    #[arg(long)]
    pub drain_unmanaged: bool,
    /// With --kubelet, let pods go that have data in an emptyDir
    #[arg(long)]
    pub drain_empty_dir: bool,
}

impl KubeletArgs {
    /// Whether it is.
    pub fn is_wanted(&self) -> bool {
        self.kubelet || self.kubelet_binary.is_some()
    }

    fn upgrade(&self) -> Option<KubeletUpgrade> {
        self.is_wanted().then(|| KubeletUpgrade {
            binary: self.kubelet_binary.as_ref().map(absolute),
            drain_seconds: self.drain_timeout,
            unmanaged: self.drain_unmanaged,
            empty_dir: self.drain_empty_dir,
        })
    }
}

/// How an upgrade is to be done, from files and flags.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting")]
pub struct Settings {
    pub scope: Scope,
    /// Of `apply`.
    pub version: Option<String>,
    pub certificate_renewal: bool,
    pub etcd_upgrade: bool,
    pub ignore_preflight_errors: Vec<String>,
    pub skip_phases: Vec<String>,
    pub patches_dir: Option<String>,
    pub dry_run: bool,
    pub force: bool,
    pub yes: bool,
    pub print_config: bool,
    pub allow_prereleases: bool,
    pub kubeconfig: Option<PathBuf>,
    pub backup_dir: PathBuf,
    pub timeouts: rkadm_core::config::types::Timeouts,
    /// When images are pulled ahead, and whether one at a time.
    pub pull: (Option<ImagePullPolicy>, Option<bool>),
    /// Of `node`.
    pub kubelet: Option<KubeletUpgrade>,
}

impl Settings {
    /// Without any flag.
    pub fn default_of(scope: Scope) -> Self {
        Self {
            scope,
            version: None,
            certificate_renewal: true,
            etcd_upgrade: true,
            ignore_preflight_errors: vec![],
            skip_phases: vec![],
            patches_dir: None,
            dry_run: false,
            force: false,
            yes: true,
            print_config: false,
            allow_prereleases: scope == Scope::Node,
            kubeconfig: None,
            backup_dir: crate::cli::backup::DEFAULT_DIR.into(),
            timeouts: rkadm_core::config::types::Timeouts::default().with_defaults(),
            pull: (None, None),
            kubelet: None,
        }
    }

    /// Of `upgrade apply`: a flag wins over the file.
    pub fn of_apply(args: &ApplyArgs, config: &UpgradeConfiguration) -> Self {
        let file: &UpgradeApply = &config.apply;
        let on = |given: Option<bool>| given.unwrap_or(false);
        let version = args.version.clone().or_else(|| Some(file.kubernetes_version.clone()));
        Self {
            version: version.filter(|version| !version.is_empty()),
            dry_run: args.common.dry_run || on(file.dry_run),
            force: args.force || on(file.force_upgrade),
            yes: args.yes || args.force || on(file.force_upgrade),
            print_config: args.print_config || on(file.print_config),
            pull: (file.image_pull_policy, file.image_pull_serial),
            allow_prereleases: args.allow_experimental_upgrades
                || args.allow_release_candidate_upgrades
                || on(file.allow_experimental_upgrades)
                || on(file.allow_rc_upgrades),
            ..Self::common(
                Scope::Cluster,
                &args.common,
                (file.certificate_renewal, file.etcd_upgrade),
                (&file.ignore_preflight_errors, &file.skip_phases, file.patches.as_ref()),
                config,
            )
        }
    }

    /// Of `upgrade node`.
    pub fn of_node(args: &NodeArgs, config: &UpgradeConfiguration) -> Self {
        let file: &UpgradeNode = &config.node;
        Self {
            dry_run: args.common.dry_run || file.dry_run.unwrap_or(false),
            kubelet: args.kubelet.upgrade(),
            pull: (file.image_pull_policy, file.image_pull_serial),
            ..Self::common(
                Scope::Node,
                &args.common,
                (file.certificate_renewal, file.etcd_upgrade),
                (&file.ignore_preflight_errors, &file.skip_phases, file.patches.as_ref()),
                config,
            )
        }
    }

    fn common(
        scope: Scope,
        args: &CommonArgs,
        (certificate_renewal, etcd_upgrade): (Option<bool>, Option<bool>),
        (ignored, skipped, configured): (&[String], &[String], Option<&Patches>),
        config: &UpgradeConfiguration,
    ) -> Self {
        let skip = if args.skip_phases.is_empty() { skipped.to_vec() } else { args.skip_phases.clone() };
        let base = Self::default_of(scope);
        Self {
            certificate_renewal: args.certificate_renewal.or(certificate_renewal).unwrap_or(true),
            etcd_upgrade: args.etcd_upgrade.or(etcd_upgrade).unwrap_or(true),
            ignore_preflight_errors: [ignored, &args.ignore_preflight_errors].concat(),
            skip_phases: skip,
            patches_dir: patches(args.patches.as_deref(), configured),
            dry_run: args.dry_run,
            kubeconfig: args.kubeconfig.as_ref().map(absolute),
            backup_dir: args.backup_dir.as_ref().map_or(base.backup_dir.clone(), absolute),
            timeouts: config.timeouts.clone().unwrap_or_else(|| base.timeouts.clone()),
            ..base
        }
    }
}

/// The directory of patches: the flag's, else the configuration's.
pub fn patches(flag: Option<&Path>, configured: Option<&Patches>) -> Option<String> {
    let configured = configured.map(|patches| patches.directory.clone());
    let given = flag.map(|dir| absolute(dir).display().to_string());
    given.or(configured).filter(|dir| !dir.is_empty())
}
