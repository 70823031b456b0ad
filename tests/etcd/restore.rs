//! What rkadm restores starts on the real etcd, and is what etcdutl restores.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rkadm_core::etcd::snapshot::{
    DEFAULT_BUMP, HashKv, History, Report, RestoreOptions, Restored, VerifyOptions, restore, verify,
};

use crate::net::Net;
use crate::server::{Etcd, Programs, cluster, member};
use crate::{data, on_every_line};

on_every_line! {
    a_restored_member_is_that_of_etcdutl
    history_can_be_kept
    three_members_form_a_quorum
    a_tree_of_many_pages_gets_its_last_record
    a_compaction_under_way_is_finished
}

fn restored(file: &Path, target: &Path, options: &RestoreOptions) -> Result<Restored> {
    Ok(restore(&verify(file, VerifyOptions::default())?, target, options)?)
}

fn alone() -> RestoreOptions {
    RestoreOptions::new("m1", vec![member(1)])
}

fn by_etcdutl(programs: &Programs, file: &Path, target: &Path, options: &RestoreOptions) -> Result<()> {
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a name that is not text");
    let this = options.members.iter().find(|it| it.name == options.name).context("no such member")?;
    let (file, target, cluster) = (text(file)?, text(target)?, cluster(&options.members));
    let mut args = vec!["snapshot", "restore", &file, "--data-dir", &target, "--name", &options.name];
    args.extend(["--initial-cluster", &cluster, "--initial-advertise-peer-urls", &this.peer_urls[0]]);
    let bump = DEFAULT_BUMP.to_string();
    if options.history != History::Keep {
        args.extend(["--bump-revision", &bump, "--mark-compacted"]);
    }
    programs.utl(&args).map(drop)
}

/// bbolt's own check of a database, on a copy: it is still to be started.
fn check_structure(programs: &Programs, dir: &Path) -> Result<()> {
    let (file, copy) = (dir.join("member/snap/db"), dir.join("checked.db"));
    std::fs::copy(file, &copy)?;
    programs.utl(&["snapshot", "status", copy.to_str().context("a name that is not text")?])?;
    Ok(std::fs::remove_file(copy)?)
}

/// What a client sees of a member that was started on a restored directory.
#[derive(Debug, PartialEq)]
struct Seen {
    hash: HashKv,
    members: Vec<(String, String, u64)>,
    keys: u64,
    leases: String,
    revision: i64,
    value: String,
}

fn look(etcd: &Etcd) -> Result<Seen> {
    let mut leases: Vec<_> = etcd.ctl(&["lease", "list"])?.lines().map(str::to_owned).collect();
    leases.sort();
    Ok(Seen {
        hash: etcd.hash_kv(0, &[])?,
        members: etcd.members()?,
        keys: etcd.client.count()?,
        leases: leases.join(" "),
        revision: etcd.client.revision()?,
        value: etcd.ctl(&["get", "/registry/pods/000160", "-w", "json"])?.replace(char::is_numeric, "")
            + &etcd.ctl(&["get", "/registry/back"])?,
    })
}

/// A client of the old cluster that goes on watching is told that it has to begin anew.
fn assert_history_is_gone(etcd: &Etcd, revision: i64) -> Result<()> {
    let revision = revision.to_string();
    let error = etcd.ctl_fails(&["get", "/registry/back", "--rev", &revision])?;
    ensure!(error.contains("required revision has been compacted"), "{error}");
    let watch = etcd.watch("/registry/back", &revision)?;
    ensure!(watch.contains("required revision has been compacted"), "{watch}");
    Ok(())
}

fn a_restored_member_is_that_of_etcdutl(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let etcd = Etcd::start(&programs, &dir.path().join("old"), &[])?;
    data::rich(&etcd.client)?;
    etcd.ctl(&["member", "add", "learner", "--learner", "--peer-urls", "http://127.0.0.9:2380"])?;
    etcd.client.raise_alarm("NOSPACE")?;
    let last = etcd.client.revision()?;
    let file = dir.path().join("snapshot.db");
    etcd.save(&file, &[])?;
    let raw = etcd.stop()?.join("member/snap/db");

    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let done = restored(&file, &ours, &alone())?;
    ensure!(done.revision == last + 1_000_000_000 && done.compact_revision == done.revision, "{done:?}");
    ensure!(done.dropped_alarms == 1 && done.leases == 3, "{done:?}");
    by_etcdutl(&programs, &file, &theirs, &alone())?;
    check_structure(&programs, &ours)?;
    let from_raw = dir.path().join("raw");
    restored(&raw, &from_raw, &alone())?;
    let hash = |dir: &Path| -> Result<HashKv> {
        Ok(verify(&dir.join("member/snap/db"), VerifyOptions::default())?.report.hash_kv)
    };
    ensure!(hash(&ours)? == hash(&theirs)? && hash(&ours)? == hash(&from_raw)?);

    let etcd = Etcd::start(&programs, &theirs, &[])?;
    let expected = look(&etcd)?;
    ensure!(etcd.ctl(&["alarm", "list"])?.contains("NOSPACE"), "etcdutl dropped the alarm");
    etcd.stop()?;
    let mut etcd = Etcd::start(&programs, &ours, &[])?;
    for round in ["first start", "second start"] {
        let found = look(&etcd)?;
        ensure!(found == expected, "{round}: {found:?}\nis not {expected:?}");
        ensure!(found.revision == done.revision && found.members[0].2 == done.member_id, "{found:?}");
        ensure!(etcd.ctl(&["alarm", "list"])?.is_empty(), "the alarm is there");
        assert_history_is_gone(&etcd, last - 1)?;
        let dir = etcd.stop()?;
        let report = verify(&dir.join("member/snap/db"), VerifyOptions::default())?.report;
        ensure!(report.hash_kv == expected.hash && !report.compacting, "{round}: {report:?}");
        etcd = Etcd::start(&programs, &dir, &[])?;
    }
    // It is a cluster like any other: it takes writes, and members.
    data::put_many(&etcd.client, "/new/", 0, 2000, 500)?;
    etcd.client.compact(etcd.client.revision()?, true)?;
    etcd.ctl(&["member", "add", "m2", "--peer-urls", "http://127.0.0.2:2380"])?;
    let dir = etcd.stop()?;
    verify(&dir.join("member/snap/db"), VerifyOptions::default())?;
    check_structure(&programs, &dir)
}

fn history_can_be_kept(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let etcd = Etcd::start(&programs, &dir.path().join("old"), &[])?;
    data::rich(&etcd.client)?;
    etcd.client.raise_alarm("NOSPACE")?;
    let file = dir.path().join("snapshot.db");
    etcd.save(&file, &[])?;
    let live = etcd.hash_kv(0, &[])?;
    etcd.stop()?;
    let options = RestoreOptions { history: History::Keep, keep_alarms: true, ..alone() };
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let done = restored(&file, &ours, &options)?;
    ensure!((done.revision, done.dropped_alarms) == (live.revision, 0), "{done:?}");
    by_etcdutl(&programs, &file, &theirs, &options)?;
    let mut seen = vec![];
    for dir in [ours, theirs] {
        let etcd = Etcd::start(&programs, &dir, &[])?;
        ensure!(etcd.hash_kv(0, &[])? == live);
        ensure!(etcd.ctl(&["alarm", "list"])?.contains("NOSPACE"));
        etcd.ctl(&["get", "/registry/back", "--rev", &(live.revision - 1).to_string()])?;
        seen.push(look(&etcd)?);
        etcd.stop()?;
    }
    ensure!(seen[0] == seen[1], "{seen:?}");
    Ok(())
}

/// A snapshot with something of everything, its keys and its revision.
fn saved(programs: &Programs, dir: &Path) -> Result<(PathBuf, u64, i64)> {
    let etcd = Etcd::start(programs, &dir.join("old"), &[])?;
    data::rich(&etcd.client)?;
    let (keys, last) = (etcd.client.count()?, etcd.client.revision()?);
    let file = dir.join("snapshot.db");
    etcd.save(&file, &[])?;
    etcd.stop()?;
    Ok((file, keys, last))
}

fn three_members_form_a_quorum(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let (file, keys, last) = saved(&programs, dir.path())?;
    let members = vec![member(1), member(2), member(3)];
    let snapshot = verify(&file, VerifyOptions::default())?;
    let mut etcds = vec![];
    for n in 1..=3 {
        let target = dir.path().join(format!("m{n}"));
        let options = RestoreOptions::new(format!("m{n}"), members.clone());
        restore(&snapshot, &target, &options)?;
        etcds.push(Etcd::spawn(&programs, &target, n, &members, &[])?);
    }
    for etcd in &mut etcds {
        etcd.wait()?;
    }
    etcds[0].client.put("/through/one", b"1")?;
    for etcd in &etcds {
        ensure!(etcd.ctl(&["get", "/through/one", "--print-value-only"])? == "1\n");
        ensure!(etcd.client.count()? == keys + 1 && etcd.members()?.len() == 3);
        ensure!(etcd.hash_kv(0, &[])? == etcds[0].hash_kv(0, &[])?, "members differ");
        assert_history_is_gone(etcd, last)?;
    }
    // One may go: two are a quorum, once they have noticed and found a leader.
    drop(etcds.pop());
    let written = (0..20).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        etcds[1].client.put("/through/two", b"2").is_ok()
    });
    ensure!(written, "two of three are no quorum");
    Ok(())
}

/// What an operator of an external etcd types.
#[test]
fn data_for_members_that_others_start_is_made_by_one_command_for_each() -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of("3.7")?, tempfile::tempdir()?);
    let (file, keys, last) = saved(&programs, dir.path())?;
    let members = vec![member(1), member(2), member(3)];
    let mut etcds = vec![];
    for n in 1..=3 {
        let target = dir.path().join(format!("m{n}"));
        let name = format!("m{n}");
        let mut rkadm = Command::new(env!("CARGO_BIN_EXE_rkadm"));
        rkadm.args(["restore", "data"]).arg(&file).arg("--data-dir").arg(&target).args(["--name", &name]);
        rkadm.args(["--initial-cluster", &cluster(&members), "--cluster-token", "again", "-o", "json"]);
        let output = rkadm.stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{output:?}");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        ensure!(said["keys"] == keys && said["backupRevision"] == last && said["members"] == 3, "{said}");
        etcds.push(Etcd::spawn(&programs, &target, n, &members, &[])?);
    }
    for etcd in &mut etcds {
        etcd.wait()?;
    }
    etcds[0].client.put("/through/one", b"1")?;
    for etcd in &etcds {
        ensure!(etcd.client.count()? == keys + 1 && etcd.members()?.len() == 3);
        ensure!(etcd.hash_kv(0, &[])? == etcds[0].hash_kv(0, &[])?, "members differ");
        assert_history_is_gone(etcd, last)?;
    }
    Ok(())
}

fn a_tree_of_many_pages_gets_its_last_record(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let etcd = Etcd::start(&programs, &dir.path().join("old"), &[])?;
    // Three levels; and a last leaf in every state from empty to full.
    data::put_many(&etcd.client, "a", 0, 24_000, 400)?;
    let mut files = vec![];
    for n in 0..12 {
        data::put_many(&etcd.client, "b", n, n + 1, 390)?;
        let file = dir.path().join(format!("{n}.db"));
        etcd.save(&file, &[])?;
        files.push((file, etcd.client.count()?));
    }
    etcd.stop()?;
    for (n, (file, keys)) in files.into_iter().enumerate() {
        let target = dir.path().join(format!("restored{n}"));
        let done = restored(&file, &target, &alone())?;
        let report = verify(&target.join("member/snap/db"), VerifyOptions::default())?.report;
        ensure!((report.records.keys, report.records.last) == (keys, done.revision), "{report:?}");
        let theirs = programs.hash_kv(&target.join("member/snap/db"), 0)?;
        ensure!(theirs.is_none_or(|theirs| theirs == report.hash_kv), "{theirs:?} {report:?}");
        check_structure(&programs, &target)?;
        std::fs::remove_dir_all(&target)?;
    }
    Ok(())
}

fn a_compaction_under_way_is_finished(line: &str) -> Result<()> {
    let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
    let prefix = if line == "3.5" { "--experimental-" } else { "--" };
    let slow =
        [format!("{prefix}compaction-batch-limit=10"), format!("{prefix}compaction-sleep-interval=300ms")];
    let args: Vec<_> = slow.iter().map(String::as_str).collect();
    let etcd = Etcd::start(&programs, &dir.path().join("old"), &args)?;
    let revision = data::put_many(&etcd.client, "a", 0, 200, 50)?;
    data::put_many(&etcd.client, "a", 0, 150, 60)?;
    etcd.client.compact(revision, false)?;
    let file = dir.path().join("snapshot.db");
    etcd.save(&file, &[])?;
    ensure!(verify(&file, VerifyOptions::default())?.report.compacting);
    let live = etcd.hash_kv(0, &[])?;
    etcd.stop()?;
    for (history, revision) in [(History::Keep, live.revision), (History::Bump(7), live.revision + 7)] {
        let target = dir.path().join(format!("{history:?}"));
        restored(&file, &target, &RestoreOptions { history, ..alone() })?;
        let etcd = Etcd::start(&programs, &target, &[])?;
        ensure!(etcd.client.revision()? == revision && etcd.client.count()? == 200);
        if history == History::Keep {
            ensure!(etcd.hash_kv(0, &[])? == live);
            continue;
        }
        // Once the member has compacted, nothing is left but one record a key, and the placeholder.
        let db = target.join("member/snap/db");
        let compacted = |_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            copied(&db).is_ok_and(|report| report.records.total == 201)
        };
        ensure!((0..100).any(compacted), "{:?}", copied(&db));
    }
    Ok(())
}

/// What a copy of a running member's database says; a copy that was cut through a write may say nothing.
fn copied(db: &Path) -> Result<Report> {
    let copy = db.with_extension("copied");
    std::fs::copy(db, &copy)?;
    Ok(verify(&copy, VerifyOptions::default())?.report)
}

#[test]
fn a_snapshot_starts_on_later_lines() -> Result<()> {
    for (from, to) in [("3.5", "3.6"), ("3.6", "3.7"), ("3.5", "3.7")] {
        let (_net, dir) = (Net::enter()?, tempfile::tempdir()?);
        let (from, to) = (Programs::of(from)?, Programs::of(to)?);
        let etcd = Etcd::start(&from, &dir.path().join("old"), &[])?;
        data::rich(&etcd.client)?;
        let (file, target) = (dir.path().join("snapshot.db"), dir.path().join("new"));
        etcd.save(&file, &[])?;
        let keys = etcd.client.count()?;
        etcd.stop()?;
        let done = restored(&file, &target, &alone())?;
        let etcd = Etcd::start(&to, &target, &[])?;
        let seen = look(&etcd)?;
        ensure!((seen.keys, seen.revision) == (keys, done.revision), "{seen:?}");
        let dir = etcd.stop()?;
        // It goes on as a member of the newer line.
        let etcd = Etcd::start(&to, &dir, &[])?;
        etcd.client.put("/new", b"x")?;
    }
    Ok(())
}

impl Etcd {
    /// What a watch from an old revision says before it ends.
    fn watch(&self, key: &str, revision: &str) -> Result<String> {
        let mut command = Command::new("timeout");
        command.arg("10").arg(self.programs.program("etcdctl"));
        command.args(["--endpoints", &self.client.address, "watch", key, "--rev", revision]);
        let output = command.stdin(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}
