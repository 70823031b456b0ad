//! `files`: the cluster's keys, and what its operators had put beside them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use rkadm_core::{
    backup::lost::LostFile,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, content::Content},
    host::ServiceVerb,
    pki::list,
};

use super::ClusterRestore;
use crate::{
    files::{Existing, directory, new_file},
    init::{Cluster, KUBELET, KUBERNETES_DIR, PUBLIC_DIR, etcd_data_dir_steps},
};

/// Kubeconfigs that are made for each control plane.
const KUBECONFIGS: [&str; 6] = [
    "admin.conf",
    "super-admin.conf",
    "controller-manager.conf",
    "scheduler.conf",
    "kubelet.conf",
    "bootstrap-kubelet.conf",
];

pub(super) struct Files {
    pub request: Arc<ClusterRestore>,
    pub cluster: Arc<Cluster>,
}

#[async_trait]
impl Phase for Files {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("files", "Bring the cluster's keys and its operators' files from the backup").help(
            "Authorities and the service account's key come from the backup, and so does every file that the static pods use \
             and rkadm does not make: encryption, audit and admission configuration, patches. A file that is there with \
             another content is never overwritten.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let (mut steps, mut dirs, mut differing) = (vec![], BTreeSet::new(), vec![]);
        let cert_dir = PathBuf::from(self.request.config.cert_dir());
        for file in of_cluster(&self.request.files, &cert_dir) {
            match Existing::at(cx, &file.path).await? {
                Existing::Bytes(bytes) if bytes == file.bytes => continue,
                Existing::Absent => {}
                _ => {
                    differing.push(file.path.display().to_string());
                    continue;
                }
            }
            for step in directory(cx, file.path.parent().unwrap_or(Path::new("/")), PUBLIC_DIR).await? {
                if step.targets().into_iter().all(|dir| dirs.insert(dir)) {
                    steps.push(step);
                }
            }
            if let Some((uid, gid)) = file.owner {
                cx.warn(format!(
                    "{} belonged to user {uid} and group {gid}, and belongs to root here: chown it where a static pod needs it",
                    file.path.display()
                ));
            }
            steps.push(new_file(file.path.clone(), file.mode, Content::Private(file.bytes.clone())));
        }
        if !differing.is_empty() {
            return Err(PhaseError::Unusable {
                message: format!("this machine has other files than the backup: {}", differing.join(", ")),
                hint: "what is left of another cluster goes with `rkadm reset`; move files of your own away"
                    .into(),
            });
        }
        self.keys_are_there(cx, &steps).await?;
        if let Some(data_dir) = self.cluster.etcd_data_dir() {
            steps.extend(etcd_data_dir_steps(cx, &data_dir).await?);
        }
        // One that systemd starts over and over, for want of a configuration, would start with half of it. And the undo of
        // what follows stops it: the undo of this brings it back to its state.
        if cx.host.service(KUBELET).await?.is_up() {
            steps.push(Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Stop });
        }
        Ok(Verdict::from_steps(steps, "keys and files of the backup are there"))
    }
}

impl Files {
    /// New ones would make another cluster of it: no node, no token and no Secret would be worth anything.
    async fn keys_are_there(&self, cx: &PlanCx<'_>, steps: &[Step]) -> Result<(), PhaseError> {
        for name in ["ca.crt", "sa.key"] {
            let path = self.cluster.cert_file(name);
            let comes = steps.iter().flat_map(Step::targets).any(|target| Path::new(&target) == path);
            if !comes && Existing::at(cx, &path).await? == Existing::Absent {
                return Err(PhaseError::Unusable {
                    message: format!(
                        "the backup has no {}, and this machine has none either",
                        path.display()
                    ),
                    hint: format!(
                        "put the cluster's own keys into {} first: a plain snapshot holds none",
                        self.request.config.cert_dir()
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Files that belong to the cluster and not to the machine that is lost.
fn of_cluster<'f>(files: &'f [LostFile], cert_dir: &Path) -> impl Iterator<Item = &'f LostFile> {
    // Where an authority is kept elsewhere, what it signed cannot be made anew.
    let has = |name: String| files.iter().any(|file| file.path == cert_dir.join(&name));
    let signed_here: Vec<PathBuf> = list::ENTRIES
        .iter()
        .filter(|entry| entry.ca.is_some_and(|ca| has(ca.key_file())))
        .flat_map(|entry| [entry.cert_file(), entry.key_file()])
        .map(|name| cert_dir.join(name))
        .collect();
    files.iter().filter(move |file| {
        let path = &file.path;
        let kubernetes = path.strip_prefix(KUBERNETES_DIR).ok();
        let of_node = path.starts_with("/var/lib/kubelet")
            || kubernetes.is_some_and(|below| {
                below.starts_with("manifests") || KUBECONFIGS.iter().any(|name| below == Path::new(name))
            });
        !of_node && !signed_here.contains(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(paths: &[&str]) -> Vec<String> {
        let file = |path: &&str| LostFile { path: path.into(), mode: 0o600, owner: None, bytes: vec![] };
        let files: Vec<_> = paths.iter().map(file).collect();
        let chosen = of_cluster(&files, Path::new("/etc/kubernetes/pki"));
        chosen.map(|file| file.path.display().to_string()).collect()
    }

    #[test]
    fn what_is_of_the_lost_machine_alone_stays_in_the_backup() {
        let paths = [
            "/etc/kubernetes/admin.conf",
            "/etc/kubernetes/audit.yaml",
            "/etc/kubernetes/manifests/etcd.yaml",
            "/etc/kubernetes/pki/apiserver.crt",
            "/etc/kubernetes/pki/ca.crt",
            "/etc/kubernetes/pki/ca.key",
            "/etc/kubernetes/pki/sa.key",
            "/var/lib/kubelet/config.yaml",
            "/srv/encryption.yaml",
        ];
        assert_eq!(
            chosen(&paths),
            [
                "/etc/kubernetes/audit.yaml",
                "/etc/kubernetes/pki/ca.crt",
                "/etc/kubernetes/pki/ca.key",
                "/etc/kubernetes/pki/sa.key",
                "/srv/encryption.yaml"
            ]
        );
    }

    #[test]
    fn what_an_authority_elsewhere_signed_comes_too() {
        let paths = ["/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/ca.crt"];
        assert_eq!(chosen(&paths), paths);
    }
}
