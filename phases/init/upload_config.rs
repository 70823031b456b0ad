//! `upload-config/*`: the configuration that joining nodes and later upgrades read.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    kube::objects,
};

use super::cluster::Cluster;
use crate::objects::wanted;

/// Both of them.
pub fn phases(cluster: &Arc<Cluster>) -> Vec<Box<dyn Phase>> {
    vec![
        Box::new(Kubeadm { cluster: Arc::clone(cluster) }),
        Box::new(Kubelet { cluster: Arc::clone(cluster) }),
    ]
}

/// The cluster's configuration alone.
pub fn kubeadm(cluster: &Arc<Cluster>) -> Box<dyn Phase> {
    Box::new(Kubeadm { cluster: Arc::clone(cluster) })
}

struct Kubeadm {
    cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for Kubeadm {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("upload-config/kubeadm", "Upload the kubeadm ClusterConfiguration to a ConfigMap").help(
            "Store the ClusterConfiguration in ConfigMap kubeadm-config of namespace kube-system, readable by nodes \
             that join, and give the administrators' group its rights.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        // The administrators' group gets its rights here: without them admin.conf is good for nothing.
        let mut objects = vec![objects::cluster_admins()];
        objects.extend(objects::kubeadm_config(&self.cluster.config.cluster));
        let steps = wanted(cx, &self.cluster, objects).await?;
        Ok(Verdict::from_steps(steps, "the configuration is stored"))
    }
}

struct Kubelet {
    cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for Kubelet {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("upload-config/kubelet", "Upload the kubelet component config to a ConfigMap")
            .help("Store the kubelets' configuration in ConfigMap kubelet-config of namespace kube-system.")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let config = &self.cluster.config;
        let objects = objects::kubelet_config(&config.kubelet, config.kubelet_generated);
        let steps = wanted(cx, &self.cluster, objects).await?;
        Ok(Verdict::from_steps(steps, "the configuration is stored"))
    }
}
