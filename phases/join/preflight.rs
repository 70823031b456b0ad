//! `preflight` of `join`: what must hold on a machine that becomes a node of a cluster, and in the cluster.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt, join_all};
use rkadm_core::{
    discovery::NodeSeen,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
};

use super::{
    certs::missing_shared_files,
    download_certs::{UPLOAD_AGAIN, uploaded},
    joining::Joining,
    kubelet_start::same_authority,
};
use crate::{
    files::Existing,
    init::{Cluster, KUBELET_CONF},
    preflight::{Found, error, etcd, images, judge, machine, network, ports, runtime, storage, warning},
};

/// Runs every check, then reports all that failed.
pub struct Preflight {
    joining: Arc<Joining>,
}

impl Preflight {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for Preflight {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("preflight", "Run join pre-flight checks")
            .help(
                "Check this machine, its container runtime and its kubelet, and that the cluster can take it; on a \
                 control plane, pull the images. All checks run, then all that failed are shown. \
                 --ignore-preflight-errors=NAME turns one into a warning.",
            )
            .once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let joining = &self.joining;
        let cluster = &joining.cluster;
        let mut all = check_machine(cx, joining).await;
        all.extend(in_cluster(joining));
        let mut missing = vec![];
        if joining.is_control_plane() {
            all.extend(check_control_plane(cx, joining).await?);
            let (images, found) = images::missing(cx.host, cluster).await;
            missing = images;
            all.extend(found);
        }
        let steps = judge(cx, cluster, all, missing)?;
        Ok(Verdict::from_steps(steps, "all checks passed"))
    }
}

/// What every node is asked for.
async fn check_machine(cx: &PlanCx<'_>, joining: &Joining) -> Vec<Found> {
    let (host, cluster) = (cx.host, &joining.cluster);
    let checks: Vec<BoxFuture<'_, Vec<Found>>> = vec![
        async { machine::user(host) }.boxed(),
        machine::swap(host, cluster).boxed(),
        machine::forwarding(host, cluster).boxed(),
        machine::programs(host).boxed(),
        machine::names(host, cluster).boxed(),
        machine::clock(host).boxed(),
        machine::earlier_cluster(host).boxed(),
        machine::firewall(host, cluster).boxed(),
        machine::cgroups(host, cluster).boxed(),
        storage::room(host).boxed(),
        network::mtu(host).boxed(),
        ports::of_kubelet(host, cluster).boxed(),
        runtime::container_runtime(host, cluster).boxed(),
        runtime::kubelet(host, cluster).boxed(),
        left_over(cx, joining).boxed(),
        async { network::proxy_of(cluster, &joining.request.found.server) }.boxed(),
    ];
    join_all(checks).await.into_iter().flatten().collect()
}

/// Files of an earlier node are never overwritten.
async fn left_over(cx: &PlanCx<'_>, joining: &Joining) -> Vec<Found> {
    let mut found = vec![];
    let hint = "this machine is a node of a cluster already (`rkadm op list` tells since when); to join another one, clear it first with `rkadm reset`";
    for file in [KUBELET_CONF, "bootstrap-kubelet.conf"] {
        let path = Cluster::kubeconfig(file);
        if cx.host.stat(&path).await.ok().flatten().is_some() {
            let path = path.display().to_string();
            let check = format!("FileAvailable-{}", path.replace('/', "-"));
            found.push(error(check, format!("{path} already exists"), hint));
        }
    }
    let path = &joining.request.join.ca_cert_path;
    if let Ok(Existing::Bytes(bytes)) = Existing::at(cx, path.as_ref()).await
        && !same_authority(&bytes, joining.request.found.ca.as_bytes())
    {
        let check = format!("FileAvailable-{}", path.replace('/', "-"));
        found.push(error(check, format!("{path} is there already and is not this cluster's"), hint));
    }
    let manifests = Cluster::manifest("");
    let names = cx.host.list(&manifests).await.unwrap_or_default();
    let names: Vec<_> = names.into_iter().filter(|name| !name.starts_with('.')).collect();
    if !joining.is_control_plane() && !names.is_empty() {
        let message = format!("/etc/kubernetes/manifests is not empty: {}", names.join(", "));
        found.push(error("DirAvailable--etc-kubernetes-manifests", message, hint));
    }
    found
}

/// What the cluster said of this node.
fn in_cluster(joining: &Joining) -> Vec<Found> {
    let name = joining.cluster.config.node_name();
    match joining.request.settings.node {
        NodeSeen::Absent => vec![],
        NodeSeen::NotReady => {
            let message = format!("the cluster has a node \"{name}\" already, which is not ready");
            let hint = "this machine takes its place, with its labels and taints; if that is not meant: `kubectl delete node` it first, or join with another --node-name";
            vec![warning("NodeName", message, hint)]
        }
        NodeSeen::Ready => {
            let message = format!("the cluster has a node \"{name}\" already, and it is ready");
            let hint = "choose another --node-name; or, if that node is to be replaced: `rkadm reset` there, then `kubectl delete node` it";
            vec![error("NodeName", message, hint)]
        }
    }
}

async fn check_control_plane(cx: &PlanCx<'_>, joining: &Joining) -> Result<Vec<Found>, PhaseError> {
    let (host, cluster) = (cx.host, &joining.cluster);
    let checks: Vec<BoxFuture<'_, Vec<Found>>> = vec![
        machine::resources(host).boxed(),
        machine::left_over(host, cluster).boxed(),
        storage::etcd_disk(host, cluster).boxed(),
        etcd::external(host, cluster).boxed(),
        ports::of_control_plane(host, cluster).boxed(),
    ];
    let mut found: Vec<Found> = join_all(checks).await.into_iter().flatten().collect();
    if cluster.config.cluster.control_plane_endpoint.is_empty() {
        let message = "the cluster has no controlPlaneEndpoint: its nodes and kubeconfigs name one control plane's own address, and would go on to depend on it";
        let hint = "give the cluster an endpoint first, a DNS name or the address of a load balancer that leads to all control planes: add it to apiServer.certSANs and controlPlaneEndpoint in ConfigMap kube-system/kubeadm-config, renew the API server's certificate with `rkadm certs renew apiserver --names-from-config`, and make cluster-info and the kubeconfigs anew";
        found.push(error("ControlPlaneEndpoint", message, hint));
    }
    if cluster.config.certificate_key.is_some() {
        if let Err(message) = uploaded(joining) {
            found.push(error("CertificateKey", message, UPLOAD_AGAIN));
        }
    } else {
        let missing = missing_shared_files(cx, joining).await?;
        if !missing.is_empty() {
            let message =
                format!("without --certificate-key these must be on this machine: {}", missing.join(", "));
            let hint = "copy them from a control plane, or give --certificate-key (`rkadm init phase upload-certs --upload-certs` on a control plane prints one)";
            found.push(error("SharedCertificates", message, hint));
        }
    }
    Ok(found)
}
