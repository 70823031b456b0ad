//! `control-plane`: new certificates and manifests, and one short outage in which all components change that do.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, content::Content, wait::Condition},
    host::ServiceVerb,
    manifest::{self, Component, health_target, pod::etcd_access},
    text::sha256_hex,
};
use serde_json::json;

use super::{
    Upgrading, WORKER,
    etcd_manifest::EtcdManifest,
    guard::Guard,
    switch::{EtcdBefore, Switch},
    target::{desired_pod, etcd_version, is_older_etcd},
};
use crate::{
    files::Existing,
    init::{Cluster, KUBELET, PRIVATE},
    patches,
    renew::{self, Renewal, TARGETS},
    static_pods,
};

/// The recorded names of the components that change: what was written before an interruption looks as if nothing did.
pub(super) const CHANGED: &str = "components that change";
/// The output that says that all of them run.
pub(super) const SWITCHED: &str = "switched";

pub struct ControlPlane {
    upgrading: Arc<Upgrading>,
}

impl ControlPlane {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }
}

#[async_trait]
impl Phase for ControlPlane {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("control-plane", "Upgrade the control plane").help(
            "Renew the certificates, write the manifests and replace the pods of etcd, the API server, the controller \
             manager and the scheduler, all that change at the same time. A manifest that means the same pod is left \
             alone, and its pod with it.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.upgrading.request.control_plane {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        if cx.store.output(SWITCHED).is_some() {
            return Ok(Verdict::AlreadyDone("it was done before the interruption".into()));
        }
        let wanted = self.wanted(cx).await?;
        let mut changed = recorded(cx);
        changed.extend(wanted.iter().filter(|one| one.write.is_some()).map(|one| one.component));
        if changed.is_empty() {
            return Ok(Verdict::AlreadyDone("all components are of this version".into()));
        }
        let renewed = self.renewals(cx, &changed).await?;
        let restart: BTreeSet<_> = changed.union(&renewed.used_by).copied().collect();
        let socket = self.upgrading.cluster.config.node_registration.cri_socket.clone();
        let healthy = self.healthy(&wanted, &restart);
        let timeout = self.upgrading.cluster.upgrade_timeout().as_std();
        let etcd = if restart.contains(&Component::Etcd) { etcd_before(cx).await? } else { None };
        let names: Vec<_> = restart.iter().map(|component| component.name()).collect();
        let service = |verb| Step::Service { unit: KUBELET.into(), verb };
        let mut steps = vec![
            Step::Record { name: CHANGED.into(), value: json!(names) },
            Step::Record { name: EtcdBefore::OUTPUT.into(), value: json!(etcd) },
            // Their undo comes last, with everything in its place.
            Step::Action(Arc::new(Guard {
                seconds: timeout.as_secs(),
                access: self.upgrading.cluster.admin(cx.host).await?,
                node: self.upgrading.cluster.config.node_name().to_owned(),
                healthy: vec![],
            })),
            service(ServiceVerb::Stop),
        ];
        steps.extend(renewed.steps);
        steps.extend(wanted.into_iter().filter_map(|one| one.write));
        steps.push(Step::Action(Arc::new(Switch { socket, components: restart, etcd })));
        steps.push(service(ServiceVerb::Start));
        steps.push(self.upgrading.cluster.wait_within(healthy, timeout, "timeouts.upgradeManifests"));
        steps.push(Step::Record { name: SWITCHED.into(), value: true.into() });
        Ok(Verdict::Apply(steps))
    }

    fn keys_wanted(&self) -> usize {
        if self.upgrading.request.control_plane && self.upgrading.request.certificate_renewal {
            TARGETS.len()
        } else {
            0
        }
    }
}

/// A component as it will be.
struct Wanted {
    component: Component,
    pod: Pod,
    /// The new manifest, where the one that is there means another pod.
    write: Option<Step>,
}

/// New certificates, and who reads them.
struct Renewed {
    steps: Vec<Step>,
    used_by: BTreeSet<Component>,
}

impl ControlPlane {
    /// Whether a component is to change, or was about to when an earlier run was cut off.
    pub async fn changes(&self, cx: &PlanCx<'_>) -> Result<bool, PhaseError> {
        Ok(!recorded(cx).is_empty() || self.wanted(cx).await?.iter().any(|one| one.write.is_some()))
    }

    async fn wanted(&self, cx: &PlanCx<'_>) -> Result<Vec<Wanted>, PhaseError> {
        let cluster = &self.upgrading.cluster;
        let patches = patches::read(cx, cluster).await?;
        let mut all = vec![];
        for component in Component::ALL {
            if component == Component::Etcd
                && (cluster.etcd_data_dir().is_none() || !self.upgrading.request.etcd_upgrade)
            {
                continue;
            }
            let pod = desired_pod(cx.host, cluster, component, &patches).await?;
            if component == Component::Etcd
                && let Some(there) = static_pods::read(cx.host, component).await?
                && is_older_etcd(&pod, &there)
            {
                cx.warn("etcd is left as it is: its image is newer than the one of this version");
                all.push(Wanted { component, pod: there, write: None });
                continue;
            }
            let path = Cluster::manifest(&component.file_name());
            let write = match Existing::at(cx, &path).await? {
                Existing::Bytes(bytes) if manifest::same(&pod, &bytes) => None,
                Existing::Planned => None,
                Existing::Absent => Some(Seen::Absent),
                Existing::Bytes(bytes) => Some(Seen::Sha256(sha256_hex(&bytes))),
            };
            let text = manifest::to_yaml(&pod);
            let write = match write {
                Some(Seen::Sha256(seen)) if component == Component::Etcd => {
                    let etcd = etcd_before(cx).await?;
                    let socket = cluster.config.node_registration.cri_socket.clone();
                    let before = String::new();
                    Some(Step::Action(Arc::new(EtcdManifest {
                        path,
                        mode: PRIVATE,
                        text,
                        seen,
                        socket,
                        etcd,
                        before,
                    })))
                }
                Some(seen) => {
                    Some(Step::WriteFile { path, mode: PRIVATE, content: Content::text(text), seen })
                }
                None => None,
            };
            all.push(Wanted { component, pod, write });
        }
        Ok(all)
    }

    /// Certificates of the components that change, and of nobody. The API server's and etcd's go together, as in kubeadm.
    async fn renewals(&self, cx: &PlanCx<'_>, changed: &BTreeSet<Component>) -> Result<Renewed, PhaseError> {
        let mut renewed = Renewed { steps: vec![], used_by: BTreeSet::new() };
        let request = &self.upgrading.request;
        if !request.certificate_renewal {
            return Ok(renewed);
        }
        let renewal = Arc::new(Renewal {
            names: vec![],
            cert_dir: request.config.cert_dir().into(),
            config: Some(request.config.clone()),
            names_from_config: false,
            restart: false,
            cri_socket: request.config.node_registration.cri_socket.clone(),
        });
        let together = [Component::Etcd, Component::ApiServer];
        let both = together.iter().any(|component| changed.contains(component));
        for target in &TARGETS {
            let due = target
                .used_by
                .is_none_or(|user| changed.contains(&user) || (both && together.contains(&user)));
            // An etcd that is to be left alone is not restarted for its certificates, either.
            if !due || (target.used_by == Some(Component::Etcd) && !request.etcd_upgrade) {
                continue;
            }
            if let Some(steps) = renew::steps(cx, &renewal, target).await? {
                renewed.steps.extend(steps);
                renewed.used_by.extend(target.used_by);
            }
        }
        Ok(renewed)
    }

    /// The kubelet and all pods that start anew, where their manifests say that they can be asked.
    fn healthy(&self, wanted: &[Wanted], restart: &BTreeSet<Component>) -> Condition {
        let started = wanted.iter().filter(|one| restart.contains(&one.component));
        let asked = started.filter_map(|one| {
            let target = health_target(&one.pod)?;
            Some(Condition::Healthy { what: one.component.name().into(), target })
        });
        Condition::All([self.upgrading.cluster.kubelet_healthy()].into_iter().chain(asked).collect())
    }
}

/// What an interrupted run was about to change.
fn recorded(cx: &PlanCx<'_>) -> BTreeSet<Component> {
    let names = cx.store.output(CHANGED).and_then(|names| names.as_array().cloned()).unwrap_or_default();
    Component::ALL.into_iter().filter(|component| names.iter().any(|name| name == component.name())).collect()
}

/// How the etcd that is there is reached, and its minor: what a rollback brings its data back to.
async fn etcd_before(cx: &PlanCx<'_>) -> Result<Option<EtcdBefore>, PhaseError> {
    // After an interruption the manifest may be the new one.
    if let Some(before) = cx.store.output(EtcdBefore::OUTPUT) {
        return Ok(serde_json::from_value(before.clone()).unwrap_or_default());
    }
    let Some(pod) = static_pods::read(cx.host, Component::Etcd).await? else { return Ok(None) };
    let access = etcd_access(&pod);
    let mut version = manifest::pod::image_tag(&pod).and_then(|tag| etcd_version(&tag));
    // An image may have a name of one's own, or its digest alone.
    if let (None, Some(endpoint)) = (&version, access.endpoints.first()) {
        let status = cx.host.etcd_status(&access, endpoint).await.ok();
        version = status.and_then(|status| etcd_version(&status.version));
    }
    Ok(version.map(|version| EtcdBefore { access, minor: format!("{}.{}", version.major, version.minor) }))
}
