//! Versions of Kubernetes' own APIs that newer minors warn about or do not serve.
//!
//! Found by listing what API servers of 1.34 to 1.37 serve, as they come and with every version and feature gate switched
//! on, and by asking each resource for the warning that comes with it.

/// A resource in a version that is on its way out, or gone.
#[derive(Debug, PartialEq, Eq)]
pub struct OldApi {
    /// Its group, empty for the core.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its plural name.
    pub resource: &'static str,
    /// The first minor that warns; the oldest supported minor stands for all before it, too. Alpha versions can go
    /// without a warning.
    pub deprecated_in: Option<u64>,
    /// The first minor that does not serve it. Where that is no supported minor yet: as the API server announces it.
    pub gone_in: Option<u64>,
    /// The group and version that serves it instead, from `gone_in` on at the latest, with the resource where that has
    /// another name.
    pub instead: Option<&'static str>,
    /// Served unless it is switched off. All others were switched on by somebody.
    pub by_default: bool,
}

/// What is served in `from_minor` or later, and not in `to_minor`.
pub fn removed_apis(from_minor: u64, to_minor: u64) -> impl Iterator<Item = &'static OldApi> {
    APIS.iter().filter(move |api| api.gone_in.is_some_and(|minor| from_minor < minor && minor <= to_minor))
}

/// What is still served in `to_minor`, but should not be used any more.
pub fn deprecated_apis(to_minor: u64) -> impl Iterator<Item = &'static OldApi> {
    APIS.iter().filter(move |api| {
        api.deprecated_in.is_some_and(|minor| minor <= to_minor)
            && api.gone_in.is_none_or(|minor| to_minor < minor)
    })
}

/// What is known of a resource in a version, by what its objects say of themselves; `None` where nothing is.
pub fn old_api(api_version: &str, kind: &str) -> Option<&'static OldApi> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = resource_of(kind);
    let all = APIS.iter().chain(&super::past::APIS);
    all.into_iter().find(|api| api.group == group && api.version == version && api.resource == resource)
}

/// Whether some resource of a group and version, written `group/version`, is gone in a known minor.
pub fn has_gone_apis(api_version: &str) -> bool {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let mut all = APIS.iter().chain(&super::past::APIS);
    all.any(|api| api.group == group && api.version == version && api.gone_in.is_some())
}

/// The plural of Kubernetes' own kinds.
fn resource_of(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        _ if kind == "endpoints" => kind,
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => kind + "es",
        None => kind + "s",
    }
}

pub(super) const fn old(
    [group, version, resource]: [&'static str; 3],
    deprecated_in: Option<u64>,
    gone_in: Option<u64>,
    instead: Option<&'static str>,
) -> OldApi {
    OldApi { group, version, resource, deprecated_in, gone_in, instead, by_default: false }
}

static APIS: [OldApi; 30] = [
    OldApi { by_default: true, ..old(["", "v1", "componentstatuses"], Some(34), None, None) },
    OldApi {
        by_default: true,
        ..old(["", "v1", "endpoints"], Some(34), None, Some("discovery.k8s.io/v1 endpointslices"))
    },
    old(
        ["admissionregistration.k8s.io", "v1alpha1", "mutatingadmissionpolicies"],
        Some(35),
        Some(38),
        Some("admissionregistration.k8s.io/v1"),
    ),
    old(
        ["admissionregistration.k8s.io", "v1alpha1", "mutatingadmissionpolicybindings"],
        Some(35),
        Some(38),
        Some("admissionregistration.k8s.io/v1"),
    ),
    old(
        ["admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicies"],
        Some(37),
        Some(40),
        Some("admissionregistration.k8s.io/v1"),
    ),
    old(
        ["admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicybindings"],
        Some(37),
        Some(40),
        Some("admissionregistration.k8s.io/v1"),
    ),
    old(
        ["certificates.k8s.io", "v1alpha1", "clustertrustbundles"],
        Some(34),
        Some(37),
        Some("certificates.k8s.io/v1beta1"),
    ),
    old(
        ["certificates.k8s.io", "v1alpha1", "podcertificaterequests"],
        None,
        Some(35),
        Some("certificates.k8s.io/v1beta1"),
    ),
    old(
        ["certificates.k8s.io", "v1beta1", "clustertrustbundles"],
        Some(37),
        Some(40),
        Some("certificates.k8s.io/v1"),
    ),
    old(
        ["certificates.k8s.io", "v1beta1", "podcertificaterequests"],
        Some(37),
        Some(40),
        Some("certificates.k8s.io/v1"),
    ),
    old(
        ["coordination.k8s.io", "v1alpha2", "leasecandidates"],
        Some(35),
        Some(38),
        Some("coordination.k8s.io/v1beta1"),
    ),
    old(["coordination.k8s.io", "v1beta1", "leasecandidates"], Some(36), Some(39), None),
    old(["networking.k8s.io", "v1beta1", "ipaddresses"], Some(34), Some(37), Some("networking.k8s.io/v1")),
    old(["networking.k8s.io", "v1beta1", "servicecidrs"], Some(34), Some(37), Some("networking.k8s.io/v1")),
    old(
        ["resource.k8s.io", "v1alpha3", "devicetaintrules"],
        Some(36),
        Some(39),
        Some("resource.k8s.io/v1beta2"),
    ),
    old(["resource.k8s.io", "v1beta1", "deviceclasses"], Some(35), Some(38), Some("resource.k8s.io/v1")),
    old(["resource.k8s.io", "v1beta1", "resourceclaims"], Some(35), Some(38), Some("resource.k8s.io/v1")),
    old(
        ["resource.k8s.io", "v1beta1", "resourceclaimtemplates"],
        Some(35),
        Some(38),
        Some("resource.k8s.io/v1"),
    ),
    old(["resource.k8s.io", "v1beta1", "resourceslices"], Some(35), Some(38), Some("resource.k8s.io/v1")),
    old(["resource.k8s.io", "v1beta2", "deviceclasses"], Some(36), Some(39), Some("resource.k8s.io/v1")),
    old(["resource.k8s.io", "v1beta2", "resourceclaims"], Some(36), Some(39), Some("resource.k8s.io/v1")),
    old(
        ["resource.k8s.io", "v1beta2", "resourceclaimtemplates"],
        Some(36),
        Some(39),
        Some("resource.k8s.io/v1"),
    ),
    old(["resource.k8s.io", "v1beta2", "resourceslices"], Some(36), Some(39), Some("resource.k8s.io/v1")),
    old(["scheduling.k8s.io", "v1alpha1", "workloads"], None, Some(36), Some("scheduling.k8s.io/v1alpha2")),
    old(["scheduling.k8s.io", "v1alpha2", "podgroups"], None, Some(37), Some("scheduling.k8s.io/v1beta1")),
    old(["scheduling.k8s.io", "v1alpha2", "workloads"], None, Some(37), Some("scheduling.k8s.io/v1beta1")),
    old(
        ["storage.k8s.io", "v1alpha1", "volumeattributesclasses"],
        Some(34),
        Some(35),
        Some("storage.k8s.io/v1"),
    ),
    old(
        ["storage.k8s.io", "v1beta1", "volumeattributesclasses"],
        Some(34),
        Some(37),
        Some("storage.k8s.io/v1"),
    ),
    old(
        ["storagemigration.k8s.io", "v1alpha1", "storageversionmigrations"],
        Some(34),
        Some(35),
        Some("storagemigration.k8s.io/v1beta1"),
    ),
    old(
        ["storagemigration.k8s.io", "v1beta1", "storageversionmigrations"],
        Some(37),
        Some(40),
        Some("storagemigration.k8s.io/v1"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{NEWEST, OLDEST, row};

    #[test]
    fn the_table_is_sorted_and_names_no_resource_twice() {
        let key = |api: &OldApi| (api.group, api.version, api.resource);
        assert!(APIS.is_sorted_by(|a, b| key(a) < key(b)));
    }

    #[test]
    fn minors_are_supported_ones_or_announced() {
        for api in &APIS {
            assert!(api.deprecated_in.is_none_or(|minor| row(minor).is_some()), "{api:?}");
            assert!(
                api.gone_in.is_none_or(|minor| minor > OLDEST.minor && minor <= NEWEST.minor + 3),
                "{api:?}"
            );
            assert!(api.deprecated_in.is_some() || api.gone_in.is_some(), "{api:?}");
            assert!(api.gone_in.is_none_or(|gone_in| api.deprecated_in < Some(gone_in)), "{api:?}");
        }
    }

    #[test]
    fn a_version_is_deprecated_until_it_is_gone() {
        let gone = |from, to| removed_apis(from, to).map(|api| api.resource).collect::<Vec<_>>();
        assert_eq!(gone(35, 36), ["workloads"]);
        assert!(gone(36, 37).contains(&"servicecidrs") && !gone(36, 37).contains(&"podcertificaterequests"));
        let deprecated = |to| deprecated_apis(to).any(|api| api.resource == "servicecidrs");
        assert!(deprecated(36) && !deprecated(37));
        assert!(deprecated_apis(34).any(|api| api.resource == "endpoints" && api.by_default));
    }

    #[test]
    fn objects_name_their_api_by_kind() {
        let gone = |api_version, kind| old_api(api_version, kind).map(|api| (api.gone_in, api.instead));
        assert_eq!(
            gone("networking.k8s.io/v1beta1", "ServiceCIDR"),
            Some((Some(37), Some("networking.k8s.io/v1")))
        );
        assert_eq!(gone("policy/v1beta1", "PodDisruptionBudget"), Some((Some(25), Some("policy/v1"))));
        assert_eq!(gone("policy/v1beta1", "PodSecurityPolicy"), Some((Some(25), None)));
        assert!(gone("resource.k8s.io/v1beta1", "DeviceClass").is_some());
        assert_eq!(gone("v1", "Endpoints").map(|(gone_in, _)| gone_in), Some(None));
        assert_eq!(gone("networking.k8s.io/v1", "ServiceCIDR"), None);
        assert_eq!(gone("networking.k8s.io/v1beta1", "Other"), None);
        assert!(has_gone_apis("networking.k8s.io/v1beta1") && has_gone_apis("batch/v1beta1"));
        assert!(!has_gone_apis("v1") && !has_gone_apis("apps/v1"));
    }

    #[test]
    fn what_is_gone_for_long_is_in_one_table_only() {
        let key = |api: &OldApi| (api.group, api.version, api.resource);
        let past = &super::super::past::APIS;
        assert!(past.is_sorted_by(|a, b| key(a) < key(b)));
        for api in past {
            assert!(api.gone_in.is_some_and(|minor| minor <= OLDEST.minor), "{api:?}");
            assert!(!APIS.iter().any(|known| key(known) == key(api)), "{api:?}");
        }
    }
}
