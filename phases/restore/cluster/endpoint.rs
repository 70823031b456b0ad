//! `kube-proxy`: where it finds the API server now.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, step::PatchSource},
    yaml,
};
use serde_json::{Value, json};

use crate::{init::Cluster, objects::named};

const SYSTEM: Option<&str> = Some("kube-system");
const KUBECONFIG: &str = "kubeconfig.conf";
/// What `kubectl rollout restart` sets.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// The output with where kube-proxy is being led to: its pods are still to be restarted then.
const LED: &str = "kube-proxy led to";

pub(super) struct KubeProxy {
    pub cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for KubeProxy {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kube-proxy", "Lead kube-proxy to the new API server").help(
            "Where the cluster has another endpoint than before, kube-proxy's kubeconfig names the lost one. Its other settings \
             stay as they are.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if cx.is_dry_run() {
            return Ok(Verdict::NotApplicable("what it has is known only afterwards".into()));
        }
        let access = self.cluster.admin(cx.host).await?;
        let target = named("ConfigMap", SYSTEM, "kube-proxy")?;
        let Some(live) = cx.host.object(&access, &target).await? else {
            return Ok(Verdict::NotApplicable("the cluster has no kube-proxy of kubeadm's".into()));
        };
        let Some(before) = live["data"][KUBECONFIG].as_str() else {
            return Ok(Verdict::NotApplicable("kube-proxy has no kubeconfig in its ConfigMap".into()));
        };
        let server = self.cluster.config.control_plane_endpoint();
        let dies_with = self.cluster.dies_with();
        let mut steps = vec![Step::Record { name: LED.into(), value: server.clone().into() }];
        match led_to(before, &server) {
            Some(after) => {
                let change = PatchSource::Plain {
                    patch: json!({"data": {KUBECONFIG: after}}),
                    undo: json!({"data": {KUBECONFIG: before}}),
                };
                steps.push(Step::Patch {
                    access: access.clone(),
                    target,
                    change,
                    dies_with: dies_with.clone(),
                });
            }
            // Cut off between the two.
            None if cx.store.output(LED).is_some() => {}
            None => return Ok(Verdict::AlreadyDone(format!("kube-proxy is led to {server}"))),
        }
        let daemon_set = named("DaemonSet", SYSTEM, "kube-proxy")?;
        // It reads the file only when it starts.
        if let Some(live) = cx.host.object(&access, &daemon_set).await? {
            let at =
                |at: Value| json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: at}}}}});
            let before = live["spec"]["template"]["metadata"]["annotations"][RESTARTED].clone();
            let change =
                PatchSource::Plain { patch: at(Timestamp::now().to_string().into()), undo: at(before) };
            steps.push(Step::Patch { access, target: daemon_set, change, dies_with });
        }
        Ok(Verdict::Apply(steps))
    }
}

/// The kubeconfig with another server; `None` where it has that already, or is none.
fn led_to(kubeconfig: &str, server: &str) -> Option<String> {
    let mut config: Value = yaml::from_str(kubeconfig).ok()?;
    let mut changed = false;
    for cluster in config["clusters"].as_array_mut()? {
        let there = cluster.get_mut("cluster")?.get_mut("server")?;
        changed |= *there != server;
        *there = server.into();
    }
    changed.then(|| yaml::to_string(&config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_changes() {
        let text = "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority: /ca\n    server: https://10.0.0.1:6443\n  name: default\n";
        let led = led_to(text, "https://10.0.0.9:6443").unwrap();
        let config: Value = yaml::from_str(&led).unwrap();
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://10.0.0.9:6443");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority"], "/ca");
        assert_eq!(led_to(&led, "https://10.0.0.9:6443"), None);
        assert_eq!(led_to("clusters: 5", "https://10.0.0.9:6443"), None);
    }
}
