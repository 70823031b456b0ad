//! Archives of real trees, and what is left of them when a process dies.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{Removal, UNPACKING, tree, unpack, write};

const ARCHIVE: &str = "/var/lib/rkadm/archives/one.tar.gz";

fn machine() -> TempDir {
    let root = TempDir::new().unwrap();
    let at = |path: &str| root.path().join(path.trim_start_matches('/'));
    for dir in [
        "/etc/kubernetes/pki/etcd",
        "/var/lib/kubelet/pki",
        "/var/lib/kubelet/pods/one",
        "/var/lib/etcd/member/wal",
    ] {
        fs::create_dir_all(at(dir)).unwrap();
    }
    for (file, text, mode) in [
        ("/etc/kubernetes/admin.conf", "admin", 0o600),
        ("/etc/kubernetes/other", "the operator's", 0o644),
        ("/etc/kubernetes/pki/ca.key", "key", 0o600),
        ("/etc/kubernetes/pki/etcd/ca.crt", "cert", 0o644),
        ("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration", 0o644),
        ("/var/lib/kubelet/pki/2026.pem", "pem", 0o600),
        ("/var/lib/kubelet/pods/one/volume", "data of a pod", 0o644),
    ] {
        fs::write(at(file), text).unwrap();
        fs::set_permissions(at(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(at("/var/lib/etcd/member/wal/0.wal"), vec![7; 3 << 20]).unwrap();
    // As etcd allocates its logs: mostly a hole.
    let log = fs::File::create(at("/var/lib/etcd/member/wal/1.wal")).unwrap();
    log.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&log, b"record", 4096).unwrap();
    fs::set_permissions(at("/var/lib/etcd"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("/var/lib/kubelet/pki/2026.pem", at("/var/lib/kubelet/pki/current.pem")).unwrap();
    let _ = UnixListener::bind(at("/var/lib/kubelet/kubelet.sock")).unwrap();
    root
}

fn all() -> Vec<Removal> {
    vec![
        Removal::contents("/etc/kubernetes/pki"),
        Removal::whole("/etc/kubernetes/admin.conf"),
        Removal::whole("/etc/kubernetes/absent.conf"),
        Removal::contents("/var/lib/kubelet"),
        Removal::contents("/var/lib/etcd"),
    ]
}

fn left_out() -> Vec<PathBuf> {
    vec!["/var/lib/kubelet/pods".into()]
}

/// Paths with modes, sizes and targets, without archives and what is never archived.
fn listing(root: &Path) -> String {
    let script = "find . -path ./var/lib/rkadm -prune -o -path ./var/lib/kubelet/pods -prune -o -type s -o \
                  -printf '%p %M %l %s\\n' | sed 's/^\\(.* d.*\\) [0-9]*$/\\1/' | sort; find . -path ./var/lib/rkadm -prune -o \
                  -path ./var/lib/kubelet/pods -prune -o -type f -exec cksum {} + | sort";
    let output = Command::new("sh").args(["-c", script]).current_dir(root).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn remove(root: &Path) {
    tree::remove(root, &all()).unwrap();
}

#[test]
fn what_was_removed_comes_back_as_it_was() {
    let machine = machine();
    let root = machine.path();
    let before = listing(root);
    let summary = write(root, ARCHIVE.as_ref(), &all(), &left_out()).unwrap();
    assert!(summary.bytes > 3 << 20 && summary.entries == 15, "{summary:?}");
    let mode = fs::metadata(root.join(&ARCHIVE[1..])).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(fs::metadata(root.join(&ARCHIVE[1..])).unwrap().len() < 1 << 20, "holes are stored");
    remove(root);
    assert!(fs::read_dir(root.join("var/lib/kubelet")).unwrap().next().is_none());
    assert!(root.join("etc/kubernetes/other").exists(), "what nobody named stays");
    unpack(root, ARCHIVE.as_ref(), &all()).unwrap();
    assert_eq!(listing(root), before);
    // Once more: nothing is touched.
    unpack(root, ARCHIVE.as_ref(), &all()).unwrap();
    assert_eq!(listing(root), before);
    assert!(!root.join("var/lib/kubelet/pods").exists(), "data of pods is not kept");
}

#[test]
fn any_tar_reads_it() {
    let machine = machine();
    write(machine.path(), ARCHIVE.as_ref(), &all(), &left_out()).unwrap();
    let output = Command::new("tar").arg("-tzf").arg(machine.path().join(&ARCHIVE[1..])).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(names.contains("etc/kubernetes/pki/ca.key") && !names.contains("volume"), "{names}");
    assert!(!names.contains("absent") && !names.contains("sock"), "{names}");
}

#[test]
fn what_is_there_is_newer_and_is_left_alone() {
    let machine = machine();
    let root = machine.path();
    write(root, ARCHIVE.as_ref(), &all(), &[]).unwrap();
    fs::remove_dir_all(root.join("var/lib/etcd/member/wal")).unwrap();
    fs::write(root.join("etc/kubernetes/admin.conf"), "another").unwrap();
    fs::remove_file(root.join("etc/kubernetes/pki/ca.key")).unwrap();
    unpack(root, ARCHIVE.as_ref(), &all()).unwrap();
    assert_eq!(fs::read_to_string(root.join("etc/kubernetes/admin.conf")).unwrap(), "another");
    assert_eq!(fs::read_to_string(root.join("etc/kubernetes/pki/ca.key")).unwrap(), "key");
    assert!(!root.join("var/lib/etcd/member/wal").exists(), "a unit is not mixed of two times");
}

#[test]
fn leftovers_of_dead_processes_are_swept_away() {
    let machine = machine();
    let root = machine.path();
    let before = listing(root);
    write(root, ARCHIVE.as_ref(), &all(), &left_out()).unwrap();
    remove(root);
    fs::create_dir_all(root.join("var/lib/etcd/.rkadm-removed.member/wal")).unwrap();
    fs::create_dir_all(root.join(format!("var/lib/kubelet/{UNPACKING}pki"))).unwrap();
    fs::write(root.join("etc/kubernetes/.rkadm-unpacking.admin.conf"), "half").unwrap();
    unpack(root, ARCHIVE.as_ref(), &all()).unwrap();
    assert_eq!(listing(root), before);
}

#[test]
fn a_damaged_archive_is_an_error_and_leaves_no_unit() {
    let machine = machine();
    let root = machine.path();
    write(root, ARCHIVE.as_ref(), &all(), &left_out()).unwrap();
    remove(root);
    let path = root.join(&ARCHIVE[1..]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&path, bytes).unwrap();
    unpack(root, ARCHIVE.as_ref(), &all()).unwrap_err();
    assert!(!root.join("etc/kubernetes/pki/ca.key").exists());
}

#[test]
fn the_size_is_what_the_disk_gives_back() {
    let machine = machine();
    let etcd = Removal::contents("/var/lib/etcd");
    let size = tree::size(machine.path(), &etcd, &[]).unwrap();
    assert!((3 << 20..4 << 20).contains(&size), "{size}");
    assert_eq!(tree::size(machine.path(), &etcd, &["/var/lib/etcd/member".into()]).unwrap(), 0);
    assert_eq!(tree::size(machine.path(), &Removal::whole("/nowhere"), &[]).unwrap(), 0);
}

/// Labels of SELinux and the like; `user.` is what everybody may set. Also for what GNU tar makes of them.
#[test]
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn extended_attributes_come_back() {
    use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
    let root = machine();
    let long = format!("/var/lib/kubelet/pki/{}", "long".repeat(50));
    fs::write(root.path().join(long.trim_start_matches('/')), "x").unwrap();
    let paths =
        ["/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/etcd", "/var/lib/etcd/member/wal/1.wal", &long];
    let set = |path: &str, name: &str, value: &[u8]| {
        lsetxattr(root.path().join(path.trim_start_matches('/')), name, value, XattrFlags::empty())
    };
    if let Err(error) = set(paths[0], "user.test", b"x") {
        eprintln!("SKIPPED: this file system has no extended attributes: {error}");
        return;
    }
    for path in paths {
        set(path, "user.label", b"system_u:object_r:cert_t:s0\0").unwrap();
    }
    // A value that cannot be kept does not cost the archive.
    set(paths[0], "user.break", b"1\n2").unwrap();
    write(root.path(), Path::new(ARCHIVE), &all(), &[]).unwrap();
    let archive = root.path().join(ARCHIVE.trim_start_matches('/'));
    let listed = Command::new("tar").arg("-tzf").arg(&archive).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&long[1..]), "{listed:?}");
    tree::remove(root.path(), &all()).unwrap();
    unpack(root.path(), Path::new(ARCHIVE), &all()).unwrap();
    for path in paths {
        let mut value = [0; 64];
        let found = lgetxattr(root.path().join(path.trim_start_matches('/')), "user.label", &mut value[..]);
        assert_eq!(&value[..found.unwrap()], b"system_u:object_r:cert_t:s0\0", "{path}");
    }
}
