//! Feature gates that newer minors of Kubernetes do not know, or do not leave to the user: with one of them given, a
//! component does not start.
//!
//! Found by giving each gate that any of 1.34 to 1.37 declares to the API server, controller manager, scheduler and
//! kubelet of each. They do not differ in what is here.

/// A gate that is unknown from a minor on.
#[derive(Debug, PartialEq, Eq)]
pub struct GoneGate {
    /// Its name.
    pub name: &'static str,
    /// The first minor that does not know it.
    pub gone_in: u64,
}

/// A gate that takes one value only from a minor on.
#[derive(Debug, PartialEq, Eq)]
pub struct LockedGate {
    /// Its name.
    pub name: &'static str,
    /// The first minor in which it is locked.
    pub locked_in: u64,
    /// What it is locked to.
    pub on: bool,
}

/// Gates that were known in `from_minor` or later, and are unknown in `to_minor`.
pub fn gone_gates(from_minor: u64, to_minor: u64) -> impl Iterator<Item = &'static GoneGate> {
    GONE.iter().filter(move |gate| from_minor < gate.gone_in && gate.gone_in <= to_minor)
}

/// Gates that are locked in `to_minor` and were not in the oldest supported minor.
pub fn locked_gates(to_minor: u64) -> impl Iterator<Item = &'static LockedGate> {
    LOCKED.iter().filter(move |gate| gate.locked_in <= to_minor)
}

const fn gone(name: &'static str, gone_in: u64) -> GoneGate {
    GoneGate { name, gone_in }
}

const fn locked(name: &'static str, locked_in: u64, on: bool) -> LockedGate {
    LockedGate { name, locked_in, on }
}

static GONE: [GoneGate; 45] = [
    gone("APIServerTracing", 37),
    gone("AllowServiceLBStatusOnNonLB", 35),
    gone("AnonymousAuthConfigurableEndpoints", 37),
    gone("AnyVolumeDataSource", 37),
    gone("AuthorizeNodeWithSelectors", 37),
    gone("AuthorizeWithSelectors", 37),
    gone("BtreeWatchCache", 37),
    gone("CSIMigrationPortworx", 36),
    gone("ComponentSLIs", 35),
    gone("ConsistentListFromCache", 37),
    gone("CronJobsScheduledAnnotation", 35),
    gone("GangScheduling", 37),
    gone("HonorPVReclaimPolicy", 36),
    gone("InPlacePodVerticalScalingAllocatedStatus", 36),
    gone("InTreePluginPortworxUnregister", 36),
    gone("JobBackoffLimitPerIndex", 37),
    gone("JobPodReplacementPolicy", 37),
    gone("JobSuccessPolicy", 37),
    gone("LoadBalancerIPMode", 35),
    gone("LogarithmicScaleDown", 37),
    gone("MemoryManager", 36),
    gone("OrderedNamespaceDeletion", 37),
    gone("PodIndexLabel", 35),
    gone("PodLifecycleSleepAction", 37),
    gone("PodLifecycleSleepActionAllowZero", 37),
    gone("PreventStaticPodAPIReferences", 37),
    gone("ProbeHostPodSecurityStandards", 35),
    gone("RelaxedDNSSearchValidation", 37),
    gone("ResilientWatchCacheInitialization", 37),
    gone("RetryGenerateName", 37),
    gone("SchedulerQueueingHints", 37),
    gone("ServiceTrafficDistribution", 36),
    gone("SidecarContainers", 37),
    gone("SizeMemoryBackedVolumes", 35),
    gone("StatefulSetAutoDeletePVC", 35),
    gone("StreamingCollectionEncodingToJSON", 37),
    gone("StreamingCollectionEncodingToProtobuf", 37),
    gone("StrictCostEnforcementForVAP", 35),
    gone("StrictCostEnforcementForWebhooks", 35),
    gone("StructuredAuthenticationConfiguration", 37),
    gone("StructuredAuthorizationConfiguration", 36),
    gone("TopologyAwareHints", 36),
    gone("UserNamespacesPodSecurityStandards", 35),
    gone("WatchFromStorageWithoutResourceVersion", 36),
    gone("WorkloadAwarePreemption", 37),
];

/// Those that were locked in the oldest supported minor already are left out: no program runs that is told otherwise.
static LOCKED: [LockedGate; 46] = [
    locked("AggregatedDiscoveryRemoveBetaType", 35, true),
    locked("AllowOverwriteTerminationGracePeriodSeconds", 35, false),
    locked("CSIServiceAccountTokenSecrets", 36, true),
    locked("DRAAdminAccess", 36, true),
    locked("DRAExtendedResource", 37, true),
    locked("DRAPrioritizedList", 37, true),
    locked("DRAResourceClaimDeviceStatus", 37, true),
    locked("DeclarativeValidation", 36, true),
    locked("DeclarativeValidationTakeover", 37, false),
    locked("DisableAllocatorDualWrite", 35, true),
    locked("DisableCPUQuotaWithExclusiveCPUs", 37, true),
    locked("DisableNodeKubeProxyVersion", 36, true),
    locked("DynamicResourceAllocation", 35, true),
    locked("ExecProbeTimeout", 35, true),
    locked("ExternalServiceAccountTokenSigner", 36, true),
    locked("GitRepoVolumeDriver", 36, false),
    locked("HPAConfigurableTolerance", 37, true),
    locked("HostnameOverride", 37, true),
    locked("ImageMaximumGCAge", 35, true),
    locked("ImageVolume", 36, true),
    locked("InOrderInformers", 36, true),
    locked("InPlacePodVerticalScaling", 35, true),
    locked("InPlacePodVerticalScalingInitContainers", 37, true),
    locked("JobManagedBy", 35, true),
    locked("KubeletFineGrainedAuthz", 36, true),
    locked("KubeletPSI", 36, true),
    locked("KubeletPodResourcesDynamicResources", 36, true),
    locked("KubeletPodResourcesGet", 36, true),
    locked("MutableCSINodeAllocatableCount", 36, true),
    locked("NodeDeclaredFeatures", 37, true),
    locked("NodeLogQuery", 36, true),
    locked("PLEGOnDemandRelist", 37, true),
    locked("PodObservedGenerationTracking", 35, true),
    locked("PodReadyToStartContainersCondition", 37, true),
    locked("PreferSameTrafficDistribution", 35, true),
    locked("ProcMountType", 36, true),
    locked("RelaxedServiceNameValidation", 37, true),
    locked("SELinuxChangePolicy", 36, true),
    locked("SELinuxMountReadWriteOncePod", 36, true),
    locked("SeparateCacheWatchRPC", 36, false),
    locked("SupplementalGroupsPolicy", 35, true),
    locked("SystemdWatchdog", 35, true),
    locked("TopologyManagerPolicyOptions", 36, true),
    locked("UserNamespacesSupport", 36, true),
    locked("VolumeAttributesClass", 36, true),
    locked("WatchCacheInitializationPostStartHook", 37, true),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{OLDEST, row};

    #[test]
    fn tables_are_sorted_and_name_no_gate_twice() {
        assert!(GONE.is_sorted_by(|a, b| a.name < b.name));
        assert!(LOCKED.is_sorted_by(|a, b| a.name < b.name));
        assert!(GONE.iter().all(|gate| LOCKED.iter().all(|other| gate.name != other.name)));
    }

    #[test]
    fn minors_are_supported_ones() {
        for minor in GONE.iter().map(|gate| gate.gone_in).chain(LOCKED.iter().map(|gate| gate.locked_in)) {
            assert!(row(minor).is_some() && minor > OLDEST.minor, "{minor}");
        }
    }

    #[test]
    fn gates_go_with_the_minor_that_drops_them() {
        let gone = |from, to| gone_gates(from, to).any(|gate| gate.name == "SidecarContainers");
        assert!(gone(36, 37) && gone(34, 37));
        assert!(!gone(34, 36) && !gone(37, 37));
        let locked =
            |to| locked_gates(to).find(|gate| gate.name == "GitRepoVolumeDriver").map(|gate| gate.on);
        assert_eq!((locked(35), locked(36), locked(37)), (None, Some(false), Some(false)));
    }
}
