//! Verification says what etcd and etcdutl say.

use std::path::Path;

use anyhow::{Result, ensure};
use rkadm_core::etcd::snapshot::{
    AlarmKind, FileHash, HashKv, RestoreOptions, SnapshotError, TrailerHash, VerifyOptions, restore, verify,
};

use crate::client::Client;
use crate::data;
use crate::net::Net;
use crate::on_every_line;
use crate::server::{Etcd, Programs, member};

on_every_line! {
    a_snapshot_and_a_raw_copy_say_what_etcd_says
    hashes_are_etcds_after_every_history
    a_compaction_under_way_is_understood
    users_roles_and_authentication_are_seen
}

fn hash_at(file: &Path, revision: i64) -> Result<HashKv, SnapshotError> {
    let options = VerifyOptions { revision: Some(revision), ..VerifyOptions::default() };
    verify(file, options).map(|verified| verified.report.hash_kv)
}

fn a_snapshot_and_a_raw_copy_say_what_etcd_says(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let etcd = Etcd::start(&programs, &dir.path().join("data"), &[])?;
    data::rich(&etcd.client)?;
    etcd.ctl(&["member", "add", "learner", "--learner", "--peer-urls", "http://127.0.0.9:2380"])?;
    let keys = etcd.client.count()?;
    let status = etcd.json(&["endpoint", "status"])?;
    let live = etcd.hash_kv(0, &[])?;
    etcd.client.raise_alarm("NOSPACE")?;
    let file = dir.path().join("snapshot.db");
    etcd.save(&file, &[])?;
    let members = etcd.members()?;
    let id = etcd.client.member_id()?;
    let raw = etcd.stop()?.join("member/snap/db");

    let report = verify(&file, VerifyOptions::default())?.report;
    ensure!(matches!(report.hash, FileHash::Matches(_)), "{report:?}");
    ensure!(report.hash_kv == live, "{:?} is not {live:?}", report.hash_kv);
    ensure!(report.records.keys == keys, "{report:?}");
    ensure!(report.revision == live.revision && !report.compacting, "{report:?}");
    let status = &status[0]["Status"];
    ensure!(status["raftTerm"].as_u64() == Some(report.contents.term), "{status}");
    ensure!(report.contents.leases == 3 && !report.contents.auth_enabled, "{report:?}");
    let found: Vec<_> = report.contents.members.iter().map(|it| (it.id, it.learner)).collect();
    let mut expected: Vec<_> = members.iter().map(|it| (it.2, it.1.contains("127.0.0.9"))).collect();
    // They come in the order of their keys, which are text.
    expected.sort_by_key(|it| format!("{:x}", it.0));
    ensure!(found == expected, "{found:?} are not {expected:?}");
    let alarms = &report.contents.alarms;
    ensure!(
        alarms.len() == 1 && alarms[0].kind == AlarmKind::NoSpace && alarms[0].member == id,
        "{alarms:?}"
    );
    let storage_version = report.contents.storage_version.as_deref();
    ensure!(storage_version == (line != "3.5").then(|| format!("{line}.0")).as_deref(), "{report:?}");
    ensure!(report.contents.cluster_version.as_deref() == Some(&format!("{line}.0")), "{report:?}");

    let report = verify(&raw, VerifyOptions::default())?.report;
    ensure!(report.hash == FileHash::Absent && report.hash_kv == live && report.bad_meta_page.is_none());

    // As it would come over the network.
    let mut hash = TrailerHash::default();
    std::fs::read(&file)?.chunks(32 << 10).for_each(|blob| hash.update(blob));
    ensure!(hash.finish().is_some());
    let options = VerifyOptions { hash_is_known: true, ..VerifyOptions::default() };
    ensure!(verify(&file, options)?.report.hash == FileHash::NotCompared);
    Ok(())
}

/// What is written, and the revision to compact then, if any.
type Step = fn(&Client) -> Result<Option<i64>>;

fn hashes_are_etcds_after_every_history(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let etcd = Etcd::start(&programs, &dir.path().join("data"), &[])?;
    let steps: [(&str, Step); 9] = [
        ("nothing at all", |_| Ok(None)),
        ("never compacted", |client| data::put_many(client, "a", 0, 200, 50).map(|_| None)),
        ("updates and deletions", |client| {
            data::put_many(client, "a", 50, 100, 70)?;
            client.delete("a00006").map(|_| None)
        }),
        ("compacted in the middle", |client| Ok(Some(client.revision()? - 3))),
        ("deleted what is old", |client| client.delete("a00002").map(|_| None)),
        ("compacted at a deletion", |client| client.delete("a00003").map(Some)),
        ("deleted keys come back", |client| data::put_many(client, "a", 20, 40, 90).map(|_| None)),
        ("no key is left", |client| client.delete("a").map(|_| None)),
        ("no key is left, compacted", |client| Ok(Some(client.revision()?))),
    ];
    for (n, (name, step)) in steps.into_iter().enumerate() {
        if let Some(revision) = step(&etcd.client)? {
            etcd.client.compact(revision, true)?;
        }
        let file = dir.path().join(format!("{n}.db"));
        etcd.save(&file, &[])?;
        let report = verify(&file, VerifyOptions::default())?.report;
        let live = etcd.hash_kv(0, &[])?;
        if live.compact_revision == report.compact_revision {
            ensure!(report.hash_kv == live, "{name}: {:?} is not {live:?}", report.hash_kv);
        }
        let first = report.compact_revision.max(1);
        for revision in (first..=report.revision).step_by(3).chain([first, report.revision]) {
            let theirs = match programs.hash_kv(&file, revision)? {
                Some(theirs) => theirs,
                // For the compacted revision a member answers what it hashed when it compacted, or an error.
                None if revision == report.compact_revision => continue,
                None => etcd.hash_kv(revision, &[])?,
            };
            let ours = hash_at(&file, revision)?;
            ensure!(ours == theirs, "{name}, revision {revision}: {ours:?} is not {theirs:?}");
        }
        for revision in [first - 1, report.revision + 1] {
            let error = hash_at(&file, revision);
            ensure!(matches!(error, Err(SnapshotError::Revision { .. })), "{name}: {error:?}");
        }
    }
    Ok(())
}

fn a_compaction_under_way_is_understood(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let prefix = if line == "3.5" { "--experimental-" } else { "--" };
    let slow =
        [format!("{prefix}compaction-batch-limit=10"), format!("{prefix}compaction-sleep-interval=300ms")];
    let args: Vec<_> = slow.iter().map(String::as_str).collect();
    let etcd = Etcd::start(&programs, &dir.path().join("data"), &args)?;
    data::put_many(&etcd.client, "a", 0, 500, 50)?;
    let revision = data::put_many(&etcd.client, "a", 100, 400, 60)?;
    etcd.client.compact(revision - 5, false)?;
    let mut unfinished = 0;
    for n in 0..4 {
        let file = dir.path().join(format!("{n}.db"));
        etcd.save(&file, &[])?;
        let report = verify(&file, VerifyOptions::default())?.report;
        unfinished += u32::from(report.compacting);
        let live = etcd.hash_kv(0, &[])?;
        ensure!(report.hash_kv == live, "{report:?} is not {live:?}");
        ensure!(report.records.keys == 500 && report.compact_revision == revision - 5, "{report:?}");
        ensure!(programs.hash_kv(&file, 0)?.is_none_or(|theirs| theirs == live), "etcdutl differs");
        data::put_many(&etcd.client, "b", 0, 1, 10)?;
        etcd.client.delete("b")?;
    }
    ensure!(unfinished > 0, "the compaction was over before the first snapshot");
    Ok(())
}

fn users_roles_and_authentication_are_seen(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let etcd = Etcd::start(&programs, &dir.path().join("data"), &[])?;
    data::put_many(&etcd.client, "a", 0, 10, 10)?;
    for command in [
        "role add reader",
        "role grant-permission reader read a",
        "user add root:secret",
        "user grant-role root root",
        "user add who:secret",
        "user grant-role who reader",
        "auth enable",
    ] {
        etcd.ctl(&command.split(' ').collect::<Vec<_>>())?;
    }
    let file = dir.path().join("snapshot.db");
    let root = ["--user", "root:secret"];
    etcd.save(&file, &root)?;
    let roles = etcd.ctl(&[&["role", "list"], &root[..]].concat())?.lines().count() as u64;
    let contents = verify(&file, VerifyOptions::default())?.report.contents;
    ensure!(contents.auth_enabled && contents.users == 2 && contents.roles == roles, "{contents:?}");
    let options = RestoreOptions::new("m1", vec![member(1)]);
    let restored = dir.path().join("restored");
    restore(&verify(&file, VerifyOptions::default())?, &restored, &options)?;
    etcd.stop()?;
    let etcd = Etcd::start(&programs, &restored, &[])?;
    etcd.ctl(&[&["get", "a000000"], &root[..]].concat())?;
    ensure!(etcd.ctl_fails(&["get", "a000000"])?.contains("user name is empty"));
    Ok(())
}
