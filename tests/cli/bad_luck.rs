//! A second rkadm, a full disk, a read-only file system, an output that nobody reads.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::Stdio,
};

use insta::assert_snapshot;
use rustix::{
    fs::{FlockOperation, flock},
    mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount},
};

use crate::machine::{Machine, PKI, is_root};

/// A file system in memory, for as long as this lives.
struct Mount(PathBuf);

impl Mount {
    /// `options` such as `size=64k`. `None` where mounting is not allowed, as in some containers.
    fn new(path: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        match mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options.as_c_str())) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(error) => {
                eprintln!("SKIPPED: no file system can be mounted here: {error}");
                None
            }
        }
    }

    fn make_read_only(&self) {
        mount_remount(&self.0, MountFlags::RDONLY, "").unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn second_rkadm_at_the_same_time() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let path = machine.path("/var/lib/rkadm/lock");
    fs::write(&path, "pid 4711: rkadm init --config a.yaml").unwrap();
    let lock = File::open(&path).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let before = machine.tree("/");
    assert_snapshot!(machine.phase("certs all").report(), @r#"
exit 7
--- stderr
Error: another rkadm is at work on this machine: pid <PID>: rkadm init --config a.yaml
Hint: wait until it has ended, then run the command again
"#);
    let id = &machine.operations()[0];
    machine.rkadm(&format!("op rollback {id}")).exits(7);
    assert!(machine.tree("/") == before, "nothing was changed");
    // Looking and planning need no lock.
    machine.rkadm("op show").succeeds();
    machine.phase("certs all --dry-run").succeeds();
    drop(lock);
    machine.phase("certs all").succeeds();
}

#[test]
fn full_disk_under_the_certificates() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let Some(_mount) = Mount::new(&machine.path("/etc"), "size=28k") else { return };
    assert_snapshot!(machine.phase("certs all").report(), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               done in <DURATION>
  certs/apiserver                        done in <DURATION>
  certs/apiserver-kubelet-client         done in <DURATION>
  certs/front-proxy-ca                   failed
rolling back 10 steps
  undone: write /etc/kubernetes/pki/front-proxy-ca.crt (mode 0644): self-signed CA certificate, CN=front-proxy-ca, valid for front-proxy-ca
  undone: write /etc/kubernetes/pki/front-proxy-ca.key (mode 0600): new ECDSA-P256 private key
  undone: write /etc/kubernetes/pki/apiserver-kubelet-client.crt (mode 0644): certificate signed by /etc/kubernetes/pki/ca.crt, CN=kube-apiserver-kubelet-client
  undone: write /etc/kubernetes/pki/apiserver-kubelet-client.key (mode 0600): new ECDSA-P256 private key
  undone: write /etc/kubernetes/pki/apiserver.crt (mode 0644): certificate signed by /etc/kubernetes/pki/ca.crt, CN=kube-apiserver, valid for cp1 kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local 10.96.0.1 192.0.2.10
  undone: write /etc/kubernetes/pki/apiserver.key (mode 0600): new ECDSA-P256 private key
  undone: write /etc/kubernetes/pki/ca.crt (mode 0644): self-signed CA certificate, CN=kubernetes, valid for kubernetes
  undone: write /etc/kubernetes/pki/ca.key (mode 0600): new ECDSA-P256 private key
  undone: create directory /etc/kubernetes/pki (mode 0755)
  undone: create directory /etc/kubernetes (mode 0755)
Error: phase certs/front-proxy-ca: cannot write $DIR/root/etc/kubernetes/pki/front-proxy-ca.crt: No space left on device (os error 28)
  Rolled back: all 10 changes were undone; this machine is as it was before.
Hint: the file system is full: free some space, then run the command again
Hint: the timeline: `rkadm op show <ULID>`; to keep a failure for inspection, use --on-failure=stop
"#);
    assert_snapshot!(machine.listing("/etc"), @r#"
1777 /etc
"#);
}

#[test]
fn full_disk_under_the_journal() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let Some(_mount) = Mount::new(&machine.path("/var"), "size=24k") else { return };
    let ran = machine.phase("certs all");
    assert_snapshot!(ran.exits(5).report().lines().filter(|line| !line.contains(" done in")).collect::<Vec<_>>().join("\n"), @r#"
exit 5
--- stderr
operation <ULID>
Error: cannot read or write $DIR/root/var/lib/rkadm/operations/<ULID>.jsonl: No space left on device (os error 28)
  Nothing is done that cannot be recorded first, so rkadm stopped.
Hint: make room or repair /var/lib/rkadm, then run the same command again
"#);
    // Room is made.
    mount_remount(machine.path("/var"), MountFlags::empty(), "size=1m").unwrap();
    machine.phase("certs all").succeeds();
    assert_eq!(machine.operations().len(), 1, "the same operation went on");
}

#[test]
fn read_only_etc() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let Some(mount) = Mount::new(&machine.path("/etc"), "size=1m") else { return };
    mount.make_read_only();
    assert_snapshot!(machine.phase("certs all").report(), @r#"
exit 1
--- stderr
operation <ULID>
  certs/ca                               failed
rolling back 1 step
  undone: create directory /etc/kubernetes (mode 0755)
Error: phase certs/ca: cannot create directory $DIR/root/etc/kubernetes: Read-only file system (os error 30)
  Rolled back: the only change was undone; this machine is as it was before.
Hint: the file system is read-only: remount it writable (dmesg may say why it is not)
Hint: the timeline: `rkadm op show <ULID>`; to keep a failure for inspection, use --on-failure=stop
"#);
    assert_snapshot!(machine.listing("/etc"), @r#"
1777 /etc
"#);
}

#[test]
fn read_only_var() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let Some(mount) = Mount::new(&machine.path("/var"), "size=1m") else { return };
    mount.make_read_only();
    assert_snapshot!(machine.phase("certs all").report(), @r#"
exit 1
--- stderr
Error: cannot lock $DIR/root/var/lib/rkadm/lock: Read-only file system (os error 30)
  Nothing was changed on this machine.
Hint: rkadm keeps its lock and journals there: make room, or remount it writable
"#);
    assert!(!machine.path(PKI).exists());
}

#[test]
fn reader_of_stdout_that_goes_away() {
    let machine = Machine::new();
    let mut child =
        machine.command("init --config cluster.yaml --skip-phases preflight,kubelet-start --dry-run -o json");
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn reader_of_stderr_that_goes_away_does_not_stop_an_operation() {
    if !is_root() {
        return;
    }
    for flags in ["--progress plain", "--progress json", "-v=3"] {
        let machine = Machine::new();
        let mut command = machine.command(&format!("init phase certs all --config cluster.yaml {flags}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut first).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{flags}");
        assert!(machine.rkadm("op list").stdout().contains(" finished "), "{flags}");
    }
}

#[test]
fn result_that_cannot_be_written_is_mentioned() {
    let machine = Machine::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = machine.command("version").stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r#"
Warning: the result could not be written to stdout: No space left on device (os error 28)
"#);
}

#[test]
fn environment_that_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let machine = Machine::new();
    let mut command = machine.command("init phase certs ca --config cluster.yaml --dry-run");
    command.env("OTHER", std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    machine.run(&mut command).succeeds();
}
