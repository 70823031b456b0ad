//! `wait-control-plane`: until the kubelet has brought the control plane up.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, wait::Condition},
    host::{HealthTarget, Trust},
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

    fn conditions(&self) -> Vec<Condition> {
        let healthy = |what: &str, url: &str, trust| Condition::Healthy {
            what: what.into(),
            target: HealthTarget { url: url.into(), trust },
        };
        let mut conditions = vec![healthy("kubelet", "http://127.0.0.1:10248/healthz", Trust::Plain)];
        if self.cluster.etcd_data_dir().is_some() {
            conditions.push(healthy("etcd", "http://127.0.0.1:2381/readyz", Trust::Plain));
        }
        conditions.push(Condition::ApiHealthy { access: self.cluster.super_admin(), path: "/livez".into() });
        conditions.push(healthy(
            "kube-controller-manager",
            "https://127.0.0.1:10257/healthz",
            Trust::Insecure,
        ));
        conditions.push(healthy("kube-scheduler", "https://127.0.0.1:10259/livez", Trust::Insecure));
        conditions
    }
}

#[async_trait]
impl Phase for WaitControlPlane {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("wait-control-plane", "Wait for the control plane to start").help(
            "Watch the kubelet and the health endpoints of the control plane. A kubelet that crashes again and again \
             ends the wait at once, with its last words.",
        )
    }

    async fn plan(&self, _cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let config = &self.cluster.config;
        let condition = Condition::ByKubelet {
            socket: config.node_registration.cri_socket.clone(),
            condition: Box::new(Condition::All(self.conditions())),
        };
        Ok(Verdict::Apply(vec![Step::Wait { condition, timeout: self.cluster.health_timeout().as_std() }]))
    }
}
