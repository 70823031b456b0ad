//! What lies beside an archive: the file with its sum, and the label of an encrypted one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{BackupError, Manifest, label::Label};

/// Follows the name of the archive.
pub const EXTENSION: &str = ".sha256";

/// What the file with the sum holds, as `sha256sum` writes it.
pub fn line(sha256: &str, name: &str) -> String {
    format!("{sha256}  {name}\n")
}

fn sums_of(archive: &Path) -> PathBuf {
    let mut name = archive.file_name().unwrap_or_default().to_owned();
    name.push(EXTENSION);
    archive.with_file_name(name)
}

/// The text of the file with the sum, where there is one.
fn text_of(sums: &Path) -> Result<Option<String>, BackupError> {
    match fs::read(sums) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackupError::io("read", sums)(error)),
    }
}

/// Compares an archive with the sum beside it, where there is one.
pub(super) fn compare_sum(archive: &Path, sha256: &str) -> Result<(), BackupError> {
    let sums = sums_of(archive);
    let Some(text) = text_of(&sums)? else { return Ok(()) };
    if text.split_whitespace().next() == Some(sha256) {
        return Ok(());
    }
    let why = format!("it does not have the sum in {}", sums.display());
    Err(BackupError::Damaged { path: archive.to_owned(), why })
}

/// Looks at all that lies beside an archive with this sum, and in which this manifest is, where it was opened. What an operator
/// should know of it, but is no damage.
///
/// # Errors
/// Something there is not as it was written.
pub fn check(archive: &Path, sha256: &str, inside: Option<&Manifest>) -> Result<Option<String>, BackupError> {
    compare_sum(archive, sha256)?;
    if let (Some(manifest), true) = (inside, Label::beside(archive).exists()) {
        let bytes = fs::metadata(archive).map_err(BackupError::io("read", archive))?.len();
        Label::read(archive)?.compare(archive, bytes, sha256, manifest)?;
    }
    let sums = sums_of(archive);
    let Some(text) = text_of(&sums)? else { return Ok(None) };
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    if text == line(sha256, &name) {
        return Ok(None);
    }
    // Whoever renames a backup does not always write its sum anew; `sha256sum -b` writes a star.
    let named = text.strip_prefix(sha256).and_then(|rest| rest.strip_suffix('\n'));
    let named = named.and_then(|rest| rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *")));
    match named {
        Some(named) if named == name => Ok(None),
        Some(named) if !named.is_empty() && !named.contains(char::is_control) => {
            Ok(Some(format!("{} has the right sum, and calls the backup {named:?}", sums.display())))
        }
        _ => {
            let why = format!("{} is not as it was written", sums.display());
            Err(BackupError::Damaged { path: archive.to_owned(), why })
        }
    }
}
