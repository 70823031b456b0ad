//! `rkadm backup drill` with the real etcd.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::on_every_line;
use crate::server::Programs;

on_every_line! {
    a_good_backup_works
}

fn snapshot(dir: &Path, line: &str) -> Result<PathBuf> {
    let from =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/core/etcd/snapshot/fixtures/{line}.db"));
    let to = dir.join("snapshot.db");
    std::fs::copy(from, &to)?;
    Ok(to)
}

fn rkadm(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
    command.args(args).stdin(Stdio::null());
    command
}

fn drill(file: &Path, etcd: &Path) -> Result<Output> {
    let (file, etcd) = (file.to_string_lossy(), etcd.to_string_lossy());
    Ok(rkadm(&["backup", "drill", &file, "--etcd", &etcd, "-o", "json"]).output()?)
}

fn record(file: &Path) -> Result<Value> {
    let text = std::fs::read(format!("{}.drill.json", file.display())).context("there is no record")?;
    Ok(serde_json::from_slice(&text)?)
}

/// Nothing but the snapshot, what belongs to it, and the record.
fn left(dir: &Path) -> Result<Vec<String>> {
    let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn a_good_backup_works(line: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, programs) = (snapshot(dir.path(), line)?, Programs::of(line)?);
    let output = drill(&file, &programs.program("etcd"))?;
    ensure!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let hash: u32 = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/core/etcd/snapshot/fixtures/{line}.hashkv")),
    )?
    .split_whitespace()
    .next()
    .context("an empty fixture")?
    .parse()?;
    ensure!(said["findings"]["hashKv"] == format!("{hash:08x}"), "{said}, expected the hash {hash:08x}");
    ensure!(said["findings"]["etcdVersion"].as_str().is_some_and(|found| found.starts_with(line)), "{said}");
    ensure!(record(&file)?["findings"] == said["findings"], "{said}");
    ensure!(left(dir.path())? == ["snapshot.db", "snapshot.db.drill.json"], "{:?}", left(dir.path())?);
    Ok(())
}

#[test]
fn a_backup_that_etcd_reads_as_something_else_is_condemned() -> Result<()> {
    let (dir, programs) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let file = snapshot(dir.path(), "3.7")?;
    // The real one, on data of its own.
    let etcd = Programs::of("3.7")?.program("etcd");
    let text = format!("#!/bin/sh\nexec {} \"$@\" --data-dir=\"$PWD/other\"\n", etcd.display());
    let output = drill(&file, &script(programs.path(), &text)?)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && said.contains("the backup does not work: etcd has revision "),
        "{said}"
    );
    ensure!(said.contains("nothing is left behind"), "{said}");
    ensure!(record(&file)?["error"].as_str().is_some_and(|error| error.contains("etcd has")), "{said}");
    ensure!(left(dir.path())?.len() == 2, "{:?}", left(dir.path())?);
    // Of a file that is damaged there is no need to try.
    let mut bytes = std::fs::read(&file)?;
    bytes[20_000] ^= 1;
    std::fs::write(&file, bytes)?;
    let output = drill(&file, &Programs::of("3.7")?.program("etcd"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("does not verify"), "{said}");
    ensure!(
        record(&file)?["error"].as_str().is_some_and(|error| error.contains("does not verify")),
        "{said}"
    );
    Ok(())
}

#[test]
fn what_says_nothing_of_the_backup_leaves_no_record() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = snapshot(dir.path(), "3.7")?;
    let path = file.to_string_lossy().into_owned();
    let etcd = Programs::of("3.7")?.program("etcd");
    let etcd = etcd.to_string_lossy();
    let programs = tempfile::tempdir()?;
    let no_program = script(programs.path(), "not a program\n")?;
    let older = Programs::of("3.6")?.program("etcd");
    let (older, no_program) = (older.to_string_lossy(), no_program.to_string_lossy());
    for (args, words) in [
        (vec!["--etcd", "/nowhere/etcd"], "cannot copy /nowhere/etcd"),
        (vec!["--etcd", "/bin/true"], "which says nothing of the backup: etcd ended (exit status: 0)"),
        (vec!["--etcd", &*no_program], "which says nothing of the backup: etcd ended (exit status: 127)"),
        (vec!["--etcd", &*older], "etcd 3.6 cannot read data of etcd 3.7"),
        (vec!["--etcd", &*etcd, "--apiserver"], "no kube-apiserver runs on this machine"),
        (
            vec!["--etcd", &*etcd, "--apiserver", "--kube-apiserver", "/bin/true"],
            "a plain snapshot has no keys",
        ),
    ] {
        let output = rkadm(&[&["backup", "drill", &path][..], &args].concat()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1) && said.contains(words), "{words}: {said}");
        ensure!(left(dir.path())? == ["snapshot.db"], "{:?}", left(dir.path())?);
    }
    // Without the tools that make a namespace.
    let output =
        rkadm(&["backup", "drill", &path, "--etcd", &*etcd]).env("PATH", only_unshare()?.path()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("apart from this machine: ip:") && said.contains("iproute2"), "{said}");
    ensure!(left(dir.path())? == ["snapshot.db"], "{:?}", left(dir.path())?);
    Ok(())
}

/// A program to start in place of etcd.
fn script(dir: &Path, text: &str) -> Result<PathBuf> {
    let path = dir.join("etcd");
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn only_unshare() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    std::os::unix::fs::symlink("/usr/bin/unshare", dir.path().join("unshare"))?;
    Ok(dir)
}

/// However a drill ends, no etcd goes on, and the next one clears up.
#[test]
fn a_drill_that_is_killed_takes_its_etcd_along() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, etcd) = (snapshot(dir.path(), "3.7")?, Programs::of("3.7")?.program("etcd"));
    let (path, program) = (file.to_string_lossy().into_owned(), etcd.to_string_lossy().into_owned());
    let mut child = rkadm(&["backup", "drill", &path, "--etcd", &program]).stdout(Stdio::null()).spawn()?;
    let of_drill = |line: &str| line.contains("--data-dir") && line.contains(&*dir.path().to_string_lossy());
    wait_for("etcd to start", || Ok(running()?.iter().any(|line| of_drill(line))))?;
    kill_process(Pid::from_child(&child), Signal::KILL)?;
    child.wait()?;
    wait_for("etcd to end", || Ok(!running()?.iter().any(|line| of_drill(line))))?;
    ensure!(left(dir.path())?.iter().any(|name| name.starts_with(".rkadm-scratch-")), "killed too late");
    let output = drill(&file, &etcd)?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(left(dir.path())? == ["snapshot.db", "snapshot.db.drill.json"], "{:?}", left(dir.path())?);
    Ok(())
}

/// Command lines of all processes.
fn running() -> Result<Vec<String>> {
    let mut lines = vec![];
    for entry in std::fs::read_dir("/proc")? {
        // A process may end meanwhile.
        let line = std::fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        lines.push(String::from_utf8_lossy(&line).replace('\0', " "));
    }
    Ok(lines)
}

fn wait_for(what: &str, mut there: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !there()? {
        if began.elapsed() > Duration::from_secs(30) {
            bail!("waited in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
