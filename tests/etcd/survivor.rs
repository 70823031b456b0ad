//! What the files of a member that does not run say of it, and databases with other pages than this machine's.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rkadm_core::etcd::snapshot::{RestoreOptions, VerifyOptions, raft_state, restore, verify};

use crate::client::number;
use crate::net::Net;
use crate::server::{Etcd, Programs, member};
use crate::{data, on_every_line, pages};

on_every_line! {
    a_stopped_or_killed_member_says_how_far_it_got
    databases_of_machines_with_other_pages_are_restored
}

fn a_stopped_or_killed_member_says_how_far_it_got(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    // Small files of the log and many snapshots, so that there is more than one of each.
    let args = ["--snapshot-count", "50"];
    let mut etcd = Etcd::start(&programs, &dir.path().join("data"), &args)?;
    for round in 0..3 {
        data::put_many(&etcd.client, &format!("{round}/"), 0, 2000, 2000)?;
        let status = etcd.json(&["endpoint", "status"])?;
        let status = &status[0]["Status"];
        let (term, index) = (number(&status["raftTerm"]), number(&status["raftIndex"]));
        let header = &status["header"];
        let ids = (header["member_id"].as_u64(), header["cluster_id"].as_u64());
        let dir = etcd.dir.clone();
        if round == 1 {
            drop(etcd);
        } else {
            etcd.stop()?;
        }
        let state = raft_state(&dir)?;
        ensure!((Some(state.member_id), Some(state.cluster_id)) == ids, "{state:?} {status}");
        ensure!(state.term == term.unsigned_abs() && state.last_term == state.term, "{state:?} {status}");
        let index = index.unsigned_abs();
        ensure!(state.commit >= index - 1 && state.last_index >= index, "{state:?} {status}");
        ensure!(state.last_index <= index + 5 && !state.torn, "{state:?} {status}");
        let contents = verify(&dir.join("member/snap/db"), VerifyOptions::default())?.report.contents;
        ensure!(contents.consistent_index <= state.last_index && contents.members.len() == 1);
        etcd = Etcd::start(&programs, &dir, &args)?;
    }
    Ok(())
}

fn databases_of_machines_with_other_pages_are_restored(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let etcd = Etcd::start(&programs, &dir.path().join("old"), &[])?;
    data::rich(&etcd.client)?;
    data::put_many(&etcd.client, "/many/", 0, 2000, 100)?;
    let (live, keys) = (etcd.hash_kv(0, &[])?, etcd.client.count()?);
    let file = etcd.stop()?.join("member/snap/db");
    let bytes = std::fs::read(&file)?;
    for page_size in [8192, 16_384, 65_536] {
        let other = dir.path().join(format!("{page_size}.db"));
        std::fs::write(&other, pages::repaged(&bytes, page_size).context("cannot make pages")?)?;
        let snapshot = verify(&other, VerifyOptions::default())?;
        ensure!(snapshot.report.page_size as usize == page_size && snapshot.report.hash_kv == live);
        let target = dir.path().join(format!("new{page_size}"));
        let done = restore(&snapshot, &target, &RestoreOptions::new("m1", vec![member(1)]))?;
        let etcd = Etcd::start(&programs, &target, &[])?;
        ensure!((etcd.client.revision()?, etcd.client.count()?) == (done.revision, keys));
        data::put_many(&etcd.client, "/new/", 0, 500, 1000)?;
        etcd.client.compact(etcd.client.revision()?, true)?;
        let hash = etcd.hash_kv(0, &[])?;
        let report = stopped(etcd)?;
        ensure!(report.0 as usize == page_size && report.1 == hash, "{report:?} {hash:?}");
    }
    Ok(())
}

fn stopped(etcd: Etcd) -> Result<(u32, rkadm_core::etcd::snapshot::HashKv)> {
    let dir = etcd.stop()?;
    let report = verify(&dir.join("member/snap/db"), VerifyOptions::default())?.report;
    Ok((report.page_size, report.hash_kv))
}

#[test]
fn an_etcd_without_a_key_is_restored() -> Result<()> {
    for line in ["3.5", "3.6", "3.7"] {
        let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
        let etcd = Etcd::start(&programs, &dir.path().join("old"), &[])?;
        let file = dir.path().join("snapshot.db");
        etcd.save(&file, &[])?;
        etcd.stop()?;
        let target: &Path = &dir.path().join("new");
        let snapshot = verify(&file, VerifyOptions::default())?;
        let done = restore(&snapshot, target, &RestoreOptions::new("m1", vec![member(1)]))?;
        let etcd = Etcd::start(&programs, target, &[])?;
        ensure!(etcd.client.revision()? == done.revision && done.revision == 1_000_000_001);
        etcd.client.put("first", b"1")?;
    }
    Ok(())
}
