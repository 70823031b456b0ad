//! `control-plane-prepare/download-certs`: the authorities that all control planes share, from the cluster.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict, content::Content},
    pki::encrypt::{self, CertificateKey},
};
use zeroize::Zeroizing;

use super::joining::{Joining, WORKER};
use crate::{
    files::{Existing, directory, new_file},
    init::{PRIVATE, PUBLIC, PUBLIC_DIR},
};

/// What to do when the uploaded files are of no use.
pub const UPLOAD_AGAIN: &str = "on a control plane, `rkadm init phase upload-certs --upload-certs` uploads them again, for two hours, and prints a new key; \
                                or copy the files by hand and join without --certificate-key";

/// Writes the uploaded files, decrypted.
pub struct DownloadCerts {
    joining: Arc<Joining>,
}

impl DownloadCerts {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for DownloadCerts {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(
            "control-plane-prepare/download-certs",
            "Download certificates shared among control-plane nodes from the kubeadm-certs Secret",
        )
        .help(
            "Decrypt the uploaded authorities and service account keys with --certificate-key, and write them to the \
             certificate directory. Files that are there already have to be the same.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.joining.is_control_plane() {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        if self.joining.cluster.config.certificate_key.is_none() {
            let why = "no --certificate-key: the files are expected on this machine";
            return Ok(Verdict::NotApplicable(why.into()));
        }
        let files = uploaded(&self.joining)
            .map_err(|message| PhaseError::Unusable { message, hint: UPLOAD_AGAIN.into() })?;
        let mut steps = vec![];
        for (path, plain) in files {
            match Existing::at(cx, &path).await? {
                Existing::Planned => {}
                Existing::Bytes(bytes) if bytes == *plain => {}
                Existing::Bytes(_) => {
                    return Err(PhaseError::Unusable {
                        message: format!("{} is there already and is not the cluster's", path.display()),
                        hint: "it is of another cluster: `rkadm reset` clears this machine (and keeps an archive)"
                            .into(),
                    });
                }
                Existing::Absent => {
                    let dir = path.parent().unwrap_or(Path::new("/"));
                    for step in directory(cx, dir, PUBLIC_DIR).await? {
                        if !steps.iter().any(|known| format!("{known:?}") == format!("{step:?}")) {
                            steps.push(step);
                        }
                    }
                    // By what it holds: an external etcd's files have whatever name its operator gave them.
                    let is_key = plain.windows(KEY_MARK.len()).any(|part| part == KEY_MARK);
                    let mode = if is_key { PRIVATE } else { PUBLIC };
                    steps.push(new_file(path, mode, Content::Private(plain.to_vec())));
                }
            }
        }
        Ok(Verdict::from_steps(steps, "all files are here"))
    }
}

/// In the first line of every private key (RFC 7468).
const KEY_MARK: &[u8] = b"PRIVATE KEY-----";

/// A file that control planes share: its place, and its content.
pub type SharedFile = (PathBuf, Zeroizing<Vec<u8>>);

/// The uploaded files with their places, decrypted.
///
/// # Errors
/// In words: there are none, one is missing, or the key does not fit.
pub fn uploaded(joining: &Joining) -> Result<Vec<SharedFile>, String> {
    let config = &joining.cluster.config;
    let settings = &joining.request.settings;
    let Some(key) = &config.certificate_key else { return Ok(vec![]) };
    let key: CertificateKey = key.expose().parse().map_err(|error| format!("--certificate-key: {error}"))?;
    if settings.certs.is_none() {
        return Err(
            "the cluster has no uploaded certificates (Secret kube-system/kubeadm-certs): they were never \
                    uploaded, or their two hours are over"
                .into(),
        );
    }
    let mut wanted: Vec<(&str, PathBuf)> = encrypt::SHARED_FILES
        .into_iter()
        .filter(|(_, file)| config.cluster.etcd.external.is_none() || !file.starts_with("etcd/"))
        .map(|(name, file)| (name, joining.cluster.cert_file(file)))
        .collect();
    if let Some(etcd) = &config.cluster.etcd.external {
        let files = [
            ("external-etcd-ca.crt", &etcd.ca_file),
            ("external-etcd.crt", &etcd.cert_file),
            ("external-etcd.key", &etcd.key_file),
        ];
        wanted.extend(
            files.into_iter().filter(|(_, file)| !file.is_empty()).map(|(name, file)| (name, file.into())),
        );
    }
    let mut files = vec![];
    for (name, path) in wanted {
        let encrypted = match settings.encrypted(name) {
            // An authority whose key is kept elsewhere: kubeadm leaves its value empty, rkadm leaves it out. What it would sign is asked
            // for by who needs it.
            Some(bytes) if bytes.is_empty() => continue,
            None if name == "etcd-ca.key" => continue,
            Some(bytes) => bytes,
            None => return Err(format!("{name} is missing in Secret kube-system/kubeadm-certs")),
        };
        let plain = key.decrypt(&encrypted).map_err(|_| {
            "--certificate-key does not fit the uploaded certificates: it is of an earlier upload, or mistyped".to_owned()
        })?;
        files.push((path, plain));
    }
    Ok(files)
}
