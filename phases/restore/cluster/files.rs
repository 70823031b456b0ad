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
    manifest::Component,
    pki::list,
};

use super::ClusterRestore;
use crate::{
    files::{Existing, directory, new_file},
    init::{Cluster, KUBELET, KUBERNETES_DIR, PRIVATE_DIR, PUBLIC_DIR, etcd_data_dir_steps},
};

/// The output that says that all of them are there.
const BROUGHT: &str = "files-brought";

/// Of a directory that others than root go through, to a file whose name they know.
const PASSAGE: u32 = 0o711;

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
        // What runs since may have written to them: a log that was in the backup, for example.
        if cx.store.output(BROUGHT).is_some() {
            return Ok(Verdict::AlreadyDone("they were brought before the interruption".into()));
        }
        let (mut dirs, mut differing) = (BTreeSet::new(), vec![]);
        let cert_dir = PathBuf::from(self.request.config.cert_dir());
        let signers = self.signers(cx, &cert_dir).await?;
        let mut steps = directory(cx, Path::new(KUBERNETES_DIR), PUBLIC_DIR).await?;
        dirs.extend(steps.iter().flat_map(Step::targets));
        for file in of_cluster(&self.request.files, &cert_dir, &signers) {
            let own = file.path.starts_with(KUBERNETES_DIR) || file.path.starts_with(&cert_dir);
            match Existing::at(cx, &file.path).await? {
                Existing::Bytes(bytes) if bytes == file.bytes => continue,
                Existing::Absent => {}
                _ if own => {
                    differing.push(file.path.display().to_string());
                    continue;
                }
                // The machine's own: /etc/localtime, which a static pod mounts, for example.
                _ => {
                    cx.warn(format!("{} is there already and stays as it is", file.path.display()));
                    continue;
                }
            }
            let parent = file.path.parent().unwrap_or(Path::new("/"));
            for step in directory(cx, parent, PRIVATE_DIR).await? {
                if let Step::EnsureDir { path, owned, .. } = step
                    && dirs.insert(path.display().to_string())
                {
                    let mode = mode_of(&path, &cert_dir, &self.request.files);
                    steps.push(Step::EnsureDir { path, mode, owned });
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
        steps.push(Step::Record { name: BROUGHT.into(), value: true.into() });
        Ok(Verdict::Apply(steps))
    }
}

impl Files {
    /// The authorities that can sign here: their keys are in the backup, or were put here by somebody who keeps them elsewhere.
    async fn signers(&self, cx: &PlanCx<'_>, cert_dir: &Path) -> Result<Vec<&'static str>, PhaseError> {
        let mut signers = vec![];
        for ca in list::ENTRIES.iter().filter(|entry| entry.ca.is_none()) {
            let path = cert_dir.join(ca.key_file());
            let comes = self.request.files.iter().any(|file| file.path == path);
            if comes || Existing::at(cx, &path).await? != Existing::Absent {
                signers.push(ca.base_name);
            }
        }
        Ok(signers)
    }

    /// New ones would make another cluster of it: no node, no token and no Secret would be worth anything.
    async fn keys_are_there(&self, cx: &PlanCx<'_>, steps: &[Step]) -> Result<(), PhaseError> {
        let comes =
            |path: &Path| steps.iter().flat_map(Step::targets).any(|target| Path::new(&target) == path);
        for name in ["ca.crt", "sa.key"] {
            let path = self.cluster.cert_file(name);
            if !comes(&path) && Existing::at(cx, &path).await? == Existing::Absent {
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
        let path = self.cluster.cert_file("ca.key");
        if !comes(&path) && Existing::at(cx, &path).await? == Existing::Absent {
            return Err(PhaseError::Unusable {
                message: format!("{} is neither in the backup nor here: the authority's key is kept elsewhere", path.display()),
                hint: "put it there for this run: certificates and kubeconfigs of the lost machine are of no use on this one, and \
                       have to be signed anew. Afterwards it can be taken away again"
                    .into(),
            });
        }
        Ok(())
    }
}

/// Of a directory that is to be made. The backup does not say what it let in, and what it holds may be closed by it alone: so
/// not more than those need to whom files in it belong.
fn mode_of(dir: &Path, cert_dir: &Path, files: &[LostFile]) -> u32 {
    let of_others = || files.iter().any(|file| file.owner.is_some() && file.path.starts_with(dir));
    match () {
        () if dir.starts_with(cert_dir) || cert_dir.starts_with(dir) => PUBLIC_DIR,
        // Of the system's own: /srv, for example.
        () if dir.parent() == Some(Path::new("/")) => PUBLIC_DIR,
        () if of_others() => PASSAGE,
        () => PRIVATE_DIR,
    }
}

/// Those that an archive brings to places of the machine's own.
pub fn outside<'f>(files: &'f [LostFile], cert_dir: &Path) -> Vec<&'f Path> {
    let chosen = of_cluster(files, cert_dir, &[]).map(|file| file.path.as_path());
    chosen.filter(|path| !path.starts_with(KUBERNETES_DIR) && !path.starts_with(cert_dir)).collect()
}

/// The name of a static pod's manifest that is none of a control plane's own components.
pub fn own_static_pod(path: &Path) -> Option<String> {
    let name = path.strip_prefix(KUBERNETES_DIR).ok()?.strip_prefix("manifests").ok()?;
    let known = Component::ALL.iter().any(|component| name == Path::new(&component.file_name()));
    (!known).then(|| name.display().to_string())
}

/// Files that belong to the cluster and not to the machine that is lost. What one of `signers` has signed is made anew.
fn of_cluster<'f>(
    files: &'f [LostFile],
    cert_dir: &Path,
    signers: &[&str],
) -> impl Iterator<Item = &'f LostFile> {
    let signed_here: Vec<PathBuf> = list::ENTRIES
        .iter()
        .filter(|entry| entry.ca.is_some_and(|ca| signers.contains(&ca.base_name)))
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

    fn chosen(paths: &[&str], signers: &[&str]) -> Vec<String> {
        let file = |path: &&str| LostFile { path: path.into(), mode: 0o600, owner: None, bytes: vec![] };
        let files: Vec<_> = paths.iter().map(file).collect();
        let chosen = of_cluster(&files, Path::new("/etc/kubernetes/pki"), signers);
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
            chosen(&paths, &["ca"]),
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
    fn a_directory_lets_in_whom_a_file_in_it_belongs_to_and_nobody_else() {
        let file = |path: &str, owner| LostFile { path: path.into(), mode: 0o600, owner, bytes: vec![] };
        let files = [
            file("/etc/kubernetes/audit/policy.yaml", None),
            file("/srv/kms/of/one/socket.conf", Some((65532, 65532))),
            file("/srv/kms/root.conf", None),
            file("/srv/secret/key", None),
        ];
        let mode = |dir: &str| mode_of(Path::new(dir), Path::new("/etc/kubernetes/pki"), &files);
        assert_eq!(mode("/etc/kubernetes"), 0o755);
        assert_eq!(mode("/etc/kubernetes/pki/etcd"), 0o755);
        assert_eq!(mode("/etc/kubernetes/audit"), 0o700);
        assert_eq!((mode("/srv"), mode("/srv/kms"), mode("/srv/kms/of/one")), (0o755, 0o711, 0o711));
        assert_eq!(mode("/srv/secret"), 0o700);
    }

    #[test]
    fn static_pods_of_operators_are_told_from_those_of_the_control_plane() {
        let own = |name: &str| own_static_pod(&Path::new("/etc/kubernetes/manifests").join(name));
        assert_eq!(own("kube-vip.yaml").as_deref(), Some("kube-vip.yaml"));
        assert_eq!(own("etcd.yaml"), None);
        assert_eq!(own_static_pod(Path::new("/etc/kubernetes/audit.yaml")), None);
    }

    #[test]
    fn what_an_authority_elsewhere_signed_comes_too() {
        let paths = ["/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/ca.crt"];
        assert_eq!(chosen(&paths, &["etcd/ca"]), paths);
    }
}
