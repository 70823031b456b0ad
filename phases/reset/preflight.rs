//! `preflight`: what must hold before anything is removed.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    archive::Removal,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict, phase::Finding},
    host::{ApiAccess, Probe},
    manifest::{Component, api_server_url},
};

use super::{LeaveCluster, Reset, cleanup_node, delete_node::node_name, etcd_member};
use crate::{init::KUBELET_DIR, static_pods};

pub struct Preflight {
    reset: Arc<Reset>,
}

impl Preflight {
    pub fn new(reset: &Arc<Reset>) -> Self {
        Self { reset: Arc::clone(reset) }
    }
}

#[async_trait]
impl Phase for Preflight {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("preflight", "Run reset pre-flight checks")
            .help(
                "Ask for confirmation, then check this machine, its container runtime, and the room for the archive. \
                 --ignore-preflight-errors=NAME turns a check into a warning, --force all of them.",
            )
            .once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let etcd = etcd_member::local(cx.host, &self.reset).await?.map(|local| local.data.removals());
        let etcd = etcd.unwrap_or_default();
        let all: Vec<_> = self.reset.removals().into_iter().chain(etcd.iter().cloned()).collect();
        for removal in &all {
            cleanup_node::refuse_what_is_everybodys(removal, etcd.contains(removal))?;
        }
        self.reset.keeps_its_archive(&all)?;
        let mut findings = vec![];
        if cx.host.uid() != 0 && !cx.is_dry_run() {
            findings.push(finding("IsPrivilegedUser", "this is not root", "sudo rkadm reset"));
        }
        findings.extend(runtime(cx.host, &self.reset).await?);
        findings.extend(room(cx.host, &self.reset, &all).await?);
        findings.extend(self.last_of_its_cluster(cx).await?);
        let mut failed = vec![];
        for finding in findings {
            if finding.check == "IsPrivilegedUser" || !self.reset.tolerates(&finding.check) {
                failed.push(finding);
                continue;
            }
            let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            cx.warn(format!("[{}] {}{hint}", finding.check, finding.message));
        }
        if failed.is_empty() {
            Ok(Verdict::AlreadyDone("nothing speaks against it".into()))
        } else {
            Err(PhaseError::Preflight(failed))
        }
    }
}

impl Preflight {
    /// With the last voting member of etcd the cluster ends, also for those that are still in it.
    async fn last_of_its_cluster(&self, cx: &PlanCx<'_>) -> Result<Option<Finding>, PhaseError> {
        if !LeaveCluster::new(&self.reset).is_last(cx).await? {
            return Ok(None);
        }
        let server =
            static_pods::read(cx.host, Component::ApiServer).await?.as_ref().and_then(api_server_url);
        let access = ApiAccess { kubeconfig: self.reset.admin_kubeconfig(), server };
        // Where nobody answers there is nothing left that could be told of.
        let Ok(nodes) = cx.host.objects(&access, "Node").await else { return Ok(None) };
        let own = node_name(cx.host).await?;
        let names = nodes.iter().filter_map(|node| node["metadata"]["name"].as_str());
        let others: Vec<_> = names.filter(|name| *name != own).collect();
        if others.is_empty() {
            return Ok(None);
        }
        let message = format!(
            "this is the last member of etcd, and with it ends the cluster that {} still {} to",
            others.join(", "),
            if others.len() == 1 { "belongs" } else { "belong" }
        );
        let hint = "reset the others first (`kubectl delete node` for those that are gone), or let another control plane join; \
                    --ignore-preflight-errors=LastControlPlane ends the cluster";
        Ok(Some(finding("LastControlPlane", message, hint)))
    }
}

fn finding(check: &str, message: impl Into<String>, hint: &str) -> Finding {
    Finding { check: check.into(), message: message.into(), hint: Some(hint.into()) }
}

/// Pods that nobody stops keep running, and keep files and ports in use.
async fn runtime(host: &dyn Probe, reset: &Reset) -> Result<Option<Finding>, PhaseError> {
    let socket = &reset.config.cri_socket;
    // Where there is no runtime there are no pods.
    let path = Path::new(socket.strip_prefix("unix://").unwrap_or(socket));
    if host.stat(path).await?.is_none() && host.list(KUBELET_DIR.as_ref()).await?.is_empty() {
        return Ok(None);
    }
    Ok(host.sandboxes(socket).await.err().map(|error| {
        let message = format!("the container runtime cannot be asked for pods: {error}");
        finding(
            "CRI",
            message,
            "start it first, or name another with --cri-socket; ignored, pods are left running",
        )
    }))
}

/// The archive must have its place before anything is stopped.
async fn room(host: &dyn Probe, reset: &Reset, all: &[Removal]) -> Result<Option<Finding>, PhaseError> {
    let Some(dir) = &reset.archive_dir else { return Ok(None) };
    let mut needed = 0;
    for removal in all {
        needed += host.tree_size(removal, &cleanup_node::left_out()).await?;
    }
    let Some(space) = host.space(dir).await else { return Ok(None) };
    if space.bytes_free > needed {
        return Ok(None);
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let message = format!(
        "the archive of what is removed may need {} MiB, and {} has {} MiB free",
        mib(needed),
        dir.display(),
        mib(space.bytes_free)
    );
    Ok(Some(finding(
        "ArchiveSpace",
        message,
        "put it elsewhere with --archive-dir, or keep nothing with --no-archive",
    )))
}
