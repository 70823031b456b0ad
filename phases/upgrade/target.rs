//! The static pods that an upgraded control plane has.

use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::PhaseError,
    host::Probe,
    manifest::{
        Component, EtcdMembership,
        patch::Patch,
        pod::{flag, image_tag},
    },
};

use crate::{
    init::{Cluster, static_pod_of},
    static_pods,
};

/// The pod of a component of this cluster on this node. etcd keeps how it came to its cluster.
///
/// # Errors
/// The configuration, the patches or the manifest that is there cannot be used.
pub async fn desired_pod(
    host: &dyn Probe,
    cluster: &Cluster,
    component: Component,
    patches: &[Patch],
) -> Result<Pod, PhaseError> {
    let members = match component {
        Component::Etcd => initial_members(host).await?,
        _ => None,
    };
    let membership = members.as_deref().map_or(EtcdMembership::First, EtcdMembership::Joining);
    static_pod_of(host, cluster, component, membership, patches).await
}

/// The members that this node's etcd was told when it joined; `None` for the first one of its cluster.
async fn initial_members(host: &dyn Probe) -> Result<Option<Vec<(String, String)>>, PhaseError> {
    let Some(pod) = static_pods::read(host, Component::Etcd).await? else { return Ok(None) };
    if flag(&pod, "initial-cluster-state").as_deref() != Some("existing") {
        return Ok(None);
    }
    let members = flag(&pod, "initial-cluster").unwrap_or_default();
    let split = |member: &str| member.split_once('=').map(|(name, url)| (name.to_owned(), url.to_owned()));
    Ok(Some(members.split(',').filter_map(split).collect()))
}

/// The numbers of an etcd image's tag, `3.7.0-0`: the build of an image does not count.
pub fn etcd_version(tag: &str) -> Option<semver::Version> {
    tag.trim_start_matches('v').split(['-', '+', '_']).next()?.parse().ok()
}

/// Whether the pod that is there is of a newer etcd than the wanted one: going back is not an upgrade's business.
pub fn is_older_etcd(wanted: &Pod, there: &Pod) -> bool {
    let version = |pod: &Pod| etcd_version(&image_tag(pod)?);
    matches!((version(wanted), version(there)), (Some(wanted), Some(there)) if wanted < there)
}
