//! `addon/*`: CoreDNS and kube-proxy.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    kube::{
        ObjectRef,
        objects::{self, CoreDnsInputs, KubeProxyInputs},
    },
    manifest::patch::PatchTarget,
};
use serde_json::Value;

use super::cluster::Cluster;
use crate::{objects::wanted, patches};

/// Both of them.
pub fn phases(cluster: &Arc<Cluster>) -> Vec<Box<dyn Phase>> {
    vec![
        Box::new(CoreDns { cluster: Arc::clone(cluster) }),
        Box::new(KubeProxy { cluster: Arc::clone(cluster) }),
    ]
}

struct CoreDns {
    cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for CoreDns {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("addon/coredns", "Install the CoreDNS addon to a Kubernetes cluster")
            .help("Apply CoreDNS. The number of replicas of a Deployment that is there already is kept.")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if self.cluster.config.cluster.dns.disabled {
            return Ok(Verdict::NotApplicable("dns.disabled is set".into()));
        }
        let deployment = ObjectRef::new("Deployment", Some("kube-system"), "coredns")
            .map_err(|error| PhaseError::Config { message: error.to_string() })?;
        let live = cx.host.object(&self.cluster.admin(cx.host).await?, &deployment).await?;
        let replicas = live.as_ref().and_then(|live| live.pointer("/spec/replicas")).and_then(Value::as_i64);
        // An operator's Corefile is kept.
        let config_map = ObjectRef::new("ConfigMap", Some("kube-system"), "coredns")
            .map_err(|error| PhaseError::Config { message: error.to_string() })?;
        let live = cx.host.object(&self.cluster.admin(cx.host).await?, &config_map).await?;
        let corefile = live.as_ref().and_then(|live| live.pointer("/data/Corefile")).and_then(Value::as_str);
        let corefile = corefile.map(str::to_owned);
        let replicas = replicas.and_then(|replicas| i32::try_from(replicas).ok());
        let objects = coredns(cx, &self.cluster, replicas, corefile.as_deref()).await?;
        let steps = wanted(cx, &self.cluster, objects).await?;
        Ok(Verdict::from_steps(steps, "CoreDNS is installed"))
    }
}

struct KubeProxy {
    cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for KubeProxy {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("addon/kube-proxy", "Install the kube-proxy addon to a Kubernetes cluster")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if self.cluster.config.cluster.proxy.disabled {
            return Ok(Verdict::NotApplicable("proxy.disabled is set".into()));
        }
        let objects = kube_proxy(cx, &self.cluster).await?;
        let steps = wanted(cx, &self.cluster, objects).await?;
        Ok(Verdict::from_steps(steps, "kube-proxy is installed"))
    }
}

/// The objects of an addon (`coredns`, `kube-proxy`) with the operator's patches, for a look at them: a cluster is not
/// asked.
///
/// # Errors
/// Patches that cannot be read or do not apply.
pub async fn manifests(cx: &PlanCx<'_>, cluster: &Cluster, addon: &str) -> Result<Vec<Value>, PhaseError> {
    match addon {
        "coredns" => coredns(cx, cluster, None, None).await,
        "kube-proxy" => kube_proxy(cx, cluster).await,
        _ => Ok(vec![]),
    }
}

async fn coredns(
    cx: &PlanCx<'_>,
    cluster: &Cluster,
    replicas: Option<i32>,
    corefile: Option<&str>,
) -> Result<Vec<Value>, PhaseError> {
    let inputs = CoreDnsInputs { cluster: &cluster.config.cluster, row: cluster.row(), replicas, corefile };
    let mut objects =
        objects::coredns(&inputs).map_err(|error| PhaseError::Config { message: error.to_string() })?;
    patch(cx, cluster, &mut objects, "Deployment", PatchTarget::CoreDnsDeployment).await?;
    Ok(objects)
}

async fn kube_proxy(cx: &PlanCx<'_>, cluster: &Cluster) -> Result<Vec<Value>, PhaseError> {
    let config = &cluster.config;
    let proxy_env = cluster.proxy_env();
    let server = config.control_plane_endpoint();
    let inputs = KubeProxyInputs {
        cluster: &config.cluster,
        config: &config.kube_proxy,
        generated: config.kube_proxy_generated,
        server: &server,
        proxy_env: &proxy_env,
    };
    let mut objects =
        objects::kube_proxy(&inputs).map_err(|error| PhaseError::Config { message: error.to_string() })?;
    patch(cx, cluster, &mut objects, "DaemonSet", PatchTarget::KubeProxyDaemonSet).await?;
    Ok(objects)
}

async fn patch(
    cx: &PlanCx<'_>,
    cluster: &Cluster,
    objects: &mut [Value],
    kind: &str,
    target: PatchTarget,
) -> Result<(), PhaseError> {
    let patches = patches::read(cx, cluster).await?;
    for object in objects.iter_mut().filter(|object| object["kind"] == kind) {
        patches::apply(cluster, object, target, &patches)?;
    }
    Ok(())
}
