//! What phases leave for later phases: recorded outputs, and secrets that never enter the journal.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::pki::{RandomUnavailable, bootstrap_token::BootstrapToken, encrypt::CertificateKey};

/// A secret that the engine can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// `abcdef.0123456789abcdef`.
    BootstrapToken,
    /// 32 bytes, as hex: the key of the Secret kubeadm-certs.
    CertificateKey,
}

impl SecretKind {
    /// What it is called in plans.
    pub fn title(self) -> &'static str {
        match self {
            Self::BootstrapToken => "a bootstrap token",
            Self::CertificateKey => "a certificate key",
        }
    }

    /// Makes a new one from the system's random numbers.
    pub fn generate(self) -> Result<Zeroizing<String>, RandomUnavailable> {
        match self {
            Self::BootstrapToken => Ok(BootstrapToken::generate()?.expose()),
            Self::CertificateKey => {
                CertificateKey::generate().map(|key| key.expose()).map_err(|_| RandomUnavailable)
            }
        }
    }
}

/// Outputs (journalled) and secrets (files of mode 0600 in the operation's private folder).
#[derive(Debug, Default)]
pub struct Store {
    outputs: BTreeMap<String, Value>,
    private: Option<PathBuf>,
}

impl Store {
    /// An empty store whose secrets live in this folder. Without a folder, no secret can be kept.
    pub fn new(private: Option<PathBuf>, outputs: BTreeMap<String, Value>) -> Self {
        Self { outputs, private }
    }

    /// The id of the operation; `None` in a dry run.
    pub fn operation(&self) -> Option<&str> {
        self.private.as_deref()?.parent()?.file_name()?.to_str()
    }

    /// A recorded value.
    pub fn output(&self, name: &str) -> Option<&Value> {
        self.outputs.get(name)
    }

    /// All recorded values.
    pub fn outputs(&self) -> &BTreeMap<String, Value> {
        &self.outputs
    }

    /// Records a value. The runner writes it to the journal.
    pub fn record(&mut self, name: &str, value: Value) {
        self.outputs.insert(name.to_owned(), value);
    }

    /// A secret made or given earlier in this operation.
    pub fn secret(&self, name: &str) -> io::Result<Option<String>> {
        let Some(path) = self.secret_path(name) else { return Ok(None) };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a secret until the operation ends; durable, so that a resumed operation uses the same one.
    pub fn keep_secret(&self, name: &str, secret: &str) -> io::Result<()> {
        let path = self.secret_path(name).ok_or_else(|| io::Error::other("a dry run keeps no secret"))?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        make_private_dir(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(secret.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        std::fs::File::open(dir)?.sync_all()
    }

    /// Removes every secret of this operation.
    pub fn forget_secrets(&self) -> io::Result<()> {
        match self.private.as_ref().map(std::fs::remove_dir_all) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn secret_path(&self, name: &str) -> Option<PathBuf> {
        self.private.as_ref().map(|dir| dir.join(name))
    }
}

/// Makes a directory (and its parents) that only its owner may enter; they survive a power loss.
pub fn make_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new("/"));
    make_private_dir(parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::File::open(parent)?.sync_all(),
    }
}
