//! Which members of a real etcd `rkadm backup` takes a snapshot from, and which it leaves alone.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::server::{Etcd, member};
use crate::site::{Site, said};

/// A backup of these members, into `out`.
fn backup(site: &Site, members: &[&Etcd]) -> Result<Output> {
    let urls = members.iter().map(|etcd| format!("http://{}", etcd.client.address)).collect::<Vec<_>>();
    site.rkadm(&format!("backup etcd --dir out -o json --etcd-endpoints {}", urls.join(",")))
}

/// It ends with these words, and a hint at another member, and leaves nothing.
fn refused(site: &Site, members: &[&Etcd], words: &str) -> Result<()> {
    let output = backup(site, members)?;
    let expected = format!(
        "the etcd member at http://{} is not fit for a backup: {words}",
        members[members.len() - 1].client.address
    );
    ensure!(output.status.code() == Some(1) && said(&output).contains(&expected), "{words}: {output:?}");
    ensure!(said(&output).contains("back up from another control plane"), "{output:?}");
    ensure!(archives(site)?.is_empty(), "{:?}", archives(site)?);
    Ok(())
}

fn archives(site: &Site) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(site.path("out"))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok(names.collect::<Result<Vec<_>>>()?.into_iter().filter(|name| name != ".rkadm-backup-lock").collect())
}

/// Waits until a member says this of itself.
fn until(etcd: &Etcd, is: impl Fn(&Value) -> bool) -> Result<()> {
    let began = Instant::now();
    loop {
        let status = etcd.client.call("maintenance/status", &json!({}));
        if status.as_ref().is_ok_and(&is) {
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(30), "it does not come to that: {status:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_member_without_space_is_backed_up_with_a_warning_and_a_corrupt_one_is_not() -> Result<()> {
    let site = Site::new(10, false)?;
    // What one does before space is made is a backup.
    site.etcd.client.raise_alarm("NOSPACE")?;
    let output = backup(&site, &[&site.etcd])?;
    ensure!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(made["keys"] == 10 && made["comparedWithMember"] == true, "{made}");
    ensure!(said(&output).contains("etcd says: ") && said(&output).contains("NOSPACE"), "{output:?}");
    std::fs::remove_dir_all(site.path("out"))?;
    site.etcd.client.raise_alarm("CORRUPT")?;
    refused(&site, &[&site.etcd], "etcd has raised the alarm CORRUPT: members differ")
}

#[test]
fn a_learner_is_passed_over_for_a_member_that_votes() -> Result<()> {
    let site = Site::new(10, false)?;
    site.etcd.ctl(&["member", "add", "m2", "--learner", "--peer-urls", "http://127.0.0.2:2380"])?;
    let existing = ["--initial-cluster-state", "existing"];
    let members = [member(1), member(2)];
    let learner = Etcd::spawn(&site.etcd.programs, &site.path("learner"), 2, &members, &existing)?;
    until(&learner, |status| status["isLearner"] == true && status["leader"].is_string())?;
    refused(&site, &[&learner], "it is a learner and may not have everything yet")?;
    let output = backup(&site, &[&learner, &site.etcd])?;
    ensure!(output.status.success() && archives(&site)?.len() == 2, "{output:?}");
    Ok(())
}

#[test]
fn a_member_that_has_lost_its_quorum_is_left_alone() -> Result<()> {
    let site = Site::new(10, false)?;
    // One of two, of which the other never starts.
    site.etcd.ctl(&["member", "add", "m2", "--peer-urls", "http://127.0.0.2:2380"])?;
    until(&site.etcd, |status| status.get("leader").is_none_or(|leader| leader == "0"))?;
    refused(&site, &[&site.etcd], "it has no leader, so it may lag behind the others")
}
