//! How commands that need no more than an API server find it, and what is said when it does not do what it is asked.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rkadm_core::{
    kube::{KubeClient, KubeError, client::Options},
    kubeconfig::Kubeconfig,
    pki::Certificate,
};

use super::{Session, exit::CommandError};

/// The administrator's file on a control plane.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// How long one call is tried for: somebody sits and waits, but an API server may be restarting.
const PATIENCE: Duration = Duration::from_secs(5);

/// A cluster, as a kubeconfig names it.
pub struct Cluster {
    /// Calls its API.
    pub client: KubeClient,
    path: PathBuf,
    text: Vec<u8>,
}

/// What others need to find the cluster and to know it again.
pub struct Pins {
    /// `host:port` of the API server.
    pub endpoint: String,
    /// `sha256:<hex>` of each authority's public key.
    pub hashes: Vec<String>,
}

impl Cluster {
    /// The cluster of a kubeconfig file; see [`find`] for which one.
    pub fn open(session: &Session, flag: Option<&Path>) -> Result<Self, CommandError> {
        let path = find(session, flag)?;
        let text = std::fs::read(&path).map_err(|error| {
            CommandError::failed(format!("cannot read {}: {error}", path.display()))
                .hint("name an administrator's kubeconfig with --kubeconfig")
        })?;
        // What does not parse is the client's to explain.
        let text = match Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)) {
            Ok(file) => {
                let dir = std::path::absolute(path.parent().unwrap_or(Path::new("/")));
                file.with_paths_below(&dir.unwrap_or_default()).to_yaml().as_bytes().to_vec()
            }
            Err(_) => text,
        };
        let options = Options { call_timeout: PATIENCE, ..Options::default() };
        let client = KubeClient::with_options(&text, &options).map_err(|error| explain(&error, &path, ""))?;
        Ok(Self { client, path, text })
    }

    /// Why a call failed, and what to do about it. `left` says what is left behind.
    pub fn explain(&self, error: &KubeError, left: &str) -> CommandError {
        explain(error, &self.path, left)
    }

    /// Endpoint and authorities, as the kubeconfig has them.
    pub fn pins(&self) -> Result<Pins, CommandError> {
        let fail = |why: &dyn std::fmt::Display| {
            CommandError::failed(format!("{} cannot be used for a join command: {why}", self.path.display()))
        };
        let file =
            Kubeconfig::from_yaml(&String::from_utf8_lossy(&self.text)).map_err(|error| fail(&error))?;
        let (cluster, _) = file.current().map_err(|error| fail(&error))?;
        let authorities =
            match (cluster.authorities().map_err(|error| fail(&error))?, &cluster.certificate_authority) {
                (Some(authorities), _) => authorities,
                (None, Some(name)) => {
                    let path = self.path.parent().unwrap_or(Path::new("/")).join(name);
                    let pem = std::fs::read(&path)
                        .map_err(|error| fail(&format!("{}: {error}", path.display())))?;
                    Certificate::bundle_from_pem(&pem)
                        .map_err(|error| fail(&format!("{}: {error}", path.display())))?
                }
                (None, None) => return Err(fail(&"it names no certificate authority")),
            };
        Ok(Pins {
            endpoint: cluster.server.trim_start_matches("https://").trim_end_matches('/').to_owned(),
            hashes: authorities.iter().map(Certificate::spki_hash).collect(),
        })
    }
}

/// As kubeadm: the file of the flag; or the first that is there of `KUBECONFIG`'s, or else of `~/.kube/config`, and
/// of [`ADMIN_CONF`].
fn find(session: &Session, flag: Option<&Path>) -> Result<PathBuf, CommandError> {
    let below_root = |path: &Path| session.root.join(path.strip_prefix("/").unwrap_or(path));
    if let Some(path) = flag {
        return Ok(path.to_owned());
    }
    let variable = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty());
    let mut candidates: Vec<PathBuf> = match &variable {
        Some(paths) => std::env::split_paths(paths).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => {
            std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config")).into_iter().collect()
        }
    };
    candidates.push(below_root(Path::new(ADMIN_CONF)));
    if let Some(path) = candidates.iter().find(|path| path.exists()) {
        return Ok(path.clone());
    }
    let tried: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(CommandError::failed(format!("no kubeconfig was found; looked for {}", tried.join(", ")))
        .hint("run this on a control plane as root, or name an administrator's kubeconfig with --kubeconfig or in KUBECONFIG"))
}

fn explain(error: &KubeError, kubeconfig: &Path, left: &str) -> CommandError {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // Wrappers repeat what they wrap; only the innermost is news.
        if cause.source().is_none() {
            message += &format!(": {cause}");
        }
        source = cause.source();
    }
    let mut answer =
        CommandError::failed(message).detail(format!("The kubeconfig is {}.", kubeconfig.display()));
    if !left.is_empty() {
        answer = answer.detail(left);
    }
    match error {
        KubeError::Unreachable { .. } => answer.hint(
            "check that the API server runs and that this machine reaches it, or name another cluster with --kubeconfig",
        ),
        KubeError::Untrusted { .. } => {
            answer.hint("the kubeconfig is of another cluster, or its authority was replaced: get a new one")
        }
        KubeError::Unauthorized { .. } | KubeError::Forbidden { .. } => answer
            .hint("use an administrator's kubeconfig, for example --kubeconfig /etc/kubernetes/admin.conf"),
        KubeError::Kubeconfig { .. } => answer.hint("name another kubeconfig with --kubeconfig"),
        _ => answer,
    }
}
