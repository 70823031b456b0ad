//! The way back: units that are gone are brought back, those that are there are left alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

use super::{Removal, UNPACKING, aside, attributes, below, tree};

type At = tree::At;

fn at(path: &Path) -> impl Fn(io::Error) -> At + '_ {
    move |error| (path.to_owned(), error)
}

/// Brings back every unit of the removals that the archive holds and the machine does not. Each appears complete, or
/// not at all. Safe to repeat.
///
/// # Errors
/// The path that could not be read or written, and why.
pub fn unpack(root: &Path, archive: &Path, what: &[Removal]) -> Result<(), At> {
    for removal in what {
        tree::sweep(root, removal)?;
    }
    let name = below(root, archive);
    let file = File::open(&name).map_err(at(&name))?;
    let mut tar = tar::Archive::new(GzDecoder::new(io::BufReader::with_capacity(1 << 18, file)));
    tar.set_preserve_permissions(true);
    // Only root can give files away.
    tar.set_preserve_ownerships(rustix::process::geteuid().is_root());
    tar.set_preserve_mtime(true);
    let mut back = Back { root, what, wanted: BTreeMap::new(), dirs: vec![] };
    for entry in tar.entries().map_err(at(&name))? {
        back.entry(entry.map_err(at(&name))?)?;
    }
    back.finish()
}

struct Back<'a> {
    root: &'a Path,
    what: &'a [Removal],
    /// Units of the archive, and whether they are to be brought back.
    wanted: BTreeMap<PathBuf, bool>,
    /// Directories with the modes that they get once everything is in them.
    dirs: Vec<(PathBuf, u32)>,
}

impl Back<'_> {
    fn entry<R: io::Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), At> {
        let inside = entry.path().map_err(at(Path::new("the archive")))?.into_owned();
        // A name that leads out of its place is no name that was written here.
        if inside.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err((inside, io::Error::other("the archive holds a name that leads elsewhere")));
        }
        let path = Path::new("/").join(&inside);
        let mode = entry.header().mode().unwrap_or(0o700) & 0o7777;
        if let Some(dir) = self.what.iter().find(|removal| removal.contents_only && removal.path == path) {
            return self.kept_dir(&dir.path, &mut entry);
        }
        let Some(unit) = self.what.iter().find_map(|removal| removal.unit(&path)) else { return Ok(()) };
        let root = self.root;
        let wanted = *self
            .wanted
            .entry(unit.clone())
            .or_insert_with(|| fs::symlink_metadata(below(root, &unit)).is_err());
        if !wanted {
            return Ok(());
        }
        let staged = aside(&below(self.root, &unit), UNPACKING);
        let staged = match path.strip_prefix(&unit) {
            Ok(rest) if !rest.as_os_str().is_empty() => staged.join(rest),
            _ => staged,
        };
        refuse_foreign(&staged, &aside(&below(self.root, &unit), UNPACKING), &entry)?;
        let attributes = attributes::in_header(&mut entry);
        entry.unpack(&staged).map_err(at(&staged))?;
        attributes::give(&staged, &attributes);
        if entry.header().entry_type().is_dir() {
            self.dirs.push((staged, mode));
        }
        Ok(())
    }

    /// A directory whose contents were taken: it is normally there.
    fn kept_dir<R: io::Read>(&self, dir: &Path, entry: &mut tar::Entry<'_, R>) -> Result<(), At> {
        let real = below(self.root, dir);
        if real.is_dir() {
            return Ok(());
        }
        if let Some(parent) = real.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        let attributes = attributes::in_header(entry);
        entry.unpack(&real).map_err(at(&real))?;
        attributes::give(&real, &attributes);
        Ok(())
    }

    /// On the disk first, then under their names.
    fn finish(self) -> Result<(), At> {
        use std::os::unix::fs::PermissionsExt;
        for (dir, mode) in self.dirs.iter().rev() {
            fs::set_permissions(dir, fs::Permissions::from_mode(*mode)).map_err(at(dir))?;
        }
        let back: Vec<_> =
            self.wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(unit, _)| unit).collect();
        let mut parents = BTreeSet::new();
        for unit in &back {
            let real = below(self.root, unit);
            parents.insert(real.parent().unwrap_or(Path::new("/")).to_owned());
        }
        for dir in &parents {
            File::open(dir).and_then(|dir| rustix::fs::syncfs(&dir).map_err(Into::into)).map_err(at(dir))?;
        }
        for unit in &back {
            let real = below(self.root, unit);
            fs::rename(aside(&real, UNPACKING), &real).map_err(at(&real))?;
        }
        for dir in &parents {
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
        }
        Ok(())
    }
}

/// What was archived here has no link above an entry, as nothing can be below a link, and no entry of another kind. An archive
/// that has was made by others, to write elsewhere.
fn refuse_foreign<R: io::Read>(staged: &Path, unit: &Path, entry: &tar::Entry<'_, R>) -> Result<(), At> {
    let kind = entry.header().entry_type();
    let known = kind.is_dir() || kind.is_file() || kind.is_symlink() || kind.is_gnu_sparse();
    let is_link = |dir: &&Path| fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_symlink());
    let through = staged.ancestors().skip(1).take_while(|dir| dir.starts_with(unit)).find(is_link);
    if known && through.is_none() {
        return Ok(());
    }
    Err((staged.to_owned(), io::Error::other("the archive holds an entry that leads elsewhere")))
}
