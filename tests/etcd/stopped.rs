//! `rkadm backup` that a signal ends, or that is killed.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::faults::{Fault, Faults, SERVER, Which};
use crate::site::{BUCKET, MUCH, Site, ended, killed, said};

#[test]
fn a_signal_ends_a_backup_with_nothing_left() -> Result<()> {
    let site = Site::new(MUCH, false)?;
    let slow = Fault::Slow(Duration::from_mins(2));
    let part = |method: &str, target: &str| method == "PUT" && target.contains("partNumber=2");
    let get = |method: &str, target: &str| method == "GET" && target.split('.').next_back() == Some("tar");
    for which in [part as Which, get] {
        let faults = Faults::start(which, slow, usize::MAX)?;
        let backup = format!("backup etcd --dir {BUCKET} --compression none --prometheus /srv/metrics");
        let output = ended(site.command(&faults.url(), &backup), || faults.count() > 0)?;
        ensure!(said(&output).contains("There is no new backup, and nothing is left"), "{output:?}");
        site.nothing_is_left()?;
        let metrics = fs::read_to_string(site.path("root/srv/metrics"))?;
        ensure!(metrics.contains("rkadm_backup_last_run_success 0\n"), "{metrics}");
    }
    // Nobody reads what it writes.
    let mut command = site.command("", "backup etcd --dir - --compression none");
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer);
    let packed = || rustix::io::ioctl_fionread(&reader).is_ok_and(|bytes| bytes > 0);
    ended(command, packed)?;
    site.scratch_is_empty()?;
    // etcd takes the connection and does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = silent.local_addr()?;
    let accepted = std::thread::spawn(move || silent.accept());
    let command = site.command("", &format!("backup etcd --dir out --etcd-endpoints http://{address}"));
    ended(command, || accepted.is_finished())?;
    let left: Vec<_> =
        fs::read_dir(site.path("out"))?.map(|it| Ok(it?.file_name())).collect::<Result<_>>()?;
    ensure!(left == [".rkadm-backup-lock"], "{left:?}");
    Ok(())
}

/// Nobody clears up after it. What is complete in the bucket is a backup, and nothing else looks like one.
#[test]
fn a_backup_that_is_killed_leaves_nothing_half_and_the_next_one_clears_up() -> Result<()> {
    let site = Site::new(MUCH, false)?;
    let slow = Fault::Slow(Duration::from_mins(2));
    let part = |method: &str, target: &str| method == "PUT" && target.contains("partNumber=2");
    let end = |method: &str, target: &str| method == "POST" && target.contains("uploadId");
    let get = |method: &str, target: &str| method == "GET" && target.split('.').next_back() == Some("tar");
    let json = |args: &str| -> Result<Value> {
        let output = site.command(&format!("http://{SERVER}"), &format!("{args} -o json")).output()?;
        ensure!(output.status.success(), "{args}: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let listed = || -> Result<Vec<String>> {
        let list = json(&format!("backup list --dir {BUCKET}"))?;
        ensure!(list["unreadable"].as_array().is_none_or(Vec::is_empty), "{list}");
        let items = list["items"].as_array().context("no list")?;
        Ok(items.iter().map(|item| item["file"].as_str().unwrap_or_default().to_owned()).collect())
    };
    let backup = format!("backup etcd --dir {BUCKET} --compression none");
    // Whether all of the archive is there when it is killed.
    for (which, complete) in [(part as Which, false), (end, false), (get, true)] {
        let before = listed()?.len();
        let faults = Faults::start(which, slow, usize::MAX)?;
        killed(site.command(&faults.url(), &backup), || faults.count() > 0)?;
        ensure!(site.scratch_is_empty().is_err(), "it was killed too late");
        let found = listed()?;
        ensure!(found.len() == before + usize::from(complete), "{found:?}");
        for file in &found {
            json(&format!("backup verify {file}"))?;
        }
        site.etcd.client.put("/registry/new", b"x")?;
        let made = json(&backup)?;
        site.scratch_is_empty()?;
        ensure!(listed()?.len() == found.len() + 1, "{:?}", listed()?);
        ensure!(listed()?.first().map(String::as_str) == made["file"].as_str(), "{made}");
    }
    Ok(())
}
