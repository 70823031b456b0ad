//! rkadm beside etcdctl and etcdutl on the same data: `make bench-etcd`. `BENCH_MB=100,1024,4096` says how large that is,
//! `BENCH_LINES=3.7` with which etcd.
//!
//! Everything is measured as a process of its own, in turn, so that what else the machine does meanwhile meets both.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_core::etcd::snapshot::{Report, RestoreError, RestoreOptions, restore_file};
use sha2::{Digest as _, Sha256};

use crate::data;
use crate::net::Net;
use crate::server::{Etcd, Programs, member};

/// Each is measured this often; the best counts.
const ROUNDS: usize = 3;
/// The most memory that a process of rkadm may take, however large the data is.
const MOST_MEMORY: u64 = 64 << 10;
const PKI: &str = "/etc/kubernetes/pki/etcd";

/// An etcd with a database of about so many megabytes: objects of 2 KB, some updated and deleted, compacted but for the
/// last of it.
fn filled(programs: &Programs, dir: &Path, megabytes: u64) -> Result<Etcd> {
    let args = ["--quota-backend-bytes", "17179869184", "--snapshot-count", "5000"];
    let etcd = Etcd::start(programs, &dir.join("data"), &args)?;
    let objects = megabytes * 380;
    let revision = data::put_objects(&etcd.client, "/registry/pods/", 0, objects, 2000)?;
    etcd.client.compact(revision, true)?;
    data::put_objects(&etcd.client, "/registry/pods/", objects / 2, objects / 2 + objects / 10, 1900)?;
    etcd.client.delete("/registry/pods/0000")?;
    Ok(etcd)
}

/// The best of several runs of a process.
#[derive(Debug, Clone, Copy)]
struct Measured {
    time: Duration,
    /// The most memory that any of them had, in KiB.
    memory: u64,
}

/// Runs a process that has to go well.
fn run(command: &mut Command) -> Result<Measured> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let ended = loop {
        // It only ever rises, so what is missed is what comes in the last moment.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        memory = peak.map_or(Ok(memory), str::parse)?;
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let time = began.elapsed();
    let mut said = String::new();
    child.stderr.take().context("no standard error")?.read_to_string(&mut said)?;
    ensure!(ended.success(), "{command:?}: {said}");
    Ok(Measured { time, memory })
}

/// Two in turn, with something done before each run.
fn beside<A, B>(mut ours: A, mut theirs: B) -> Result<(Measured, Measured)>
where
    A: FnMut() -> Result<Measured>,
    B: FnMut() -> Result<Measured>,
{
    let (mut a, mut b) = (ours()?, theirs()?);
    let better = |best: Measured, next: Measured| Measured {
        time: best.time.min(next.time),
        memory: best.memory.max(next.memory),
    };
    for _ in 1..ROUNDS {
        (a, b) = (better(a, ours()?), better(b, theirs()?));
    }
    Ok((a, b))
}

/// What has to be reached, and what was not.
#[derive(Default)]
struct Targets(Vec<String>);

impl Targets {
    #[expect(clippy::print_stdout, reason = "the result")]
    fn compare(&mut self, what: &str, ours: Measured, theirs: Duration, most: f64) {
        let ratio = ours.time.as_secs_f64() / theirs.as_secs_f64();
        let memory = ours.memory >> 10;
        let line = format!(
            "{what}: {:.2?}, {memory} MiB; beside {theirs:.2?}: {ratio:.2} of at most {most}",
            ours.time
        );
        println!("  {line}");
        if ratio > most || ours.memory > MOST_MEMORY {
            self.0.push(line);
        }
    }
}

struct Bench {
    dir: tempfile::TempDir,
    programs: Programs,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rkadm(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
        command.env_clear().current_dir(self.dir.path()).args(args).args(["--rootfs", "root"]);
        command
    }

    fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.programs.program(name));
        command.env_clear().current_dir(self.dir.path()).args(args);
        command
    }

    /// A backup of this kind, in place of the last one.
    fn backup(&self, etcd: &Etcd, args: &[&str]) -> Result<Measured> {
        let _ = fs::remove_dir_all(self.path("backups"));
        let url = format!("http://{}", etcd.client.address);
        let file = |name: &str| format!("{PKI}/{name}");
        let mut command = self.rkadm(&["backup", "etcd", "--dir", "backups"]);
        command.args(args).args(["--etcd-endpoints", &url, "--etcd-cacert", &file("ca.crt")]);
        command.args(["--etcd-cert", &file("healthcheck-client.crt")]);
        command.args(["--etcd-key", &file("healthcheck-client.key")]);
        run(&mut command)
    }

    fn backups(&self, etcd: &Etcd, targets: &mut Targets) -> Result<()> {
        let save = || {
            let _ = fs::remove_file(self.path("snapshot.db"));
            run(&mut self.program(
                "etcdctl",
                &["--endpoints", &etcd.client.address, "snapshot", "save", "snapshot.db"],
            ))
        };
        let (plain, theirs) = beside(|| self.backup(etcd, &["--compression", "none"]), save)?;
        targets.compare("backup, not compressed", plain, theirs.time, 1.0);
        let key = include_str!("../../src/core/backup/fixtures/id_ed25519.pub");
        fs::write(self.path("keys"), key)?;
        let args = ["--compression", "gzip", "--recipients-file", "keys"];
        let (sealed, theirs) = beside(|| self.backup(etcd, &args), save)?;
        targets.compare("backup, gzip and age", sealed, theirs.time, 1.5);
        fs::remove_dir_all(self.path("backups"))?;
        Ok(())
    }

    fn offline(&self, keys: u64, targets: &mut Targets) -> Result<()> {
        // etcdutl writes to what it looks at.
        fs::copy(self.path("snapshot.db"), self.path("copy.db"))?;
        let status = || {
            let status = run(&mut self.program("etcdutl", &["snapshot", "status", "copy.db"]))?;
            let began = Instant::now();
            sha256(&self.path("snapshot.db"))?;
            Ok(Measured { time: status.time + began.elapsed(), ..status })
        };
        let (ours, theirs) = beside(|| run(&mut self.rkadm(&["backup", "verify", "snapshot.db"])), status)?;
        targets.compare("verification", ours, theirs.time, 0.5);
        fs::remove_file(self.path("copy.db"))?;

        let me = member(1);
        let cluster = format!("{}={}", me.name, me.peer_urls[0]);
        let mut args =
            vec!["snapshot", "restore", "snapshot.db", "--data-dir", "restored", "--name", &me.name];
        args.extend(["--initial-cluster", &cluster, "--initial-advertise-peer-urls", &me.peer_urls[0]]);
        args.extend(["--bump-revision", "1000000000", "--mark-compacted"]);
        let anew = || drop(fs::remove_dir_all(self.path("restored")));
        let alone = || {
            anew();
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--ignored", "--exact", "bench::restore_alone"]).env("BENCH_DIR", self.dir.path());
            run(&mut command)
        };
        let theirs = || {
            anew();
            run(&mut self.program("etcdutl", &args))
        };
        let (ours, theirs) = beside(alone, theirs)?;
        targets.compare("restore with verification", ours, theirs.time, 0.5);
        // And it is what it was.
        alone()?;
        let etcd =
            Etcd::start(&self.programs, &self.path("restored"), &["--quota-backend-bytes", "17179869184"])?;
        ensure!(etcd.client.count()? == keys, "the restored data has other keys");
        Ok(fs::remove_dir_all(etcd.stop()?)?)
    }
}

#[test]
#[ignore = "a part of the other one"]
fn restore_alone() -> Result<()> {
    if let Some(dir) = std::env::var_os("BENCH_DIR").map(PathBuf::from) {
        let as_one = |_: &Report| Ok::<_, RestoreError>(RestoreOptions::new("m1", vec![member(1)]));
        restore_file(&dir.join("snapshot.db"), &dir.join("restored"), as_one)?;
    }
    Ok(())
}

/// As a program would that only compares the hash at the end.
fn sha256(file: &Path) -> Result<()> {
    let (mut file, mut sha, mut chunk) = (fs::File::open(file)?, Sha256::new(), vec![0; 128 << 10]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            len => sha.update(&chunk[..len]),
        }
    }
    std::hint::black_box(sha.finalize());
    Ok(())
}

#[test]
#[ignore = "takes many minutes, and means something in a release build only"]
#[expect(clippy::print_stdout, reason = "the result")]
fn bench() -> Result<()> {
    let listed = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let mut targets = Targets::default();
    for line in listed("BENCH_LINES", "3.6,3.7").split(',') {
        for megabytes in listed("BENCH_MB", "100,1024").split(',') {
            let (_net, programs) = (Net::enter()?, Programs::of(line)?);
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            let bench = Bench { dir, programs };
            data::certificates(bench.dir.path())?;
            let etcd = filled(&bench.programs, bench.dir.path(), megabytes.parse()?)?;
            let size = etcd.dir.join("member/snap/db").metadata()?.len() / 1_000_000;
            println!("etcd {line}, {size} MB:");
            bench.backups(&etcd, &mut targets)?;
            let keys = etcd.client.count()?;
            fs::remove_dir_all(etcd.stop()?)?;
            bench.offline(keys, &mut targets)?;
        }
    }
    ensure!(targets.0.is_empty(), "missed:\n  {}", targets.0.join("\n  "));
    Ok(())
}
