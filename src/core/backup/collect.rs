//! The files of a machine that a backup holds beside the snapshot: without its keys a snapshot is of little use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::Pod;

use super::{
    BackupError,
    manifest::File as ListedFile,
    source::{StaticPods, below},
};
use crate::{
    manifest::pod,
    pki::{Certificate, PrivateKey},
    text::sha256_hex,
};

/// A directory with more than this is data, not configuration.
const MOST_BYTES: u64 = 32 << 20;
const MOST_FILES: usize = 2000;

/// What every control plane has.
const KUBERNETES: &str = "/etc/kubernetes";
const ALWAYS: [&str; 3] = [
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
];

/// The machine's own authorities: every machine has them.
const OF_THE_SYSTEM: [&str; 5] = [
    "/etc/ssl/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/pki",
];

/// What was found.
#[derive(Debug, Default)]
pub struct Collected {
    /// Paths on the machine, sorted, files only.
    pub files: Vec<PathBuf>,
    /// What was left out, and why.
    pub warnings: Vec<String>,
}

/// Everything below `/etc/kubernetes`, the kubelet's settings, and whatever host file the static pods mount or their flags
/// name: encryption and audit configuration, extra volumes.
///
/// # Errors
/// A file that is there cannot be read.
pub fn collect(root: &Path, pods: &StaticPods) -> Result<Collected, BackupError> {
    let mut found = BTreeSet::new();
    let mut collected = Collected::default();
    let data_dirs: Vec<_> = pods.pods.iter().filter_map(|(_, pod)| pod::dir_of(pod, "data-dir")).collect();
    for path in ALWAYS {
        add(root, Path::new(path), &mut found, &mut collected.warnings)?;
    }
    // One by one: what is large among them must not keep the others out. kubeadm leaves copies of etcd's data in `tmp`.
    for path in children(root, Path::new(KUBERNETES))?.into_iter().filter(|path| !path.ends_with("tmp")) {
        add(root, &path, &mut found, &mut collected.warnings)?;
    }
    for (name, pod) in &pods.pods {
        for path in mounted(pod) {
            let of_system = OF_THE_SYSTEM.iter().any(|dir| path.starts_with(dir));
            if of_system || data_dirs.iter().any(|dir| path.starts_with(dir)) {
                continue;
            }
            let before = collected.warnings.len();
            add(root, &path, &mut found, &mut collected.warnings)?;
            for warning in &mut collected.warnings[before..] {
                *warning = format!("{name}: {warning}");
            }
        }
    }
    collected.files = found.into_iter().collect();
    Ok(collected)
}

/// Host paths that a pod mounts.
fn mounted(pod: &Pod) -> Vec<PathBuf> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(PathBuf::from(&volume.host_path.as_ref()?.path))).collect()
}

fn children(root: &Path, dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = match fs::read_dir(below(root, dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(BackupError::io("read", dir)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| dir.join(entry.file_name())));
    names.collect::<Result<_, _>>().map_err(BackupError::io("read", dir))
}

fn add(
    root: &Path,
    top: &Path,
    found: &mut BTreeSet<PathBuf>,
    warnings: &mut Vec<String>,
) -> Result<(), BackupError> {
    let mut open = vec![top.to_owned()];
    let (mut files, mut bytes) = (vec![], 0);
    while let Some(path) = open.pop() {
        let real = below(root, &path);
        // What a link leads to is what is used; a loop ends with an error, as it would for the component.
        let meta = match fs::metadata(&real) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(BackupError::io("read", path)(error)),
        };
        if meta.is_dir() {
            let is_link = fs::symlink_metadata(&real).is_ok_and(|meta| meta.is_symlink());
            if is_link && path != top {
                warnings.push(format!("{} is a link to a directory and is left out", path.display()));
                continue;
            }
            for entry in fs::read_dir(&real).map_err(BackupError::io("read", &path))? {
                open.push(path.join(entry.map_err(BackupError::io("read", &path))?.file_name()));
            }
        } else if meta.is_file() {
            bytes += meta.size();
            files.push(path);
        }
        if bytes > MOST_BYTES || files.len() > MOST_FILES {
            warnings.push(format!(
                "{} holds more than {} MiB or {MOST_FILES} files and is left out: back it up by itself",
                top.display(),
                MOST_BYTES >> 20
            ));
            return Ok(());
        }
    }
    found.extend(files);
    Ok(())
}

/// Of files, by their path on the machine.
pub(super) type Contents = BTreeMap<String, Vec<u8>>;

/// What was collected. A file may have gone meanwhile: a log that is rotated, for example.
pub(super) fn read_files(
    root: &Path,
    collected: &mut Collected,
) -> Result<(Vec<ListedFile>, Contents), BackupError> {
    let (mut files, mut contents) = (vec![], Contents::new());
    for path in &collected.files {
        let real = below(root, path);
        let read = fs::metadata(&real).and_then(|meta| Ok((meta, fs::read(&real)?)));
        let (meta, bytes) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                collected.warnings.push(format!("{} went while the backup was made", path.display()));
                continue;
            }
            Err(error) => return Err(BackupError::io("read", path)(error)),
        };
        let name = path.display().to_string();
        files.push(ListedFile {
            path: name.clone(),
            size: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        });
        contents.insert(name, bytes);
    }
    Ok((files, contents))
}

/// Where the control plane has its certificates.
pub(super) fn pki_dir(pods: &StaticPods) -> PathBuf {
    let dir = pods.component("kube-apiserver").and_then(pod::certificates_dir);
    dir.unwrap_or_else(|| crate::pki::list::DEFAULT_DIR.into())
}

/// Of public keys, which tell whether a machine has the same authorities.
pub fn fingerprints(files: &[ListedFile], contents: &Contents, pki: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in files {
        let Some(bytes) = contents.get(&file.path) else { continue };
        for name in ["ca", "etcd/ca", "front-proxy-ca"] {
            if Path::new(&file.path) == pki.join(format!("{name}.crt"))
                && let Ok(certificate) = Certificate::from_pem(bytes)
            {
                found.insert(name.to_owned(), certificate.spki_hash());
            }
        }
        if Path::new(&file.path) == pki.join("sa.key")
            && let Ok(key) = PrivateKey::from_pem(bytes)
        {
            found.insert(
                "sa".to_owned(),
                format!("sha256:{}", sha256_hex(key.public_key_pem().trim().as_bytes())),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn an_authority_in_a_directory_of_everybody_does_not_hide_where_the_others_are() {
        let server = yaml::from_str(
            "spec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, --client-ca-file=/etc/ssl/certs/corp.pem, \
             --tls-cert-file=/srv/pki/apiserver.crt, --service-account-key-file=/srv/pki/sa.pub]\n    volumeMounts:\n    \
             - {name: srv, mountPath: /srv/pki}\n    - {name: ssl, mountPath: /etc/ssl/certs}\n  volumes:\n  \
             - {name: srv, hostPath: {path: /data/pki}}\n  - {name: ssl, hostPath: {path: /etc/ssl/certs}}\n",
        )
        .unwrap();
        let pods = StaticPods { pods: vec![("kube-apiserver.yaml".into(), server)] };
        assert_eq!(pki_dir(&pods), Path::new("/data/pki"));
        assert_eq!(pki_dir(&StaticPods { pods: vec![] }), Path::new("/etc/kubernetes/pki"));
    }

    #[test]
    fn a_file_that_goes_meanwhile_ends_no_backup() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("stays"), "text").unwrap();
        let files = ["/rotated", "/stays"].map(PathBuf::from).into();
        let mut collected = Collected { files, ..Collected::default() };
        let (listed, contents) = read_files(root.path(), &mut collected).unwrap();
        assert_eq!((listed.len(), contents.len()), (1, 1));
        assert_eq!(collected.warnings, ["/rotated went while the backup was made"]);
    }
}
