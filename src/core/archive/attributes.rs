//! Extended attributes: labels of SELinux, capabilities, access control lists. In an archive as GNU tar and star have them.

use std::path::Path;

use rustix::{
    fs::{XattrFlags, lgetxattr, lgetxattr_query, llistxattr, llistxattr_query, lsetxattr},
    io::Errno,
};

/// Begins the name of an attribute in a PAX header.
const PREFIX: &str = "SCHILY.xattr.";

/// The attributes of a file, directory or link itself, by their names in a PAX header. A file system that has none, or does
/// not show them, gives none.
pub fn of(path: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(names) = filled(|buffer| llistxattr(path, buffer), || llistxattr_query(path)) else {
        return vec![];
    };
    let names = names.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    names
        // An equals sign would end the name.
        .filter(|name| !name.is_empty() && !name.contains('='))
        .filter_map(|name| {
            let value =
                filled(|buffer| lgetxattr(path, name, buffer), || lgetxattr_query(path, name)).ok()?;
            // The reader takes a line break for the end of the value.
            (!value.contains(&b'\n')).then(|| (format!("{PREFIX}{name}"), value))
        })
        .collect()
}

/// Asks for the length first; what grows in between is asked for again.
fn filled(
    mut get: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    length: impl Fn() -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    loop {
        let mut buffer = vec![0; length()?];
        match get(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The attributes in the header of an entry.
pub fn in_header<R: std::io::Read>(entry: &mut tar::Entry<'_, R>) -> Vec<(String, Vec<u8>)> {
    let Ok(Some(extensions)) = entry.pax_extensions() else { return vec![] };
    extensions
        .filter_map(|extension| {
            let extension = extension.ok()?;
            Some((extension.key().ok()?.strip_prefix(PREFIX)?.to_owned(), extension.value_bytes().to_vec()))
        })
        .collect()
}

/// Gives them back. A file without its label is better than none: what this file system or this kernel does not take is left.
pub fn give(path: &Path, attributes: &[(String, Vec<u8>)]) {
    for (name, value) in attributes {
        if let Err(error) = lsetxattr(path, name.as_str(), value, XattrFlags::empty()) {
            tracing::debug!(path = %path.display(), name, %error, "an extended attribute is not given back");
        }
    }
}
