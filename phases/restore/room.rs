//! Whether there is room for what a restore writes, before it writes any of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rkadm_core::{
    backup::lost::LostFile,
    host::{Probe, Space},
};

use super::{Restore, survey::Survey};

/// etcd preallocates its log, twice while it moves on to the next file.
const LOGS: u64 = 2 * 64_000_000;
/// Files and directories of a data directory, with what is unpacked beside it.
const DATA_FILES: u64 = 16;
/// Certificates, kubeconfigs, manifests and directories that are made beside those that come.
const MADE_FILES: u64 = 64;
/// What a file of a few bytes takes on most file systems.
const BLOCK: u64 = 4096;

/// What is to be written somewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Need {
    bytes: u64,
    files: u64,
}

impl Need {
    fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, files: self.files + other.files }
    }
}

/// Looks for room for the new data beside the old.
pub(super) async fn data(host: &dyn Probe, restore: &Restore, found: &mut Survey) {
    look(host, vec![of_data(restore)], found).await;
}

/// The same, and for files of the backup.
pub(super) async fn all(host: &dyn Probe, restore: &Restore, files: &[LostFile], found: &mut Survey) {
    let mut needs = vec![of_data(restore)];
    needs.extend(of_files(files));
    look(host, needs, found).await;
}

fn of_data(restore: &Restore) -> (PathBuf, Need) {
    let dir = if restore.node.mounted {
        restore.node.data_dir.as_path()
    } else {
        restore.node.data_dir.parent().unwrap_or(&restore.node.data_dir)
    };
    let copies = if restore.source.plain { 1 } else { 2 };
    (dir.to_owned(), Need { bytes: restore.source.size * copies + LOGS, files: DATA_FILES })
}

/// By the directory that they come to, and those that are made in any case.
fn of_files(files: &[LostFile]) -> BTreeMap<PathBuf, Need> {
    let mut needs = BTreeMap::new();
    for dir in ["/etc/kubernetes", "/var/lib/kubelet"] {
        needs.insert(PathBuf::from(dir), Need { bytes: MADE_FILES * BLOCK, files: MADE_FILES });
    }
    for file in files {
        let dir = file.path.parent().unwrap_or(Path::new("/")).to_owned();
        let size = (file.bytes.len() as u64).next_multiple_of(BLOCK);
        let need: &mut Need = needs.entry(dir).or_default();
        *need = need.and(Need { bytes: size, files: 1 });
    }
    needs
}

async fn look(host: &dyn Probe, needs: Vec<(PathBuf, Need)>, found: &mut Survey) {
    let mut there = vec![];
    for (dir, need) in needs {
        if let Some(space) = space(host, &dir).await {
            there.push((space, dir, need));
        }
    }
    judge(&there, found);
}

fn judge(there: &[(Space, PathBuf, Need)], found: &mut Survey) {
    // Where everything about two file systems is the same, they are one.
    let mut systems: Vec<(Space, &Path, Need)> = vec![];
    for (space, dir, need) in there {
        match systems.iter_mut().find(|(known, ..)| known == space) {
            Some((.., sum)) => *sum = sum.and(*need),
            None => systems.push((*space, dir, *need)),
        }
    }
    for (space, dir, need) in systems {
        let dir = dir.display();
        if space.bytes_free < need.bytes {
            let message = format!(
                "the file system of {dir} has {} MB free, and {} MB are needed for what is restored",
                space.bytes_free / 1_000_000,
                need.bytes.div_ceil(1_000_000)
            );
            found.doubt("Space", false, message, "free some space there");
        }
        if space.inodes > 0 && space.inodes_free < need.files {
            let message = format!(
                "the file system of {dir} has {} inodes free, and some {} are needed for what is restored",
                space.inodes_free, need.files
            );
            found.doubt("Space", false, message, "remove files there that nobody needs");
        }
    }
}

/// Of a directory that may still be to be made.
async fn space(host: &dyn Probe, dir: &Path) -> Option<Space> {
    for dir in dir.ancestors() {
        if let Some(space) = host.space(dir).await {
            return Some(space);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(there: &[(Space, &str, Need)]) -> Vec<String> {
        let there: Vec<_> =
            there.iter().map(|(space, dir, need)| (*space, PathBuf::from(dir), *need)).collect();
        let mut found = Survey::default();
        judge(&there, &mut found);
        found.against(true).into_iter().map(|finding| finding.message).collect()
    }

    fn free(bytes_free: u64, inodes_free: u64) -> Space {
        Space { bytes_free, bytes: 1 << 40, inodes_free, inodes: 1 << 20 }
    }

    #[test]
    fn bytes_and_inodes_are_judged_and_what_shares_a_file_system_adds_up() {
        let need = |bytes, files| Need { bytes, files };
        let (data, etc) = ("/var/lib/etcd", "/etc/kubernetes");
        let enough = free(10_000_000, 10);
        assert!(told(&[(enough, data, need(10_000_000, 10))]).is_empty());
        assert_eq!(
            told(&[(enough, data, need(10_000_001, 1))]),
            ["the file system of /var/lib/etcd has 10 MB free, and 11 MB are needed for what is restored"]
        );
        assert_eq!(
            told(&[(free(9_000_000, 3), etc, need(1, 4))]),
            [
                "the file system of /etc/kubernetes has 3 inodes free, and some 4 are needed for what is restored"
            ]
        );
        assert_eq!(told(&[(enough, data, need(6_000_000, 6)), (enough, etc, need(6_000_000, 6))]).len(), 2);
        let other = free(10_000_000, 11);
        assert!(told(&[(enough, data, need(6_000_000, 6)), (other, etc, need(6_000_000, 6))]).is_empty());
        let boundless = Space { inodes: 0, inodes_free: 0, ..enough };
        assert!(told(&[(boundless, etc, need(1, 4))]).is_empty(), "btrfs and others have no limit of inodes");
    }

    #[test]
    fn files_take_whole_blocks_where_they_come_to() {
        let file =
            |path: &str, size| LostFile { path: path.into(), mode: 0o600, owner: None, bytes: vec![0; size] };
        let needs = of_files(&[file("/srv/a/x", 1), file("/srv/a/y", 4097), file("/etc/kubernetes/z", 5)]);
        assert_eq!(needs[Path::new("/srv/a")], Need { bytes: 3 * 4096, files: 2 });
        assert_eq!(needs[Path::new("/etc/kubernetes")], Need { bytes: 65 * 4096, files: 65 });
        assert_eq!(needs.len(), 3);
    }
}
