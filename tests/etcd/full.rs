//! A disk that had room when `rkadm` looked, and is full before it has written everything.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

use crate::site::{MUCH, Site, said};

const FILLER: &str = "filler";

/// A small disk, for as long as this lives.
struct Disk(PathBuf);

impl Disk {
    fn new(path: PathBuf, options: &str) -> Result<Self> {
        fs::create_dir_all(&path)?;
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(CString::new(options)?.as_c_str()))?;
        Ok(Self(path))
    }

    /// Leaves no byte free.
    fn fill(&self) -> Result<()> {
        let file = File::create(self.0.join(FILLER))?;
        let stat = statvfs(&self.0)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, stat.f_bavail * stat.f_frsize)?)
    }

    /// What is on it but the filler, which goes.
    fn left(&self) -> Result<Vec<String>> {
        fs::remove_file(self.0.join(FILLER))?;
        let mut names = vec![];
        for entry in fs::read_dir(&self.0)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it, and fills the disk while it stands still with this file begun.
fn filled(mut command: Command, disk: &Disk, begun: &Path) -> Result<Output> {
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
    let pid = Pid::from_child(&running.0);
    let began = Instant::now();
    while !fs::metadata(begun).is_ok_and(|meta| meta.len() > 0) {
        ensure!(running.0.try_wait()?.is_none(), "it ended too early");
        ensure!(began.elapsed() < Duration::from_mins(1), "it does not come to that");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(pid, Signal::STOP)?;
    let status = waitpid(Some(pid), WaitOptions::UNTRACED)?.context("nothing stopped")?.1;
    ensure!(status.stopped(), "it ended too early: {status:?}");
    disk.fill()?;
    kill_process(pid, Signal::CONT)?;
    let (mut out, mut err) = (vec![], vec![]);
    // Neither is more than a pipe holds.
    std::io::Read::read_to_end(&mut running.0.stdout.take().context("no pipe")?, &mut out)?;
    std::io::Read::read_to_end(&mut running.0.stderr.take().context("no pipe")?, &mut err)?;
    Ok(Output { status: running.0.wait()?, stdout: out, stderr: err })
}

/// It says which file, and what can be done.
fn told(output: &Output, which: &str, hint: &str) -> Result<()> {
    ensure!(output.status.code() == Some(1), "{output:?}");
    for words in [which, "No space left on device", "free some space", hint] {
        ensure!(said(output).contains(words), "{words}: {output:?}");
    }
    Ok(())
}

#[test]
fn a_disk_that_fills_up_during_a_backup_leaves_none_and_the_next_one_works() -> Result<()> {
    let site = Site::new(MUCH, false)?;
    let disk = Disk::new(site.path("out"), "size=256m")?;
    for compression in ["none", "gzip", "zstd"] {
        let backup = format!("backup etcd --dir out --compression {compression}");
        let partial = site.path("out/.rkadm-backup-snapshot.partial");
        let output = filled(site.command("", &backup), &disk, &partial)?;
        told(&output, "cannot write ", "another directory with --dir").context(compression)?;
        let left = disk.left()?;
        ensure!(left == [".rkadm-backup-lock"], "{compression}: {left:?}");
    }
    let made = site.json("backup etcd --dir out")?;
    ensure!(made["comparedWithMember"] == true, "{made}");
    Ok(())
}

#[test]
fn a_disk_that_fills_up_during_a_restore_leaves_no_data_directory() -> Result<()> {
    let site = Site::new(MUCH, false)?;
    site.succeeds("backup etcd --dir out")?;
    site.etcd.save(&site.path("plain.db"), &[])?;
    let disk = Disk::new(site.path("disk"), "size=256m")?;
    let member = "--data-dir disk/etcd --name m1 --initial-cluster m1=http://127.0.0.1:2380";
    // An archive is unpacked first, a plain snapshot is not.
    let cases =
        [("latest --dir out", ".etcd.rkadm-partial.db"), ("plain.db", ".etcd.rkadm-partial/member/snap/db")];
    for (what, begun) in cases {
        let command = site.command("", &format!("restore data {what} {member}"));
        let output = filled(command, &disk, &disk.0.join(begun))?;
        told(&output, "disk/.etcd.rkadm-partial", "another directory with --data-dir").context(what)?;
        let left = disk.left()?;
        ensure!(left.is_empty(), "{what}: {left:?}");
    }
    let made: Value = site.json(&format!("restore data latest --dir out {member}"))?;
    ensure!(made["keys"] == MUCH, "{made}");
    ensure!(site.path("disk/etcd/member/snap/db").exists());
    Ok(())
}

#[test]
fn a_file_system_without_inodes_is_told_before_anything_is_written() -> Result<()> {
    let site = Site::new(10, false)?;
    site.etcd.save(&site.path("plain.db"), &[])?;
    let _disk = Disk::new(site.path("few"), "size=256m,nr_inodes=9")?;
    let restore =
        "restore data plain.db --data-dir few/etcd --name m1 --initial-cluster m1=http://127.0.0.1:2380";
    // One is the directory's, and one the lock's that stays. With one more, a restore finds its eight.
    site.succeeds(restore)?;
    fs::remove_dir_all(site.path("few/etcd"))?;
    for (args, hint) in [("backup etcd --dir few", "with --dir"), (restore, "with --data-dir")] {
        let output = site.rkadm(args)?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        for words in ["few: no inodes are left", hint] {
            ensure!(said(&output).contains(words), "{words}: {output:?}");
        }
        let left: Vec<_> =
            fs::read_dir(site.path("few"))?.map(|it| Ok(it?.file_name())).collect::<Result<_>>()?;
        ensure!(left == [".rkadm-backup-lock"], "{left:?}");
    }
    Ok(())
}
