//! What a newer minor does not take any more: flags, feature gates and API versions, as tables and questions to them.

mod apis;
mod flags;
mod gates;
mod past;

pub use apis::{OldApi, deprecated_apis, has_gone_apis, old_api, removed_apis};
pub use flags::{OldFlag, deprecated_flags, removed_flags};
pub use gates::{GoneGate, LockedGate, gone_gates, locked_gates};

use super::{NEWEST, row};
use crate::manifest::Component;

/// A program that is started with flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// The kubelet.
    Kubelet,
}

impl From<Component> for Program {
    fn from(component: Component) -> Self {
        match component {
            Component::Etcd => Self::Etcd,
            Component::ApiServer => Self::ApiServer,
            Component::ControllerManager => Self::ControllerManager,
            Component::Scheduler => Self::Scheduler,
        }
    }
}

impl Program {
    /// The minor of this program that comes with a Kubernetes minor: 7, of etcd 3.7, with 37.
    pub fn minor_with(self, kubernetes: u64) -> Option<u64> {
        match self {
            Self::Etcd => row(kubernetes).unwrap_or(NEWEST).etcd_tag.split('.').nth(1)?.parse().ok(),
            _ => Some(kubernetes),
        }
    }

    fn release(self, minor: u64) -> String {
        if self == Self::Etcd { format!("etcd 3.{minor}") } else { format!("1.{minor}") }
    }
}

/// Why a program of a Kubernetes minor would not take a flag; `None` where it does, as far as is known.
pub fn flag(program: impl Into<Program>, name: &str, minor: u64) -> Option<String> {
    let program = program.into();
    // Programs of Kubernetes take underscores, too.
    let dashed = name.replace('_', "-");
    let gone = removed_flags(program, 0, program.minor_with(minor)?).find(|flag| flag.name == dashed)?;
    let instead = gone.instead.map_or_else(String::new, |instead| format!(": use {instead} instead"));
    Some(format!("--{name} is gone with {}{instead}", program.release(gone.gone_in?)))
}

/// Why a component of a Kubernetes minor would not take a gate with this value.
pub fn gate(name: &str, on: bool, minor: u64) -> Option<String> {
    if let Some(gone) = gone_gates(0, minor).find(|gate| gate.name == name) {
        return Some(format!("the feature gate {name} is unknown from 1.{} on", gone.gone_in));
    }
    let locked = locked_gates(minor).find(|gate| gate.name == name && gate.on != on)?;
    let switched = if locked.on { "off" } else { "on" };
    Some(format!("the feature gate {name} cannot be switched {switched} from 1.{} on", locked.locked_in))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_with_the_minor_that_drops_them() {
        let experimental = "experimental-initial-corrupt-check";
        assert_eq!(flag(Component::Etcd, experimental, 36), None);
        assert_eq!(
            flag(Component::Etcd, experimental, 37).unwrap(),
            "--experimental-initial-corrupt-check is gone with etcd 3.7: use InitialCorruptCheck in --feature-gates instead"
        );
        assert_eq!(flag(Component::Etcd, "enable-v2", 34).unwrap(), "--enable-v2 is gone with etcd 3.6");
        assert_eq!(flag(Component::Etcd, "quota-backend-bytes", 37), None);
        assert!(flag(Component::ControllerManager, "concurrent-service-syncs", 37).is_some());
        assert!(flag(Component::ApiServer, "concurrent-service-syncs", 37).is_none());
        assert_eq!(flag(Program::Kubelet, "boot_id_file", 37).unwrap(), "--boot_id_file is gone with 1.37");
    }

    #[test]
    fn every_supported_minor_has_its_etcd() {
        let etcd = [34, 35, 36, 37].map(|minor| Program::Etcd.minor_with(minor));
        assert_eq!(etcd, [Some(6), Some(6), Some(6), Some(7)]);
        assert_eq!(Program::Kubelet.minor_with(36), Some(36));
    }

    #[test]
    fn gates_go_or_are_locked() {
        assert!(gate("GangScheduling", true, 36).is_none());
        assert!(gate("GangScheduling", true, 37).unwrap().contains("unknown from 1.37 on"));
        assert!(gate("NodeLogQuery", true, 37).is_none());
        assert!(gate("NodeLogQuery", false, 36).unwrap().contains("cannot be switched off from 1.36 on"));
        assert!(gate("NodeLogQuery", false, 35).is_none());
        assert!(
            gate("GitRepoVolumeDriver", true, 36).unwrap().contains("cannot be switched on from 1.36 on")
        );
        assert!(gate("GitRepoVolumeDriver", false, 36).is_none());
    }
}
