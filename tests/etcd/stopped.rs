//! `rkadm backup` that a signal ends.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::faults::{Fault, Faults, Which};
use crate::site::{BUCKET, MUCH, Site, ended, said};

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
