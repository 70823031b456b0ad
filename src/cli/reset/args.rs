//! Flags of `rkadm reset`: kubeadm's names, and a few of our own.

use std::path::PathBuf;

use clap::{Args, Command};
use rkadm_core::config::ResetFlags;

use crate::cli::args::FailurePolicy;

/// Flags of `reset` and of each of its phases.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ResetArgs {
    /// Configuration file (kubeadm.k8s.io/v1beta4, ResetConfiguration); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Directory of the certificates, whose contents are removed [default: /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<String>,
    /// Remove the contents of /etc/kubernetes/tmp too
    #[arg(long)]
    pub cleanup_tmp_dir: bool,
    /// Socket of the container runtime [default: the kubelet's, else the one that is there]
    #[arg(long, value_name = "URL")]
    pub cri_socket: Option<String>,
    /// Print the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask, and go on where the runtime, etcd or the API server cannot be asked or speak against it
    #[arg(short, long)]
    pub force: bool,
    /// Preflight checks whose errors become warnings; `all` for every one
    #[arg(long, value_name = "CHECK,…", value_delimiter = ',')]
    pub ignore_preflight_errors: Vec<String>,
    /// Kubeconfig to reach the API server with [default: /etc/kubernetes/admin.conf]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Phases to leave out
    #[arg(long, value_name = "PHASE,…", value_delimiter = ',')]
    pub skip_phases: Vec<String>,
    /// Directory of the archive of what is removed [default: /var/lib/rkadm/archives]
    #[arg(long, value_name = "DIR", conflicts_with = "no_archive")]
    pub archive_dir: Option<PathBuf>,
    /// Keep nothing of what is removed: the reset cannot be taken back then
    #[arg(long)]
    pub no_archive: bool,
    /// Remove configuration, state and rules of CNI plugins too (/etc/cni/net.d, /var/lib/cni); other container engines may
    /// use them as well
    #[arg(long)]
    pub remove_cni: bool,
    /// Remove network interfaces of known network plugins and of kube-proxy too
    #[arg(long)]
    pub remove_interfaces: bool,
    /// Delete the Node object too
    #[arg(long)]
    pub delete_node: bool,
    /// Remove ~/.kube/config too, of the user and of the one who called sudo, where it is of this cluster alone
    #[arg(long)]
    pub remove_kubeconfig: bool,
    /// What to do when a phase fails
    #[arg(long, value_enum, default_value_t)]
    pub on_failure: FailurePolicy,
}

/// The flags of a phase are those of the whole.
pub fn of_phase(_id: &str, command: Command) -> Command {
    ResetArgs::augment_args(command)
}

impl ResetArgs {
    /// As the configuration takes them.
    pub fn flags(&self) -> ResetFlags {
        ResetFlags {
            cert_dir: self.cert_dir.clone(),
            cleanup_tmp_dir: self.cleanup_tmp_dir,
            cri_socket: self.cri_socket.clone(),
            dry_run: self.dry_run,
            force: self.force,
            ignore_preflight_errors: self.ignore_preflight_errors.clone(),
            skip_phases: self.skip_phases.clone(),
        }
    }
}
