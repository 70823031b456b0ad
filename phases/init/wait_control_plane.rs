//! `wait-control-plane`: until the kubelet has brought the control plane up.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    config::types::Arg,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, wait::Condition},
    host::{HealthTarget, Trust},
    manifest::args,
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
        let config = &self.cluster.config;
        let cluster = &config.cluster;
        let mut conditions = vec![self.cluster.kubelet_healthy()];
        // Elsewhere etcd's metrics may ask for a client certificate: the API server's health covers it then.
        let local = cluster
            .etcd
            .local
            .as_ref()
            .filter(|etcd| args::value(&etcd.extra_args, "listen-metrics-urls").is_none());
        if local.is_some() {
            conditions.push(healthy("etcd", "http://127.0.0.1:2381/readyz".into(), Trust::Plain));
        }
        conditions.push(Condition::ApiHealthy { access: self.cluster.super_admin(), path: "/livez".into() });
        let component = |name: &str, extra: &[Arg], port: &str, path: &str| {
            let host = args::value(extra, "bind-address").unwrap_or("127.0.0.1");
            let host = if host == "0.0.0.0" || host == "::" { "127.0.0.1" } else { host };
            let port = args::value(extra, "secure-port").unwrap_or(port);
            healthy(name, format!("https://{}:{port}{path}", bracketed(host)), Trust::Insecure)
        };
        let manager = &cluster.controller_manager.extra_args;
        conditions.push(component("kube-controller-manager", manager, "10257", "/healthz"));
        conditions.push(component("kube-scheduler", &cluster.scheduler.extra_args, "10259", "/livez"));
        conditions
    }
}

fn healthy(what: &str, url: String, trust: Trust) -> Condition {
    Condition::Healthy { what: what.into(), target: HealthTarget { url, trust } }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
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
