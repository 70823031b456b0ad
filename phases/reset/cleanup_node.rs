//! `cleanup-node`: the kubelet stops, its pods end, and what Kubernetes has on this machine goes.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    archive::Removal,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, operation::REVERSIBLE},
    host::{HostError, Probe, ServiceVerb},
    kubeconfig::Kubeconfig,
    pki::Certificate,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Reset,
    etcd_member::{MEMBER_OUTPUT, MemberOutput},
};
use crate::init::{KUBELET, KUBELET_DIR};

/// Name of the recorded value: the archives that this operation wrote.
pub const ARCHIVES_OUTPUT: &str = "archives";

/// What of the kubelet's directory is in no archive: data of pods, which may be big, are the pods' and go with them.
pub fn left_out() -> Vec<PathBuf> {
    ["pods", "plugins", "plugins_registry", "device-plugins", "pod-resources"]
        .map(|name| Path::new(KUBELET_DIR).join(name))
        .into()
}

/// Removes what Kubernetes has on this machine.
pub struct CleanupNode {
    reset: Arc<Reset>,
}

impl CleanupNode {
    pub fn new(reset: &Arc<Reset>) -> Self {
        Self { reset: Arc::clone(reset) }
    }
}

/// An archive, and the boot of the machine that it was written in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    path: PathBuf,
    boot_id: String,
}

/// The archives that an operation wrote, newest last.
pub fn archives(output: Option<&Value>) -> Vec<PathBuf> {
    written(output).into_iter().map(|archive| archive.path).collect()
}

fn written(output: Option<&Value>) -> Vec<Written> {
    output.and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

#[async_trait]
impl Phase for CleanupNode {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("cleanup-node", "Run cleanup node").help(
            "Stop the kubelet, stop and remove all pods, unmount what is below /var/lib/kubelet, write an archive of what is \
             about to go, and remove it: manifests, certificates, kubeconfigs, the kubelet's files, and etcd's data where \
             remove-etcd-member ran.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let etcd = cx.store.output(MEMBER_OUTPUT);
        let etcd: Option<MemberOutput> = etcd.and_then(|value| serde_json::from_value(value.clone()).ok());
        let stop = kubelet_is_up(cx).await?;
        let pods = self.pods(cx).await?;
        let mounts = !cx.host.mounts_below(Path::new(KUBELET_DIR)).await?.is_empty();
        let mut steps = vec![];
        if let Some(etcd) = &etcd {
            let again = etcd.looked_at_again(cx.host, &self.reset).await;
            steps.extend(again.filter(|_| !cx.is_dry_run()).map(|etcd| etcd.record()));
        }
        if stop {
            steps.push(Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Stop });
        }
        // What a kubelet that is still at work begins meanwhile ends as well.
        if pods.unwrap_or(false) || (stop && pods.is_some()) {
            let socket = self.reset.config.cri_socket.clone();
            steps.push(Step::StopPods { socket, lenient: self.reset.config.force });
        }
        if mounts || stop {
            let flags = self.reset.config.unmount_flags.clone();
            steps.push(Step::Unmount { dir: KUBELET_DIR.into(), flags });
        }
        let what = self.what(cx, etcd.as_ref()).await?;
        if !what.is_empty() {
            let runs = stop || pods.unwrap_or(false);
            steps.extend(self.removal(cx, what, etcd.as_ref(), runs).await?);
        }
        Ok(Verdict::from_steps(steps, "nothing of Kubernetes is here"))
    }
}

impl CleanupNode {
    /// Whether there are pods; `None` where nobody can tell and that was ignored.
    async fn pods(&self, cx: &PlanCx<'_>) -> Result<Option<bool>, PhaseError> {
        match cx.host.sandboxes(&self.reset.config.cri_socket).await {
            Ok(pods) => Ok(Some(!pods.is_empty())),
            Err(_) if self.reset.tolerates("CRI") || is_bare(cx.host).await? => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What of all that goes is there.
    async fn what(&self, cx: &PlanCx<'_>, etcd: Option<&MemberOutput>) -> Result<Vec<Removal>, PhaseError> {
        let mut all = vec![];
        // First, while the authority is here that they are compared with.
        for path in &self.reset.user_kubeconfigs {
            if self.is_of_this_cluster(cx, path).await? {
                all.push(Removal::whole(path));
            }
        }
        all.extend(self.reset.removals());
        let of_etcd = etcd.map(|etcd| etcd.data.removals()).unwrap_or_default();
        all.extend(of_etcd.iter().cloned());
        let mut here = vec![];
        for removal in all {
            refuse_what_is_everybodys(&removal, of_etcd.contains(&removal))?;
            let is_here = if removal.contents_only {
                !cx.host.list(&removal.path).await?.is_empty()
            } else {
                cx.host.stat(&removal.path).await?.is_some()
            };
            if is_here {
                tell_of_mounts(cx, &removal).await?;
                here.push(removal);
            }
        }
        Ok(here)
    }

    /// Archive and removal. An archive that was written before an interruption still holds, as long as nothing ran since.
    async fn removal(
        &self,
        cx: &PlanCx<'_>,
        what: Vec<Removal>,
        etcd: Option<&MemberOutput>,
        runs: bool,
    ) -> Result<Vec<Step>, PhaseError> {
        self.reset.keeps_its_archive(&what)?;
        let Some(dir) = &self.reset.archive_dir else {
            let why = "nothing is kept of what is removed (--no-archive)".into();
            return Ok(vec![Step::CommitPoint { why }, Step::Remove { what, archive: None }]);
        };
        let boot_id = cx.host.read(Path::new("/proc/sys/kernel/random/boot_id")).await?.unwrap_or_default();
        let boot_id = String::from_utf8_lossy(&boot_id).trim().to_owned();
        let mut all = written(cx.store.output(ARCHIVES_OUTPUT));
        let mut steps = vec![];
        let usable = match all.last() {
            Some(last) if !runs && last.boot_id == boot_id => cx.host.stat(&last.path).await?.is_some(),
            _ => false,
        };
        if !usable {
            let path = new_name(cx.host, dir).await?;
            let mut leave_out = left_out();
            if let Some(etcd) = etcd.filter(|etcd| etcd.leave_out) {
                leave_out.extend(etcd.data.bulk(cx.host).await?);
            }
            steps.push(Step::Archive { archive: path.clone(), what: what.clone(), leave_out });
            all.push(Written { path, boot_id });
            let value = serde_json::to_value(&all).unwrap_or_default();
            steps.push(Step::Record { name: ARCHIVES_OUTPUT.into(), value });
        }
        let archive = all.last().map(|last| last.path.clone());
        if etcd.is_some_and(|etcd| etcd.leave_out) {
            // The control plane without its data: its etcd would begin a new and empty cluster, and its API server serve that to whoever
            // reaches it by the address of the old one.
            let why = "etcd's data of the member that left are not kept, and without them this control plane must not start again";
            steps.push(Step::CommitPoint { why: why.into() });
            steps.push(Step::Remove { what, archive: None });
            return Ok(steps);
        }
        steps.push(Step::Remove { what, archive });
        if etcd.is_none_or(|etcd| etcd.removed.is_none()) {
            steps.push(Step::Record { name: REVERSIBLE.into(), value: true.into() });
        }
        Ok(steps)
    }

    /// Whether every cluster of a user's file has the authority of the cluster that goes.
    async fn is_of_this_cluster(&self, cx: &PlanCx<'_>, path: &Path) -> Result<bool, PhaseError> {
        let Some(text) = cx.host.read(path).await? else { return Ok(false) };
        let ca = Path::new(&self.reset.config.certificates_dir).join("ca.crt");
        let Some(ca) = cx.host.read(&ca).await? else {
            // After a crash the authority may be gone already.
            return Ok(false);
        };
        let Ok(ca) = Certificate::from_pem(&ca) else { return Ok(false) };
        let file = Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)).ok();
        let same = file.is_some_and(|file| {
            !file.clusters.is_empty()
                && file.clusters.iter().all(|named| {
                    let found = named.cluster.authorities().ok().flatten().unwrap_or_default();
                    found.iter().any(|one| one.der() == ca.der())
                })
        });
        if !same {
            cx.warn(format!("{} stays: it is not of this cluster alone", path.display()));
        }
        Ok(same)
    }
}

/// A file system that somebody mounted stays, and all that is in it: it is not for a removal to say whose it is.
async fn tell_of_mounts(cx: &PlanCx<'_>, removal: &Removal) -> Result<(), PhaseError> {
    // What the kubelet mounted is unmounted.
    if removal.path.starts_with(KUBELET_DIR) {
        return Ok(());
    }
    for mount in cx.host.mounts_below(&removal.path).await?.iter().filter(|mount| **mount != removal.path) {
        cx.warn(format!(
            "{} is a file system of its own in what is removed: it stays, with all that is in it; empty it yourself before this \
             machine is used again",
            mount.display()
        ));
    }
    Ok(())
}

/// Without a service manager, whoever started the kubelet has to stop it.
async fn kubelet_is_up(cx: &PlanCx<'_>) -> Result<bool, PhaseError> {
    match cx.host.service(KUBELET).await {
        Ok(kubelet) => Ok(kubelet.exists && kubelet.is_up()),
        Err(HostError::Spawn { .. }) => {
            cx.warn("there is no systemd here: a kubelet that runs is not stopped");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// A name that no archive has yet.
async fn new_name(host: &dyn Probe, dir: &Path) -> Result<PathBuf, PhaseError> {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut path = dir.join(format!("{time}-reset.tar.gz"));
    let mut number = 2;
    while host.stat(&path).await?.is_some() {
        path = dir.join(format!("{time}-reset-{number}.tar.gz"));
        number += 1;
    }
    Ok(path)
}

/// A machine whose kubelet has nothing has no pods.
async fn is_bare(host: &dyn Probe) -> Result<bool, PhaseError> {
    Ok(host.list(Path::new(KUBELET_DIR)).await?.is_empty())
}

/// Directories at the root that are never one program's own.
const OF_THE_SYSTEM: [&str; 18] = [
    "bin", "boot", "data", "dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv",
    "sys", "tmp", "usr", "var",
];
/// Directories that many programs share.
const OF_MANY: [&str; 12] = [
    "/etc/ssl",
    "/etc/ssl/certs",
    "/etc/pki",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/kubernetes",
    "/var/lib",
    "/var/log",
    "/usr/lib",
    "/usr/share",
    "/usr/local",
];

/// A slip in a configuration must not take the machine with it.
pub fn refuse_what_is_everybodys(removal: &Removal, of_etcd: bool) -> Result<(), PhaseError> {
    let names: Vec<_> =
        removal.path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let plain =
        removal.path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let is_shared = match names[..] {
        [] => true,
        // What the Filesystem Hierarchy Standard has there, and distributions beside it.
        [name] => {
            let name = name.as_os_str().to_string_lossy();
            // etcd runs in a directory of its own, which its manifest names; any other may hold anything.
            !of_etcd || name.starts_with("lib") || OF_THE_SYSTEM.contains(&&*name)
        }
        _ => removal.contents_only && OF_MANY.iter().any(|dir| removal.path == Path::new(dir)),
    };
    if removal.path.is_absolute() && plain && !is_shared {
        return Ok(());
    }
    Err(PhaseError::Unusable {
        message: format!("{} would be removed, which holds more than Kubernetes' files", removal.describe()),
        hint: "name a directory of its own: certificatesDir (--cert-dir), or etcd's data directory in its manifest".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_the_whole_machine_are_never_emptied() {
        for path in ["/", "/etc", "/var/lib", "/etc/ssl", "/etc/../etc", "relative/dir", "/lib64", "/data"] {
            assert!(refuse_what_is_everybodys(&Removal::contents(path), true).is_err(), "{path}");
        }
        for path in ["/etc/kubernetes/pki", "/var/lib/etcd", "/srv/etcd", "/etc/cni/net.d", "/etcd"] {
            assert!(refuse_what_is_everybodys(&Removal::contents(path), true).is_ok(), "{path}");
        }
        assert!(refuse_what_is_everybodys(&Removal::contents("/backup"), false).is_err());
    }
}
