//! To whom backups are encrypted, and what opens them.

use std::path::{Path, PathBuf};

use clap::Args;
use rkadm_core::backup::{BackupError, crypt::Recipients};

/// Who can read a backup.
#[derive(Debug, Args)]
pub struct EncryptArgs {
    /// Encrypt with age to this public key: age1…, ssh-ed25519 or ssh-rsa. Can be given several times; each of their owners can read it
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,
    /// The same, for every key of a file, one on each line
    #[arg(long, value_name = "FILE")]
    recipients_file: Vec<PathBuf>,
}

impl EncryptArgs {
    pub fn recipients(&self) -> Result<Recipients, BackupError> {
        Recipients::read(&self.encrypt_to, &self.recipients_file)
    }

    /// The same flags again, for the schedule.
    pub fn words(&self) -> Vec<String> {
        let keys = self.encrypt_to.iter().map(|key| format!("--encrypt-to={key}"));
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let files =
            self.recipients_file.iter().map(|path| format!("--recipients-file={}", absolute(path).display()));
        keys.chain(files).collect()
    }
}

/// What opens an encrypted backup.
#[derive(Debug, Default, Args)]
pub struct IdentityArgs {
    /// File with a private key of age or SSH that opens an encrypted backup. Can be given several times
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}

impl IdentityArgs {
    /// Where the files are, for what is to be resumed elsewhere.
    pub fn absolute(&self) -> Vec<PathBuf> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        self.identity.iter().map(absolute).collect()
    }
}
