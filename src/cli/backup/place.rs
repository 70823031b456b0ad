//! Where backups are: a directory, or a bucket of S3.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;
use rkadm_core::backup::{
    BackupError, Catalog,
    catalog::remove,
    place::{self, Access, Bucket, Directory, Location, Place},
    retention::Policy,
    scratch::Scratch,
};

use super::failed;
use crate::cli::{
    Session,
    exit::{CommandError, ExitKind},
};

/// Where backups are unless something else is said.
pub const DEFAULT_DIR: &str = "/var/lib/rkadm/backups";
/// Beyond that, a bucket that does not answer is given up.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where backups are.
#[derive(Debug, Args)]
pub struct DirArg {
    /// Directory of the backups, or s3://BUCKET/PREFIX with keys, region and endpoint in the variables AWS_…
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: Location,
}

impl DirArg {
    /// The place on the machine whose file system is at the session's root.
    pub fn place(&self, session: &Session) -> Result<Arc<dyn Place>, CommandError> {
        open(session, &self.dir)
    }
}

/// A directory that was typed as relative is relative to where the command runs.
pub fn directory(session: &Session, dir: &Path) -> PathBuf {
    if dir == Path::new(DEFAULT_DIR) {
        return session.root.join(DEFAULT_DIR.trim_start_matches('/'));
    }
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

/// Nothing is asked of a bucket yet.
pub fn open(session: &Session, location: &Location) -> Result<Arc<dyn Place>, CommandError> {
    Ok(match location {
        Location::Directory(dir) => Arc::new(Directory(directory(session, dir))),
        Location::Bucket { bucket, prefix } => {
            Arc::new(Bucket::new(bucket, prefix, &access()).map_err(failed)?)
        }
        Location::Stdout => {
            let error = CommandError::new(ExitKind::Usage, "there are no backups to look at in a stream");
            return Err(error.hint("name a directory or s3://BUCKET/PREFIX"));
        }
    })
}

fn access() -> Access {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("AWS_"));
    Access { environment: environment.collect(), patience: PATIENCE }
}

/// What is in a place.
pub async fn catalog(place: &Arc<dyn Place>) -> Result<Catalog, CommandError> {
    let place = Arc::clone(place);
    blocking(move || Catalog::read(&*place)).await
}

/// A place as a whole, as people name it.
pub fn whole(place: &dyn Place) -> PathBuf {
    let text = place.shown("").to_string_lossy().trim_end_matches('/').to_owned();
    PathBuf::from(text)
}

/// Removes what a policy does not keep; how many are kept, and what was removed.
pub async fn expire(
    place: &Arc<dyn Place>,
    policy: &Policy,
    dry_run: bool,
) -> Result<(usize, Vec<String>), CommandError> {
    let (place, policy) = (Arc::clone(place), policy.clone());
    blocking(move || {
        let catalog = Catalog::read(&*place)?;
        let gone = catalog.expendable(&policy, Timestamp::now());
        for backup in gone.iter().filter(|_| !dry_run) {
            remove(&*place, backup)?;
        }
        let removed = gone.iter().map(|backup| backup.path.display().to_string()).collect();
        Ok((catalog.backups.len() - gone.len(), removed))
    })
    .await
}

/// Files and buckets hold up the thread that asks them.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(CommandError::failed)?.map_err(failed)
}

/// A backup as a file of this machine.
pub struct Local {
    /// The file.
    pub path: PathBuf,
    /// As it was named.
    pub shown: PathBuf,
    /// Where it is kept.
    pub place: Arc<dyn Place>,
    /// Its name there.
    pub name: String,
    /// Removes what was fetched for the time being.
    _scratch: Option<Scratch>,
}

impl Local {
    /// A file that is there.
    pub fn at(path: PathBuf) -> Self {
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        let dir = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { shown: path.clone(), path, place: Arc::new(Directory(dir)), name, _scratch: None }
    }
}

/// Where what is in a bucket is copied to.
pub enum Into {
    /// A directory below this one, which goes with the result.
    Scratch(PathBuf),
    /// This directory, as a backup of its own.
    Directory(PathBuf),
}

/// A file by its path, or by its `s3://` URL, which is fetched.
pub async fn named(file: &str, into: Into) -> Result<Local, CommandError> {
    let Some((dir, name)) = file.strip_prefix("s3://").and_then(|_| file.rsplit_once('/')) else {
        return Ok(Local::at(PathBuf::from(file)));
    };
    let wrong = |why: String| CommandError::new(ExitKind::Usage, format!("{file} names no backup: {why}"));
    let Location::Bucket { bucket, prefix } = dir.parse().map_err(wrong)? else {
        return Err(wrong("s3://BUCKET/PREFIX/NAME does".into()));
    };
    let place = Bucket::new(&bucket, &prefix, &access()).map_err(failed)?;
    fetch(Arc::new(place), name.to_owned(), into).await
}

/// A file of a place; one of a directory stays where it is.
pub async fn fetch(place: Arc<dyn Place>, name: String, into: Into) -> Result<Local, CommandError> {
    let shown = place.shown(&name);
    if shown.is_absolute() {
        return Ok(Local::at(shown));
    }
    blocking(move || {
        let (dir, scratch) = match into {
            Into::Directory(dir) => {
                std::fs::create_dir_all(&dir).map_err(BackupError::io("make the directory", &dir))?;
                (dir, None)
            }
            Into::Scratch(dir) => {
                let made = Scratch::make(&dir)?;
                (made.path().to_owned(), Some(made))
            }
        };
        let path = place::fetch(&*place, &name, &dir)?;
        Ok(Local { path, shown, place, name, _scratch: scratch })
    })
    .await
}
