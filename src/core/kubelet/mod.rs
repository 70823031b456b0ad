//! The kubelet's files that init, join and upgrade write: its configuration, what differs on this node, its flags.

mod config;
mod flags;

pub use config::{differences, health_port, health_url, instance_config, node_config, to_yaml};
pub use flags::{KubeletFlags, flag_of, flags_env, without_flag};

/// The configuration every kubelet reads; node-specific values are patched in.
pub const CONFIG_FILE: &str = "/var/lib/kubelet/config.yaml";
/// What this node alone sets, kept apart so that upgrades do not lose it.
pub const INSTANCE_CONFIG_FILE: &str = "/var/lib/kubelet/instance-config.yaml";
/// Flags of this node's kubelet, read by its systemd unit.
pub const FLAGS_ENV_FILE: &str = "/var/lib/kubelet/kubeadm-flags.env";
