//! `kubelet-config`: the cluster's settings of kubelets on this node. The kubelet reads them when it starts next.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict},
    host::Probe,
    kubelet::{self, CONFIG_FILE, FLAGS_ENV_FILE, INSTANCE_CONFIG_FILE},
    manifest::patch::{Patch, PatchTarget},
    yaml,
};
use serde_json::Value;

use super::Upgrading;
use crate::{
    files::text_file,
    init::{PRIVATE_DIR, PUBLIC},
    patches,
    preflight::{Found, warning},
};

/// Name of what is told of it before an upgrade.
const CHECK: &str = "KubeletConfigDrift";
const WHERE_TO: &str =
    "what is this node's own belongs into a patch (--patches, target kubeletconfiguration)";

pub struct KubeletConfig {
    upgrading: Arc<Upgrading>,
}

impl KubeletConfig {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }
}

#[async_trait]
impl Phase for KubeletConfig {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet-config", "Upgrade the kubelet configuration for this node").help(
            "Write the cluster's kubelet configuration, with this node's own settings and patches over it. The kubelet reads \
             it when it is restarted, which comes with its new version.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let patches = patches::read(cx, &self.upgrading.cluster).await?;
        let settings = settings(cx.host, &self.upgrading, &patches).await?;
        let mut steps = crate::files::directory(cx, Path::new("/var/lib/kubelet"), PRIVATE_DIR).await?;
        let changes = changes(cx.host, &settings).await?;
        for change in changes.iter().flatten() {
            cx.warn(format!("{CONFIG_FILE}: {change}; {WHERE_TO}"));
        }
        // One that says the same stays as it is.
        if changes.is_none_or(|changes| !changes.is_empty()) {
            steps.extend(text_file(cx, CONFIG_FILE.into(), PUBLIC, kubelet::to_yaml(&settings)).await?);
        }
        steps.extend(flags(cx, &self.upgrading).await?);
        Ok(Verdict::from_steps(steps, "the kubelet has these settings"))
    }
}

/// What the upgrade changes in the file of this node's kubelet, for who asks before it: some of it somebody may have written there.
pub async fn changed(host: &dyn Probe, upgrading: &Upgrading) -> Vec<Found> {
    // What cannot be read is told where it is used.
    let Ok(found) = patches::found(host, &upgrading.cluster).await else { return vec![] };
    let Ok(settings) = settings(host, upgrading, &found.patches).await else { return vec![] };
    let changes = changes(host, &settings).await.ok().flatten().unwrap_or_default();
    let told = |change| warning(CHECK, format!("{CONFIG_FILE}: the upgrade changes it: {change}"), WHERE_TO);
    changes.into_iter().map(told).collect()
}

/// The cluster's, under what the node alone has: the file of its own, then the operator's patches.
async fn settings(host: &dyn Probe, upgrading: &Upgrading, patches: &[Patch]) -> Result<Value, PhaseError> {
    let config = &upgrading.cluster.config;
    let mut settings = config.node_kubelet();
    if let Some(own) = host.read(INSTANCE_CONFIG_FILE.as_ref()).await? {
        let own: Value = yaml::from_str(&String::from_utf8_lossy(&own)).map_err(|error| {
            let message = format!("{INSTANCE_CONFIG_FILE} cannot be read: {error}");
            PhaseError::Unusable {
                message,
                hint: "mend it: it holds this node's own kubelet settings".into(),
            }
        })?;
        rkadm_core::manifest::patch::merge::apply(&mut settings, &own);
        yaml::sort_keys(&mut settings);
    } else if config.local_cri_socket() {
        settings = kubelet::node_config(&settings, &config.node_registration.cri_socket);
    }
    patches::apply(&upgrading.cluster, &mut settings, PatchTarget::KubeletConfiguration, patches)?;
    Ok(settings)
}

/// How the file on the node changes, in words; `None` where there is none.
async fn changes(host: &dyn Probe, settings: &Value) -> Result<Option<Vec<String>>, PhaseError> {
    let Some(now) = host.read(CONFIG_FILE.as_ref()).await? else { return Ok(None) };
    let now: Value = yaml::from_str(&String::from_utf8_lossy(&now)).unwrap_or_default();
    Ok(Some(kubelet::differences(&now, settings)))
}

/// The flags without those that newer kubelets refuse, and the runtime's socket where it belongs now.
async fn flags(cx: &PlanCx<'_>, upgrading: &Upgrading) -> Result<Vec<Step>, PhaseError> {
    let config = &upgrading.cluster.config;
    let now = cx.host.read(FLAGS_ENV_FILE.as_ref()).await?.unwrap_or_default();
    let now = String::from_utf8_lossy(&now).into_owned();
    let mut text = now.clone();
    if !upgrading.cluster.row().sandbox_image_flag {
        text = kubelet::without_flag(&text, "pod-infra-container-image");
    }
    let mut steps = vec![];
    if config.local_cri_socket() {
        text = kubelet::without_flag(&text, "container-runtime-endpoint");
        if cx.host.stat(INSTANCE_CONFIG_FILE.as_ref()).await?.is_none() {
            let own = kubelet::instance_config(&config.node_registration.cri_socket);
            steps.extend(text_file(cx, INSTANCE_CONFIG_FILE.into(), PUBLIC, own).await?);
        }
    }
    if text != now {
        steps.extend(text_file(cx, FLAGS_ENV_FILE.into(), PUBLIC, text).await?);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;

    #[tokio::test]
    async fn what_somebody_wrote_into_the_kubelets_file_is_told_before_it_is_lost() {
        let upgrading = Upgrading::default();
        let told = async |own: Option<u32>| {
            let mut file = settings(&FakeHost::new(World::ready()), &upgrading, &[]).await.unwrap();
            if let Some(pods) = own {
                file["maxPods"] = pods.into();
            }
            let host = FakeHost::new(World::ready().with_file(CONFIG_FILE, &kubelet::to_yaml(&file)));
            let found = changed(&host, &upgrading).await;
            found.into_iter().map(|(_, finding)| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(told(None).await, Vec::<String>::new());
        let told = told(Some(42)).await;
        assert!(
            told.len() == 1 && told[0].contains("the upgrade changes it") && told[0].contains("maxPods"),
            "{told:?}"
        );
    }
}
