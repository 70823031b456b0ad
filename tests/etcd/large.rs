//! A database whose pages lie beyond 2 GiB: every offset in it has more bits than a signed 32-bit number.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rkadm_core::backup::{crypt::Identities, open};
use rkadm_core::etcd::snapshot::{FileHash, History, RestoreOptions, VerifyOptions, restore, verify};
use serde_json::Value;

use crate::net::Net;
use crate::server::{Etcd, Programs, member};
use crate::{data, pages};

const PAGE: usize = 4096;
/// So many free pages come first.
const FREE: u64 = (2 << 30) / PAGE as u64 + 1;
const KEYS: &str = "/etc/kubernetes/pki/etcd";

#[test]
#[ignore = "reads and writes some 10 GiB: `make etcd-large`"]
fn a_database_of_more_than_2_gib_is_verified_backed_up_and_restored() -> Result<()> {
    let (_net, programs) = (Net::enter()?, Programs::of("3.6")?);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = |name: &str| dir.path().join(name);
    let etcd = Etcd::start(&programs, &path("data"), &[])?;
    data::rich(&etcd.client)?;
    let live = etcd.hash_kv(0, &[])?;
    let keys = etcd.client.count()?;
    let db = etcd.stop()?.join("member/snap/db");
    pages::moved(&fs::read(&db)?, PAGE, FREE, &db)?;

    let quota = ["--quota-backend-bytes", "17179869184"];
    let etcd = Etcd::start(&programs, &path("data"), &quota)?;
    ensure!(etcd.hash_kv(0, &[])? == live, "etcd itself reads something else");
    // On pages at the beginning, which were free.
    data::put_many(&etcd.client, "/registry/late/", 0, 500, 900)?;
    let (live, keys) = (etcd.hash_kv(0, &[])?, keys + 500);
    etcd.save(&path("snapshot.db"), &[])?;
    let report = verify(&path("snapshot.db"), VerifyOptions::default())?.report;
    ensure!(matches!(report.hash, FileHash::Matches(_)) && report.size > 2 << 30, "{report:?}");
    ensure!(report.hash_kv == live && report.records.keys == keys, "{report:?} is not {live:?}");
    fs::remove_file(path("snapshot.db"))?;

    data::certificates(dir.path())?;
    let rkadm = |args: &[&str]| -> Result<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
        command.current_dir(dir.path()).args(args).args(["--rootfs", "root", "-o", "json"]);
        let output = command.output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let url = format!("http://{}", etcd.client.address);
    let made = rkadm(&[
        "backup",
        "etcd",
        "--dir",
        "backups",
        "--compression",
        "zstd",
        "--etcd-endpoints",
        &url,
        "--etcd-cacert",
        &format!("{KEYS}/ca.crt"),
        "--etcd-cert",
        &format!("{KEYS}/healthcheck-client.crt"),
        "--etcd-key",
        &format!("{KEYS}/healthcheck-client.key"),
    ])?;
    ensure!(made["comparedWithMember"] == true && made["snapshotBytes"].as_u64() > Some(2 << 30), "{made}");
    fs::remove_dir_all(etcd.stop()?)?;
    let file = made["file"].as_str().context("no file")?;
    let verified = rkadm(&["backup", "verify", file])?;
    ensure!(verified["hashKv"] == format!("{:08x}", live.hash) && verified["keys"] == keys, "{verified}");

    fs::create_dir(path("unpacked"))?;
    let opened = open::open(file.as_ref(), &Identities::none(), &path("unpacked"))?;
    let me = RestoreOptions::new("m1", vec![member(1)]);
    restore(&opened.snapshot, &path("kept"), &RestoreOptions { history: History::Keep, ..me.clone() })?;
    let etcd = Etcd::start(&programs, &path("kept"), &quota)?;
    ensure!(etcd.hash_kv(0, &[])? == live && etcd.client.count()? == keys, "the restored data differs");
    fs::remove_dir_all(etcd.stop()?)?;
    let done = restore(&opened.snapshot, &path("raised"), &me)?;
    let etcd = Etcd::start(&programs, &path("raised"), &quota)?;
    ensure!(etcd.client.revision()? == done.revision && etcd.client.count()? == keys, "{done:?}");
    etcd.client.put("/registry/new", b"it takes writes")?;
    etcd.stop()?;
    Ok(())
}
