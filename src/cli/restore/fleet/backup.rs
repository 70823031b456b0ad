//! The backup, on its way to machines that have none. Private keys stay here: what is encrypted is opened on the way.

use std::{fs::File, path::PathBuf};

use rkadm_core::{
    backup::{BackupError, crypt::Identities, read},
    fleet::{Deployed, Machine},
    text::Sha256Writer,
};
use rkadm_phases::restore::Source;
use tokio::net::unix::pipe;

use super::super::source::refused;
use crate::cli::exit::CommandError;

/// A backup of this machine, read and found whole.
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// As it was named.
    pub shown: PathBuf,
    /// What it is.
    pub source: Source,
    /// Files with private keys that open it.
    pub identities: Vec<PathBuf>,
}

impl Backup {
    /// Its name on other machines: what it is goes by that.
    pub fn name(&self) -> &'static str {
        if self.source.plain { "backup.db" } else { "backup.tar.gz" }
    }

    /// The file itself, where the machine is this one and needs no key.
    pub fn as_it_is(&self, machine: &Machine) -> Option<String> {
        (machine.is_here() && !self.is_sealed()).then(|| self.path.display().to_string())
    }

    /// SHA-256 of what other machines get.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub async fn inner_sha256(&self) -> Result<String, CommandError> {
        if !self.is_sealed() {
            return Ok(self.source.sha256.clone());
        }
        let (path, identities) = (self.path.clone(), self.identities.clone());
        let work = move || {
            let mut sum = Sha256Writer::default();
            read::unseal(&path, &Identities::read(&identities)?, &mut sum).map(|()| sum.finish())
        };
        let sum = tokio::task::spawn_blocking(work).await.map_err(CommandError::failed)?;
        sum.map_err(|error| refused(&error))
    }

    /// Brings it. Its path there.
    ///
    /// # Errors
    /// It does not get there whole.
    pub async fn bring(&self, on: &Deployed, name: &str, sha256: &str) -> Result<String, CommandError> {
        if !self.is_sealed() {
            let file = tokio::fs::File::open(&self.path).await.map_err(CommandError::failed)?;
            return on.bring(file, name, sha256).await.map_err(unbrought);
        }
        let (sender, receiver) = pipe::pipe().map_err(CommandError::failed)?;
        let mut to = File::from(sender.into_blocking_fd().map_err(CommandError::failed)?);
        let (path, identities) = (self.path.clone(), self.identities.clone());
        let opened = tokio::task::spawn_blocking(move || {
            read::unseal(&path, &Identities::read(&identities)?, &mut to)
        });
        // One that breaks off arrives with another sum.
        let brought = on.bring(receiver, name, sha256).await.map_err(unbrought);
        match opened.await.map_err(CommandError::failed)? {
            // Whoever did not take it has said why.
            Err(BackupError::Transfer(_)) if brought.is_err() => brought,
            Err(error) => Err(refused(&error)),
            Ok(()) => brought,
        }
    }

    fn is_sealed(&self) -> bool {
        !self.source.plain && read::is_sealed(&self.path).unwrap_or(false)
    }
}

fn unbrought(error: rkadm_core::fleet::FleetError) -> CommandError {
    CommandError::failed(error).detail("Nothing was changed.")
}
