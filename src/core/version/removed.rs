//! Flags and feature gates that a component of a newer minor does not take any more: with one of them it does not start.
//!
//! Found by asking the programs of 1.34 to 1.37 and etcd 3.5 to 3.7 for their flags, and by giving the gates of the older
//! ones to the newer.

use crate::manifest::Component;

/// Kubernetes 1.37 comes with etcd 3.7, and all before it down to 1.34 with 3.6.
const ETCD_3_6: u64 = 34;
const ETCD_3_7: u64 = 37;

/// Flags of etcd 3.5 that 3.6 does not have.
const GONE_WITH_ETCD_3_6: [&str; 8] = [
    "enable-v2",
    "experimental-enable-v2v3",
    "proxy",
    "proxy-dial-timeout",
    "proxy-failure-wait",
    "proxy-read-timeout",
    "proxy-refresh-interval",
    "proxy-write-timeout",
];

/// What the names of flags begin with that 3.6 had both with and without it; 3.7 has them without it alone.
const EXPERIMENTAL: &str = "experimental-";

/// Feature gates of Kubernetes that are unknown from a minor on.
const GONE_GATES: [(&str, u64); 5] = [
    ("GangScheduling", 37),
    ("InTreePluginPortworxUnregister", 36),
    ("PreventStaticPodAPIReferences", 37),
    ("UserNamespacesPodSecurityStandards", 35),
    ("WorkloadAwarePreemption", 37),
];

/// Gates that cannot be switched off any more from a minor on.
const LOCKED_GATES: [(&str, u64); 35] = [
    ("CSIServiceAccountTokenSecrets", 36),
    ("DRAAdminAccess", 36),
    ("DRAExtendedResource", 37),
    ("DRAPrioritizedList", 37),
    ("DRAResourceClaimDeviceStatus", 37),
    ("DeclarativeValidation", 36),
    ("DisableCPUQuotaWithExclusiveCPUs", 37),
    ("ExternalServiceAccountTokenSigner", 36),
    ("HPAConfigurableTolerance", 37),
    ("HostnameOverride", 37),
    ("ImageMaximumGCAge", 35),
    ("ImageVolume", 36),
    ("InOrderInformers", 36),
    ("InPlacePodVerticalScaling", 35),
    ("InPlacePodVerticalScalingInitContainers", 37),
    ("JobManagedBy", 35),
    ("KubeletFineGrainedAuthz", 36),
    ("KubeletPSI", 36),
    ("KubeletPodResourcesDynamicResources", 36),
    ("KubeletPodResourcesGet", 36),
    ("MutableCSINodeAllocatableCount", 36),
    ("NodeDeclaredFeatures", 37),
    ("NodeLogQuery", 36),
    ("PLEGOnDemandRelist", 37),
    ("PodObservedGenerationTracking", 35),
    ("PodReadyToStartContainersCondition", 37),
    ("PreferSameTrafficDistribution", 35),
    ("ProcMountType", 36),
    ("RelaxedServiceNameValidation", 37),
    ("SELinuxChangePolicy", 36),
    ("SELinuxMountReadWriteOncePod", 36),
    ("SupplementalGroupsPolicy", 35),
    ("SystemdWatchdog", 35),
    ("UserNamespacesSupport", 36),
    ("WatchCacheInitializationPostStartHook", 37),
];

/// Why a component of a Kubernetes minor would not take a flag; `None` where it does, as far as is known.
pub fn flag(component: Component, name: &str, minor: u64) -> Option<String> {
    let gone = |with: &str| format!("--{name} is gone with {with}");
    match component {
        Component::Etcd if minor >= ETCD_3_6 && GONE_WITH_ETCD_3_6.contains(&name) => Some(gone("etcd 3.6")),
        Component::Etcd if minor >= ETCD_3_7 => {
            let instead = name.strip_prefix(EXPERIMENTAL)?;
            Some(format!("{}: it is --{instead} now", gone("etcd 3.7")))
        }
        Component::ControllerManager if name == "concurrent-service-syncs" && minor >= 37 => {
            Some(gone("1.37"))
        }
        _ => None,
    }
}

/// Why a component of a Kubernetes minor would not take a gate with this value.
pub fn gate(name: &str, on: bool, minor: u64) -> Option<String> {
    if let Some((_, gone_in)) = GONE_GATES.iter().find(|(gate, gone_in)| *gate == name && *gone_in <= minor) {
        return Some(format!("the feature gate {name} is unknown from 1.{gone_in} on"));
    }
    let locked = LOCKED_GATES.iter().find(|(gate, locked_in)| *gate == name && *locked_in <= minor)?;
    (!on).then(|| format!("the feature gate {name} cannot be switched off from 1.{} on", locked.1))
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
            "--experimental-initial-corrupt-check is gone with etcd 3.7: it is --initial-corrupt-check now"
        );
        assert_eq!(flag(Component::Etcd, "quota-backend-bytes", 37), None);
        assert!(flag(Component::ControllerManager, "concurrent-service-syncs", 37).is_some());
        assert!(flag(Component::ApiServer, "concurrent-service-syncs", 37).is_none());
    }

    #[test]
    fn gates_go_or_are_locked() {
        assert!(gate("GangScheduling", true, 36).is_none());
        assert!(gate("GangScheduling", true, 37).unwrap().contains("unknown from 1.37 on"));
        assert!(gate("NodeLogQuery", true, 37).is_none());
        assert!(gate("NodeLogQuery", false, 36).unwrap().contains("cannot be switched off from 1.36 on"));
        assert!(gate("NodeLogQuery", false, 35).is_none());
    }

    #[test]
    fn no_gate_is_listed_twice() {
        for (index, (name, _)) in LOCKED_GATES.iter().enumerate() {
            assert!(!LOCKED_GATES[index + 1..].iter().any(|(other, _)| other == name), "{name}");
        }
    }
}
