//! What kube-proxy calls: iptables and nft with their libraries and plugins, taken from the Debian tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::oci::Entry;
use crate::{cmd, files};

/// Names under which xtables-nft-multi is called.
const APPLETS: &[&str] =
    &["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

pub(crate) fn entries(debian: &Path) -> Result<Vec<Entry>> {
    // Debian keeps programs and libraries below /usr only.
    let mut entries: Vec<_> =
        ["bin", "sbin", "lib", "lib64"].map(|dir| Entry::Link(dir.to_owned(), format!("usr/{dir}"))).into();
    entries.extend(["tmp", "run", "var", "etc"].map(|dir| Entry::Dir(dir.to_owned())));
    entries.push(Entry::Link("var/run".to_owned(), "/run".to_owned()));

    let mut wanted: BTreeSet<PathBuf> =
        ["usr/sbin/xtables-nft-multi", "usr/sbin/nft", "usr/sbin/conntrack"].map(PathBuf::from).into();
    wanted.extend(plugins(debian)?);
    let libraries = libraries(debian, &wanted)?;
    wanted.extend(libraries);
    for path in wanted {
        let source = resolve(debian, &path)?;
        entries.push(Entry::File(path.to_string_lossy().into_owned(), source));
    }
    entries.extend(
        APPLETS.iter().map(|name| Entry::Link(format!("usr/sbin/{name}"), "xtables-nft-multi".to_owned())),
    );
    Ok(entries)
}

/// iptables loads one library per match and target.
fn plugins(debian: &Path) -> Result<Vec<PathBuf>> {
    let dirs = files::entries(&debian.join("usr/lib")).into_iter().map(|dir| dir.join("xtables"));
    let plugins: Vec<_> = dirs
        .flat_map(|dir| files::entries(&dir))
        .filter(|path| path.extension().is_some_and(|ext| ext == "so"))
        .collect();
    if plugins.is_empty() {
        bail!("no plugins of iptables in {}", debian.display());
    }
    plugins.iter().map(|path| Ok(path.strip_prefix(debian)?.to_owned())).collect()
}

/// The libraries of programs and plugins, as the tree's own loader finds them.
fn libraries(debian: &Path, of: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let mut command = Command::new("chroot");
    command.arg(debian).arg("ldd").args(of.iter().map(|path| Path::new("/").join(path)));
    let listing = cmd::run(&mut command)?;
    let words = listing.lines().filter(|line| line.starts_with('\t')).flat_map(str::split_whitespace);
    let libraries =
        words.filter(|word| word.starts_with("/lib")).map(|path| PathBuf::from(format!("usr{path}")));
    Ok(libraries.collect())
}

/// The file behind a name in the tree; links in it may be absolute.
fn resolve(debian: &Path, path: &Path) -> Result<PathBuf> {
    let found = cmd::run(
        Command::new("chroot").arg(debian).args(["readlink", "-e", "--"]).arg(Path::new("/").join(path)),
    );
    let found = found.with_context(|| format!("the Debian tree lacks {}", path.display()))?;
    Ok(debian.join(found.trim().trim_start_matches('/')))
}
