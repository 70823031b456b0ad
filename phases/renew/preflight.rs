//! Before anything is written: can the static pods be restarted?

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    etcd::{Member, quorum},
    host::Probe,
    manifest::{Component, pod},
};

use super::{Renewal, TARGETS};
use crate::{init::KUBELET, static_pods};

pub struct Check {
    renewal: Arc<Renewal>,
}

impl Check {
    pub fn new(renewal: &Arc<Renewal>) -> Self {
        Self { renewal: Arc::clone(renewal) }
    }
}

#[async_trait]
impl Phase for Check {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("preflight", "Check that the static pods can be restarted").once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.renewal.restart {
            return Ok(Verdict::NotApplicable("nothing will be restarted".into()));
        }
        if !static_pods::any(cx.host).await? {
            return Ok(Verdict::NotApplicable("there are no static pods of a control plane here".into()));
        }
        let hint =
            "mend that first; or renew with --no-restart, and restart the static pods later".to_owned();
        let kubelet = cx.host.service(KUBELET).await?;
        if !kubelet.is_up() {
            let message =
                format!("the kubelet is {}: it would not start the static pods again", kubelet.active);
            return Err(PhaseError::Unusable { message, hint });
        }
        if let Err(error) = cx.host.containers(&self.renewal.cri_socket, "kube-system").await {
            let message = format!("the container runtime cannot be asked for the static pods: {error}");
            return Err(PhaseError::Unusable { message, hint });
        }
        if let Some(message) = without_quorum(cx.host, &self.renewal).await {
            return Err(PhaseError::Unusable { message, hint });
        }
        Ok(Verdict::AlreadyDone("the kubelet and the container runtime answer".into()))
    }
}

/// What is wrong when other members are down, and etcd would lose its quorum while this one restarts. Two members lose it in any case, for
/// a moment; and an etcd that does not answer has none to lose: its certificates may be the reason.
async fn without_quorum(host: &dyn Probe, renewal: &Renewal) -> Option<String> {
    let is_etcds = |target: &super::Target| target.used_by == Some(Component::Etcd) && renewal.wants(target);
    if !TARGETS.iter().any(is_etcds) {
        return None;
    }
    let etcd = static_pods::read(host, Component::Etcd).await.ok()??;
    let access = pod::etcd_access(&etcd);
    let own = pod::flag(&etcd, "initial-advertise-peer-urls")?;
    let members = host.etcd_members(&access).await.ok()?;
    let voters = members.iter().filter(|member| !member.is_learner).count();
    let others: Vec<&Member> = members
        .iter()
        .filter(|member| !member.is_learner && !member.peer_urls.iter().any(|url| own.contains(url)))
        .collect();
    let answers = futures::future::join_all(others.iter().map(|member| {
        let access = &access;
        async move {
            let Some(url) = member.client_urls.first() else { return false };
            host.etcd_status(&access.at(vec![url.clone()]), url).await.is_ok()
        }
    }))
    .await;
    let down: Vec<_> =
        others.iter().zip(answers).filter(|(_, up)| !up).map(|(it, _)| it.describe()).collect();
    let up = others.len() - down.len();
    (!down.is_empty() && up < quorum(voters)).then(|| {
        format!(
            "etcd would have no quorum while its member here restarts: of {voters} voting members {} must be up, and besides this one \
             {} not answer: {}",
            quorum(voters),
            if down.len() == 1 { "one does" } else { "several do" },
            down.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};

    use super::*;

    const ETCD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd}\nspec:\n  containers:\n  - name: etcd\n    command: \
                        [etcd, '--listen-client-urls=https://127.0.0.1:2379', \
                        '--initial-advertise-peer-urls=https://10.0.0.1:2380']\n";

    async fn said(names: &[&str], silent: &[&str], wanted: &[&str]) -> Option<String> {
        let member = |(index, name): (usize, &&str)| Member {
            id: index as u64 + 1,
            name: (*name).to_owned(),
            peer_urls: vec![format!("https://10.0.0.{}:2380", index + 1)],
            // At no address nobody answers.
            client_urls: if silent.contains(name) {
                vec![]
            } else {
                vec![format!("https://10.0.0.{}:2379", index + 1)]
            },
            is_learner: false,
        };
        let mut world = World::ready().with_file("/etc/kubernetes/manifests/etcd.yaml", ETCD);
        world.others_serve = true;
        world.members = names.iter().enumerate().map(member).collect();
        let renewal = Renewal {
            names: wanted.iter().map(|name| (*name).to_owned()).collect(),
            cert_dir: "/etc/kubernetes/pki".into(),
            config: None,
            names_from_config: false,
            restart: true,
            cri_socket: "unix:///a".into(),
        };
        without_quorum(&FakeHost::new(world), &renewal).await
    }

    #[tokio::test]
    async fn etcd_is_not_restarted_where_that_takes_the_quorum() {
        let three = ["cp1", "cp2", "cp3"];
        let text = said(&three, &["cp3"], &[]).await.unwrap();
        assert!(
            text.contains("of 3 voting members 2 must be up") && text.contains("one does not answer: cp3"),
            "{text}"
        );
        assert_eq!(said(&three, &["cp3"], &["apiserver"]).await, None);
        assert_eq!(said(&three, &[], &[]).await, None);
        // One of two is always missed, for a moment.
        assert_eq!(said(&["cp1", "cp2"], &[], &[]).await, None);
        assert_eq!(said(&["cp1"], &[], &[]).await, None);
        assert_eq!(said(&["cp1", "cp2", "cp3", "cp4", "cp5"], &["cp5"], &[]).await, None);
    }
}
