//! `rkadm backup` of a real etcd to standard output and to a real server of S3, and to one with something wrong.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::faults::{Fault, Faults, SERVER, Which};
use crate::server::Programs;
use crate::site::{BUCKET, Gateway, MUCH, PKI, PREFIX, Site, said};

#[test]
fn a_bucket_is_a_place_like_a_directory() -> Result<()> {
    let site = Site::new(MUCH, true)?;
    let made = site.json(&format!("backup etcd --dir {BUCKET} --compression none"))?;
    let file = made["file"].as_str().context("no file")?.to_owned();
    ensure!(file.starts_with(&format!("{BUCKET}/rkadm-backup-")), "{made}");
    ensure!(made["bytes"].as_u64() > Some(24 << 20), "one part would do: {made}");
    site.scratch_is_empty()?;
    // What is there is what any client sees, and `sha256sum -c` agrees.
    let dir = site.path(&format!("s3/{PREFIX}"));
    let sums = Command::new("sh").args(["-c", "sha256sum -c *.sha256"]).current_dir(&dir).output()?;
    ensure!(sums.status.success(), "{sums:?}");

    let key = include_str!("../../src/core/backup/fixtures/id_ed25519.pub");
    fs::write(site.path("keys"), key)?;
    let sealed =
        site.json(&format!("backup etcd --dir {BUCKET} --compression zstd --recipients-file keys"))?;
    let list = site.json(&format!("backup list --dir {BUCKET}"))?;
    ensure!(list["items"].as_array().is_some_and(|items| items.len() == 2), "{list}");
    ensure!(
        list["items"].as_array().is_some_and(|items| items.iter().any(|it| it["encrypted"] == true)),
        "{list}"
    );

    let verified = site.json(&format!("backup verify {file}"))?;
    ensure!(verified["opened"] == true && verified["file"] == made["file"], "{verified}");
    let latest = site.json(&format!("backup verify latest --dir {BUCKET}"))?;
    ensure!(latest["file"] == sealed["file"] && latest["opened"] == false, "{latest}");
    let identity = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/backup/fixtures/id_ed25519");
    let opened =
        site.json(&format!("backup verify latest --dir {BUCKET} --identity {}", identity.display()))?;
    ensure!(opened["opened"] == true && opened["hashKv"] == verified["hashKv"], "{opened}");

    // Foreign objects stay, whatever they are called, and so do those of other prefixes.
    for foreign in ["rkadm-backup-x.tar.gz", "precious.tar", "rkadm-backup-y.tar.age"] {
        fs::write(dir.join(foreign), "not ours")?;
    }
    let other = site.rkadm("backup prune --keep-last 1 --dir s3://bucket/clusters/two")?;
    ensure!(other.status.code() == Some(1) && said(&other).contains("holds no backup"), "{other:?}");
    let above = site.rkadm("backup prune --keep-last 1 --dir s3://bucket/clusters")?;
    ensure!(above.status.code() == Some(1), "{above:?}");
    let all = site.rkadm("backup prune --keep-last 1 --dir s3://bucket")?;
    ensure!(all.status.code() == Some(2) && said(&all).contains("a bucket and a prefix"), "{all:?}");
    let pruned = site.json(&format!("backup prune --keep-last 1 --dir {BUCKET}"))?;
    ensure!(pruned["removed"] == serde_json::json!([file]) && pruned["kept"] == 1, "{pruned}");
    let left = site.objects()?;
    ensure!(left.len() == 6 && left.iter().any(|it| it.ends_with("precious.tar")), "{left:?}");
    ensure!(!left.iter().any(|it| it.contains(file.rsplit('/').next().unwrap_or_default())), "{left:?}");
    Ok(())
}

#[test]
fn what_came_of_a_drill_is_kept_in_the_bucket_and_goes_with_its_backup() -> Result<()> {
    let site = Site::new(50, false)?;
    let run = |args: &str| site.command(&format!("http://{SERVER}"), args).output();
    let json = |args: &str| -> Result<Value> {
        let output = run(&format!("{args} -o json"))?;
        ensure!(output.status.success(), "{args}: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let make = || -> Result<String> {
        let made = json(&format!("backup etcd --dir {BUCKET}"))?;
        made["file"].as_str().map(str::to_owned).context("no file")
    };
    let older = make()?;
    site.etcd.client.put("/registry/new", b"x")?;
    let newer = make()?;
    let etcd = Programs::of("3.6")?.program("etcd");
    let drill =
        |what: &str| format!("backup drill {what} --dir {BUCKET} --scratch . --etcd {}", etcd.display());
    // What cannot be told to monitoring does not hide it.
    let output = run(&format!("{} --prometheus nowhere/metrics -o json", drill("latest")))?;
    ensure!(output.status.success() && said(&output).contains("no metrics: "), "{output:?}");
    let drilled: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(drilled["file"] == newer && drilled["findings"]["keys"] == 51, "{drilled}");
    json(&drill(&older))?;
    let list = json(&format!("backup list --dir {BUCKET}"))?;
    ensure!(list["items"].as_array().is_some_and(|items| items.len() == 2), "a record is no backup: {list}");
    ensure!(list["items"][0]["drill"]["findings"] == drilled["findings"], "{list}");
    ensure!(list["items"][1]["drill"]["findings"]["keys"] == 50, "{list}");

    // One that is for others hides no other; but what is the latest is not known then.
    let of_archive = |method: &str, target: &str| {
        method == "GET" && target.ends_with(".tar.gz") && !target.contains("list-type")
    };
    let denied = "<Error><Code>AccessDenied</Code><Message>Not for you</Message></Error>";
    let one = || Faults::start(of_archive, Fault::Answer(403, denied), 1);
    let output = site.command(&one()?.url(), &format!("backup list --dir {BUCKET} -o json")).output()?;
    let list: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(list["items"].as_array().is_some_and(|items| items.len() == 1), "{list}");
    ensure!(list["unreadable"][0]["why"].as_str().is_some_and(|why| why.contains("Not for you")), "{list}");
    let output = site
        .command(&one()?.url(), &format!("backup prune --keep-last 1 --dir {BUCKET} -o json"))
        .output()?;
    let pruned: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(pruned["removed"] == serde_json::json!([]), "{pruned}");
    // Rights that read none of them are no rights.
    let faults = Faults::start(of_archive, Fault::Answer(403, denied), usize::MAX)?;
    let output = site.command(&faults.url(), &format!("backup list --dir {BUCKET}")).output()?;
    ensure!(
        output.status.code() == Some(1) && said(&output).contains("s3:ListBucket, GetObject"),
        "{output:?}"
    );

    // Who may read and not write learns both.
    let of_record = |method: &str, target: &str| method == "PUT" && target.contains(".drill.json");
    let faults = Faults::start(of_record, Fault::Answer(403, denied), usize::MAX)?;
    let output = site.command(&faults.url(), &drill("latest")).output()?;
    let words = "the backup works, but what came of the drill cannot be kept beside it";
    ensure!(output.status.code() == Some(1) && said(&output).contains(words), "{output:?}");
    ensure!(said(&output).contains("AccessDenied: Not for you"), "{output:?}");

    // One that does not work, in place of the record before.
    let object = site.path("s3").join(newer.trim_start_matches("s3://"));
    let mut bytes = fs::read(&object)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, bytes)?;
    let output = run(&drill(&newer))?;
    ensure!(output.status.code() == Some(1) && said(&output).contains("is damaged"), "{output:?}");
    let list = run(&format!("backup list --dir {BUCKET}"))?;
    // Seconds ago, however slow the machine is.
    let newest = String::from_utf8_lossy(&list.stdout).lines().nth(1).unwrap_or_default().to_owned();
    ensure!(newest.contains("FAILED ") && newest.contains("s ago"), "{list:?}");

    // The older one is the only one that works; without the record nobody knows.
    let prune = format!("backup prune --keep-last 1 --dir {BUCKET}");
    let pruned = json(&prune)?;
    ensure!(pruned["kept"] == 2, "{pruned}");
    fs::remove_file(format!("{}.drill.json", object.display()))?;
    let pruned = json(&prune)?;
    ensure!(pruned["removed"] == serde_json::json!([older]), "{pruned}");
    let left = site.objects()?;
    let of_newer = |name: &String| format!("s3://bucket/{name}").starts_with(&newer);
    ensure!(left.len() == 2 && left.iter().all(of_newer), "{left:?}");
    Ok(())
}

#[test]
fn keys_and_names_that_are_wrong_are_told_from_each_other() -> Result<()> {
    let mut site = Site::new(3, true)?;
    let list = format!("backup list --dir {BUCKET}");
    let mut wrong_key = site.command(&Gateway::url(), &list);
    let output = wrong_key.env("AWS_SECRET_ACCESS_KEY", "wrong").output()?;
    ensure!(output.status.code() == Some(1) && said(&output).contains("SignatureDoesNotMatch"), "{output:?}");
    ensure!(said(&output).contains("check AWS_ACCESS_KEY_ID"), "{output:?}");
    let output = site.rkadm("backup list --dir s3://nowhere/x")?;
    ensure!(said(&output).contains("NoSuchBucket"), "{output:?}");
    let output = site.command(&Gateway::url(), &list).env_remove("AWS_CA_BUNDLE").output()?;
    ensure!(said(&output).contains("invalid peer certificate: UnknownIssuer"), "{output:?}");
    let output = site.command(&Gateway::url(), &list).env("AWS_CA_BUNDLE", "nowhere").output()?;
    ensure!(said(&output).contains("AWS_CA_BUNDLE names nowhere: No such file"), "{output:?}");
    let output = site.rkadm(&format!("backup verify {BUCKET}/rkadm-backup-none.tar.gz"))?;
    ensure!(said(&output).contains("rkadm-backup-none.tar.gz does not exist"), "{output:?}");
    // etcd goes on; the bucket is what fails, after everything else went well.
    site.gateway.0.kill()?;
    site.gateway.0.wait()?;
    let output = site.rkadm(&format!("backup etcd --dir {BUCKET} --prometheus /srv/metrics"))?;
    ensure!(said(&output).contains("Connection refused"), "{output:?}");
    ensure!(fs::read_to_string(site.path("root/srv/metrics"))?.contains("rkadm_backup_last_run_success 0\n"));
    site.nothing_is_left()
}

#[test]
fn a_server_that_fails_leaves_nothing_under_the_final_name() -> Result<()> {
    let site = Site::new(MUCH, false)?;
    let denied = "<Error><Code>AccessDenied</Code><Message>Not for you</Message></Error>";
    let broken = "<Error><Code>InternalError</Code><Message>Try again</Message></Error>";
    let backup = format!("backup etcd --dir {BUCKET} --compression none");
    // What fails, how, and what is said.
    let part = |method: &str, target: &str| method == "PUT" && target.contains("partNumber=2");
    let begin = |method: &str, target: &str| method == "POST" && target.contains("uploads");
    let end = |method: &str, target: &str| method == "POST" && target.contains("uploadId");
    let get = |method: &str, target: &str| method == "GET" && target.split('.').next_back() == Some("tar");
    let cases: [(Which, Fault, &str); 6] = [
        (begin, Fault::Answer(403, denied), "the server says AccessDenied: Not for you"),
        (part, Fault::Answer(403, denied), "the server says AccessDenied: Not for you"),
        (part, Fault::Answer(500, broken), "the server says InternalError: Try again"),
        (end, Fault::Answer(403, denied), "the server says AccessDenied: Not for you"),
        (get, Fault::Change, "what the server gives back is not what was sent to it"),
        (get, Fault::Answer(403, denied), "cannot read back s3://bucket/clusters/one/"),
    ];
    for (which, fault, words) in cases {
        let faults = Faults::start(which, fault, usize::MAX)?;
        let output = site.command(&faults.url(), &backup).output()?;
        ensure!(output.status.code() == Some(1) && said(&output).contains(words), "{words}: {output:?}");
        ensure!(faults.count() > 0, "{words}: nothing went wrong");
        site.nothing_is_left().context(words)?;
    }
    // What passes is tried again, and a slow server is waited for.
    for fault in [Fault::Answer(503, broken), Fault::Cut, Fault::Slow(Duration::from_secs(2))] {
        for which in [part as Which, get] {
            let faults = Faults::start(which, fault, 1)?;
            let output = site.command(&faults.url(), &backup).output()?;
            ensure!(output.status.success() && faults.count() == 1, "{fault:?}: {output:?}");
            site.scratch_is_empty()?;
        }
    }
    Ok(())
}

#[test]
fn a_backup_that_was_made_is_told_when_older_ones_cannot_be_removed() -> Result<()> {
    let site = Site::new(10, false)?;
    let older = site.command(&format!("http://{SERVER}"), &format!("backup etcd --dir {BUCKET}")).output()?;
    ensure!(older.status.success(), "{older:?}");
    site.etcd.client.put("/registry/new", b"x")?;
    let denied = "<Error><Code>AccessDenied</Code><Message>Not for you</Message></Error>";
    let delete = |_: &str, target: &str| target.contains("?delete");
    let faults = Faults::start(delete, Fault::Answer(403, denied), usize::MAX)?;
    let backup = format!("backup etcd --dir {BUCKET} --keep-last 1 --prometheus /srv/metrics -o json");
    let output = site.command(&faults.url(), &backup).output()?;
    ensure!(output.status.code() == Some(1) && faults.count() > 0, "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout)?;
    let file = made["file"].as_str().context("no file")?;
    ensure!(site.path("s3").join(file.trim_start_matches("s3://")).exists(), "{made}");
    for words in ["AccessDenied: Not for you", "The new backup is there and good", "rkadm backup prune"] {
        ensure!(said(&output).contains(words), "{words}: {output:?}");
    }
    ensure!(fs::read_to_string(site.path("root/srv/metrics"))?.contains("rkadm_backup_last_run_success 1\n"));
    Ok(())
}

#[test]
fn certificates_may_be_named_from_where_the_command_runs() -> Result<()> {
    let site = Site::new(10, false)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
    command.current_dir(site.path(PKI)).args(["backup", "etcd", "--dir", "../out"]);
    command.args(["--etcd-endpoints", &format!("http://{}", site.etcd.client.address)]);
    command.args(["--etcd-cacert", "ca.crt", "--etcd-cert", "healthcheck-client.crt"]);
    let output = command.args(["--etcd-key", "./healthcheck-client.key"]).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[test]
fn what_changes_or_ends_while_it_is_read_is_not_taken_for_a_backup() -> Result<()> {
    let site = Site::new(MUCH, false)?;
    let made =
        site.command(&format!("http://{SERVER}"), &format!("backup etcd --dir {BUCKET} --compression none"));
    let made = { made }.output()?;
    ensure!(made.status.success(), "{made:?}");
    let get = |method: &str, target: &str| method == "GET" && target.split('.').next_back() == Some("tar");
    for (fault, words) in [(Fault::Change, "is damaged"), (Fault::Cut, "cannot read")] {
        let faults = Faults::start(get, fault, usize::MAX)?;
        let mut command =
            site.command(&faults.url(), &format!("backup verify latest --dir {BUCKET} --scratch ."));
        let output = command.output()?;
        ensure!(output.status.code() == Some(1), "{fault:?}: {output:?}");
        ensure!(
            said(&output).contains(words) || said(&output).contains("is no backup"),
            "{fault:?}: {output:?}"
        );
        let left = fs::read_dir(site.dir.path())?
            .filter(|it| it.as_ref().is_ok_and(|it| it.file_name().to_string_lossy().starts_with(".rkadm")));
        ensure!(left.count() == 0, "something was left");
    }
    Ok(())
}

#[test]
fn standard_output_gets_the_archive_and_nothing_else() -> Result<()> {
    let site = Site::new(MUCH, true)?;
    for compression in ["zstd", "gzip"] {
        let output = site.rkadm(&format!("backup etcd --dir - --compression {compression} -o json"))?;
        ensure!(output.status.success(), "{}", said(&output));
        let report: Value = serde_json::from_str(&said(&output))?;
        ensure!(report["file"] == "-" && report["bytes"] == output.stdout.len(), "{report}");
        fs::write(site.path("streamed"), &output.stdout)?;
        let verified = site.json("backup verify streamed")?;
        ensure!(verified["opened"] == true && verified["revision"] == report["revision"], "{verified}");
        site.scratch_is_empty()?;
    }

    // A reader that goes away after the first bytes.
    let mut child = site
        .command("", "backup etcd --dir - --compression none")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut reader = child.stdout.take().context("no pipe")?;
    reader.read_exact(&mut [0; 100])?;
    drop(reader);
    let output = child.wait_with_output()?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(said(&output).contains("cannot write standard output: Broken pipe"), "{output:?}");
    ensure!(said(&output).contains("what it got of the archive is not complete"), "{output:?}");
    site.scratch_is_empty()?;

    // A full disk behind it, which no reader is there to see.
    let output = site.command("", "backup etcd --dir -").stdout(fs::File::create("/dev/full")?).output()?;
    ensure!(output.status.code() == Some(1) && said(&output).contains("No space left"), "{output:?}");
    site.scratch_is_empty()?;
    let output = site.rkadm("backup etcd --dir - --keep-last 3")?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    let output = site.rkadm("backup list --dir -")?;
    ensure!(output.status.code() == Some(2) && said(&output).contains("no backups to look at"), "{output:?}");
    Ok(())
}

/// With the commands of the book, and no rkadm.
#[test]
fn files_of_an_archive_are_taken_out_as_the_runbook_says() -> Result<()> {
    let site = Site::new(10, false)?;
    let key = age::x25519::Identity::generate();
    fs::write(site.path("keys"), format!("{}\n", key.to_public()))?;
    let file = |args: &str| -> Result<String> {
        let made = site.json(&format!("backup etcd --dir out {args}"))?;
        made["file"].as_str().map(str::to_owned).context("no file")
    };
    let (plain, sealed) = (file("")?, file("--recipients-file keys")?);
    // The program `age` is not on every machine; its format is decrypted the same.
    let opened = age::decrypt(&key, &fs::read(site.path(&sealed))?)?;
    fs::write(site.path("opened"), opened)?;
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/runbook.md");
    let book = fs::read_to_string(book)?;
    let (_, commands) = book.split_once("## Files from an archive").context("no such chapter")?;
    let commands = commands.split("```").nth(1).context("no commands")?;
    let prefix = "# age -d -i KEY FILE.age | ";
    let root = site.path("root");
    let mut unpacked = 0;
    for line in commands.lines().skip(1).filter(|line| !line.contains("rkadm")) {
        let line = line.replacen(prefix, "# cat opened | ", 1);
        let line =
            line.trim_start_matches("# ").replace("FILE", &plain).replace("/root/from-backup", "from-backup");
        let ran = Command::new("sh").args(["-ec", &line]).current_dir(site.dir.path()).output()?;
        ensure!(ran.status.success(), "{line}: {ran:?}");
        if line.contains("tar ") {
            let names = ["ca.crt", "ca.key", "sa.key", "etcd/ca.key", "etcd/server.key"];
            for name in names.map(|name| format!("etc/kubernetes/pki/{name}")) {
                let (was, is) = (root.join(&name), site.path("from-backup/files").join(&name));
                ensure!(fs::read(&was)? == fs::read(&is).context(line.clone())?, "{name}");
                let mode =
                    |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o7777) };
                ensure!(mode(&was)? == mode(&is)?, "{name}");
            }
            fs::remove_dir_all(site.path("from-backup/files"))?;
            unpacked += 1;
        }
    }
    ensure!(unpacked == 2, "the runbook says something else: {commands}");
    Ok(())
}
