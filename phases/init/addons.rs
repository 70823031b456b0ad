//! `addon/*`: CoreDNS and kube-proxy.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    config::Image,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    kube::objects::{self, CoreDnsInputs, KubeProxyInputs},
    manifest::patch::PatchTarget,
};
use serde_json::Value;

use super::{
    cluster::Cluster,
    coredns::{self, Corefile},
};
use crate::{
    objects::{named, wanted},
    patches,
};

const SYSTEM: Option<&str> = Some("kube-system");

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
        let access = self.cluster.admin(cx.host).await?;
        let deployment = cx.host.object(&access, &named("Deployment", SYSTEM, "coredns")?).await?;
        let config_map = cx.host.object(&access, &named("ConfigMap", SYSTEM, "coredns")?).await?;
        let replicas = deployment.as_ref().and_then(|live| live.pointer("/spec/replicas")?.as_i64());
        let replicas = replicas.and_then(|replicas| i32::try_from(replicas).ok());
        let config = &self.cluster.config;
        let image = config.image(Image::CoreDns);
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        let domain = &config.cluster.networking.dns_domain;
        let corefile = match coredns::judge(deployment.as_ref(), config_map.as_ref(), domain, tag) {
            Corefile::Default => None,
            Corefile::Own(text, changes) => {
                for change in changes {
                    cx.warn(format!("Corefile, {change}"));
                }
                Some(text)
            }
            Corefile::Keep(why) => {
                cx.warn(format!("CoreDNS stays as it is: {why}"));
                return Ok(Verdict::NotApplicable(format!("CoreDNS stays as it is: {why}")));
            }
        };
        let objects = coredns_objects(cx, &self.cluster, replicas, corefile.as_deref()).await?;
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
        "coredns" => coredns_objects(cx, cluster, None, None).await,
        "kube-proxy" => kube_proxy(cx, cluster).await,
        _ => Ok(vec![]),
    }
}

async fn coredns_objects(
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
