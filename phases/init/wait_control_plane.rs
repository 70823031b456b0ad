//! `wait-control-plane`: until the kubelet has brought the control plane up.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict, wait::Condition},
    host::ApiAccess,
};

use super::cluster::Cluster;

/// Waits for the kubelet, the API server, the controller manager and the scheduler, all watched at once.
pub struct WaitControlPlane {
    cluster: Arc<Cluster>,
}

impl WaitControlPlane {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }

    /// The API server takes requests: it has made the namespaces that all that follows goes into.
    fn serving(admin: &ApiAccess) -> Vec<Condition> {
        let namespaces = ["kube-system", "kube-public"];
        namespaces
            .into_iter()
            .map(|name| Condition::ApiHealthy {
                access: admin.clone(),
                path: format!("/api/v1/namespaces/{name}"),
            })
            .collect()
    }
}

#[async_trait]
impl Phase for WaitControlPlane {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("wait-control-plane", "Wait for the control plane to start").help(
            "Watch the kubelet and the health endpoints of the control plane. A kubelet that crashes again and again \
             ends the wait at once, with its last words. As part of a whole init it goes on when the API server takes \
             requests: what a new API server still sets up meanwhile is awaited by the last phase.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let admin = self.cluster.admin(cx.host).await?;
        let mut conditions = vec![];
        conditions.extend(self.cluster.etcd_healthy());
        if self.cluster.waits_at_the_end() {
            conditions.extend(Self::serving(&admin));
        } else {
            conditions.push(self.cluster.all_healthy(admin));
        }
        // All else comes up through the kubelet, so waiting for it first costs no time.
        Ok(Verdict::Apply(vec![
            self.cluster.wait_for_kubelet(self.cluster.kubelet_healthy()),
            self.cluster.wait_by_kubelet(Condition::All(conditions)),
        ]))
    }
}
