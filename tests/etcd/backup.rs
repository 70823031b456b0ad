//! `rkadm backup` of a real etcd to standard output and to a real server of S3, and to one with something wrong.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::data;
use crate::faults::{Fault, Faults, SERVER, Which};
use crate::net::{Net, outside};
use crate::server::{Etcd, Programs};

const PKI: &str = "root/etc/kubernetes/pki/etcd";
const BUCKET: &str = "s3://bucket/clusters/one";
/// In the bucket's directory.
const PREFIX: &str = "bucket/clusters/one";
/// What is larger than a part of an upload, in values of 2 KB.
const MUCH: u64 = 12_000;

/// A machine's files with a real etcd and a real S3 server, in a network of their own.
struct Site {
    dir: TempDir,
    etcd: Etcd,
    gateway: Gateway,
    _net: Net,
}

/// The server: it ends with its owner.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// With so many values in etcd, and TLS by the authority of etcd or none.
    fn new(values: u64, tls: bool) -> Result<Self> {
        let net = Net::enter()?;
        let dir = tempfile::tempdir()?;
        for path in ["root/srv", "s3/bucket"] {
            fs::create_dir_all(dir.path().join(path))?;
        }
        let etcd = Etcd::start(&Programs::of("3.6")?, &dir.path().join("data"), &[])?;
        data::put_many(&etcd.client, "/registry/pods/", 0, values, 2000)?;
        data::certificates(dir.path())?;
        let gateway = Gateway::start(dir.path(), tls)?;
        Ok(Self { dir, etcd, gateway, _net: net })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A command that finds etcd, and the S3 server at this endpoint.
    fn command(&self, endpoint: &str, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
        command.env_clear().current_dir(self.dir.path()).stdin(Stdio::null());
        command.args(args.split_whitespace()).args(["--rootfs", "root"]);
        if args.starts_with("backup etcd") {
            let file = |name: &str| format!("/etc/kubernetes/pki/etcd/{name}");
            command.args(["--etcd-endpoints", &format!("http://{}", self.etcd.client.address)]);
            command.args(["--etcd-cacert", &file("ca.crt"), "--etcd-cert", &file("healthcheck-client.crt")]);
            command.args(["--etcd-key", &file("healthcheck-client.key")]);
        }
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test");
        command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_CA_BUNDLE", self.path(PKI).join("ca.crt"));
        command.env("AWS_ALLOW_HTTP", "true");
        command
    }

    fn rkadm(&self, args: &str) -> Result<Output> {
        Ok(self.command(&Gateway::url(), args).output()?)
    }

    /// It succeeds; what it says.
    fn succeeds(&self, args: &str) -> Result<String> {
        let output = self.rkadm(args)?;
        ensure!(output.status.success(), "{args}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn json(&self, args: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.succeeds(&format!("{args} -o json"))?)?)
    }

    /// The objects of the bucket, and uploads that were begun.
    fn objects(&self) -> Result<Vec<String>> {
        let mut open = vec![self.path("s3/bucket")];
        let mut found = vec![];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(self.path("s3/bucket"))?.display().to_string());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Where what is not complete lies.
    fn nothing_is_left(&self) -> Result<()> {
        let objects = self.objects()?;
        ensure!(objects.is_empty(), "left in the bucket: {objects:?}");
        self.scratch_is_empty()
    }

    fn scratch_is_empty(&self) -> Result<()> {
        let scratch = self.path("root/var/lib/rkadm/backups");
        let names: Vec<_> =
            fs::read_dir(scratch)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
        ensure!(names == [".rkadm-backup-lock"], "left in the scratch directory: {names:?}");
        Ok(())
    }
}

impl Gateway {
    fn start(dir: &Path, tls: bool) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(outside(rkadm_nodes::versitygw)?);
        command.args(["--quiet", "--access", "test", "--secret", "secret-of-the-test"]);
        command.args(["--port", SERVER]);
        if tls {
            command.arg("--cert").arg(dir.join(PKI).join("server.crt"));
            command.arg("--key").arg(dir.join(PKI).join("server.key"));
        }
        command.arg("posix").arg(dir.join("s3"));
        let child = command.stdout(Stdio::null()).stderr(fs::File::create(dir.join("s3.log"))?).spawn()?;
        let gateway = Self(child);
        let started = Instant::now();
        while std::net::TcpStream::connect(SERVER).is_err() {
            ensure!(
                started.elapsed() < Duration::from_secs(30),
                "{}",
                fs::read_to_string(dir.join("s3.log"))?
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(gateway)
    }

    fn url() -> String {
        format!("https://{SERVER}")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

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
    let drilled = json(&drill("latest"))?;
    ensure!(drilled["file"] == newer && drilled["findings"]["keys"] == 51, "{drilled}");
    json(&drill(&older))?;
    let list = json(&format!("backup list --dir {BUCKET}"))?;
    ensure!(list["items"].as_array().is_some_and(|items| items.len() == 2), "a record is no backup: {list}");
    ensure!(list["items"][0]["drill"]["findings"] == drilled["findings"], "{list}");
    ensure!(list["items"][1]["drill"]["findings"]["keys"] == 50, "{list}");

    // Who may read and not write learns both.
    let of_record = |method: &str, target: &str| method == "PUT" && target.contains(".drill.json");
    let denied = "<Error><Code>AccessDenied</Code><Message>Not for you</Message></Error>";
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
    ensure!(String::from_utf8_lossy(&list.stdout).contains("FAILED 0s ago"), "{list:?}");

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
    let output = site.rkadm("backup etcd --dir - --compression zstd -o json")?;
    ensure!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_str(&said(&output))?;
    ensure!(report["file"] == "-" && report["bytes"] == output.stdout.len(), "{report}");
    fs::write(site.path("streamed.tar.zst"), &output.stdout)?;
    let verified = site.json("backup verify streamed.tar.zst")?;
    ensure!(verified["opened"] == true && verified["revision"] == report["revision"], "{verified}");
    site.scratch_is_empty()?;

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
