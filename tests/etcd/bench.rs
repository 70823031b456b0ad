//! rkadm beside etcdutl on the same snapshots: `make bench-etcd`. `BENCH_MB=100,1024` says how large they are.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_core::etcd::snapshot::{RestoreOptions, VerifyOptions, restore, verify};
use sha2::{Digest as _, Sha256};

use crate::data;
use crate::net::Net;
use crate::server::{Etcd, Programs, member};

/// Each is measured this often, one after the other; the best counts.
const ROUNDS: usize = 3;

/// A snapshot of about so many megabytes: objects of 2 KB, some updated and deleted, compacted but for the last of it.
fn snapshot(programs: &Programs, dir: &Path, megabytes: u64) -> Result<()> {
    let args = ["--quota-backend-bytes", "17179869184", "--snapshot-count", "100000"];
    let etcd = Etcd::start(programs, &dir.join("data"), &args)?;
    let objects = megabytes * 380;
    let revision = data::put_many(&etcd.client, "/registry/pods/", 0, objects, 2000)?;
    etcd.client.compact(revision, true)?;
    data::put_many(&etcd.client, "/registry/pods/", objects / 2, objects / 2 + objects / 10, 1900)?;
    etcd.client.delete("/registry/pods/0000")?;
    etcd.save(&dir.join("snapshot.db"), &[])?;
    let data = etcd.stop()?;
    Ok(std::fs::remove_dir_all(data)?)
}

fn best(mut action: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut times = vec![];
    for _ in 0..ROUNDS {
        let started = Instant::now();
        action()?;
        times.push(started.elapsed());
    }
    times.into_iter().min().context("no round")
}

/// The most memory that verification takes in a process of its own, in KiB.
fn memory(file: &Path) -> Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--ignored", "--nocapture", "--exact", "bench::verify_alone"]).env("BENCH_FILE", file);
    let out = String::from_utf8(command.output()?.stdout)?;
    let line = out.lines().find_map(|line| line.split_once("VmHWM:")).context("no VmHWM")?;
    Ok(line.1.trim().trim_end_matches(" kB").parse()?)
}

#[test]
#[ignore = "a part of the other one"]
#[expect(clippy::print_stdout, reason = "the result")]
fn verify_alone() -> Result<()> {
    if let Some(file) = std::env::var_os("BENCH_FILE") {
        verify(file.as_ref(), VerifyOptions::default())?;
        println!("{}", std::fs::read_to_string("/proc/self/status")?);
    }
    Ok(())
}

/// As a program would that only compares the hash at the end.
fn sha256(file: &Path) -> Result<()> {
    let (mut file, mut sha, mut chunk) = (std::fs::File::open(file)?, Sha256::new(), vec![0; 128 << 10]);
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
#[ignore = "takes minutes, and means something in a release build only"]
#[expect(clippy::print_stdout, reason = "the result")]
fn bench() -> Result<()> {
    let sizes = std::env::var("BENCH_MB").unwrap_or_else(|_| "100,1024".to_owned());
    let sizes = sizes.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    for line in ["3.6", "3.7"] {
        for megabytes in &sizes {
            let (_net, programs) = (Net::enter()?, Programs::of(line)?);
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            snapshot(&programs, dir.path(), *megabytes)?;
            let file = dir.path().join("snapshot.db");
            let copy = dir.path().join("copy.db");
            std::fs::copy(&file, &copy)?;
            let text = |path: &Path| path.to_str().map(str::to_owned).context("a name that is not text");

            let ours = best(|| Ok(verify(&file, VerifyOptions::default()).map(drop)?))?;
            let memory = memory(&file)?;
            let sha = best(|| sha256(&file))?;
            let status = best(|| programs.utl(&["snapshot", "status", &text(&copy)?]).map(drop))?;
            let hash = best(|| programs.utl(&["hashkv", &text(&copy)?]).map(drop))?;
            let size = file.metadata()?.len() / 1_000_000;
            println!("etcd {line}, {size} MB: verify {ours:.2?}, {} MiB of memory", memory / 1024);
            println!("  SHA-256 alone {sha:.2?}; etcdutl status {status:.2?}, hashkv {hash:.2?}");

            let target = dir.path().join("restored");
            let remove = || std::fs::remove_dir_all(&target);
            let options = RestoreOptions::new("m1", vec![member(1)]);
            let both = best(|| {
                let _ = remove();
                restore(&verify(&file, VerifyOptions::default())?, &target, &options)?;
                Ok(())
            })?;
            let verified = verify(&file, VerifyOptions::default())?;
            let alone = best(|| {
                let _ = remove();
                restore(&verified, &target, &options)?;
                Ok(())
            })?;
            let (path, name) = (text(&file)?, text(&target)?);
            let url = &member(1).peer_urls[0];
            let cluster = format!("m1={url}");
            let mut args = vec!["snapshot", "restore", &path, "--data-dir", &name, "--name", "m1"];
            args.extend(["--initial-cluster", &cluster, "--initial-advertise-peer-urls", url]);
            args.extend(["--bump-revision", "1000000000", "--mark-compacted"]);
            let theirs = best(|| {
                let _ = remove();
                programs.utl(&args).map(drop)
            })?;
            println!("  restore {alone:.2?}, verify and restore {both:.2?}; etcdutl {theirs:.2?}");
            ensure!(memory < 64 * 1024, "{memory} KiB are more than 64 MiB");
        }
    }
    Ok(())
}
