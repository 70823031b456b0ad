//! Real etcd processes and their command-line tools.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rkadm_core::etcd::snapshot::{HashKv, NewMember};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::client::{Client, number};
use crate::net::outside;

const PATIENCE: Duration = Duration::from_mins(1);

/// The programs of one line of etcd, such as 3.6.
#[derive(Debug, Clone)]
pub struct Programs {
    pub line: String,
    dir: PathBuf,
}

impl Programs {
    pub fn of(line: &str) -> Result<Self> {
        Ok(Self { line: line.to_owned(), dir: outside(|| rkadm_nodes::etcd_programs(line))? })
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs etcdutl.
    pub fn utl(&self, args: &[&str]) -> Result<String> {
        run(Command::new(self.dir.join("etcdutl")).args(args))
    }

    /// What etcdutl says about a database; that of 3.5 cannot. It writes to the file, so it gets a copy.
    pub fn hash_kv(&self, file: &Path, revision: i64) -> Result<Option<HashKv>> {
        if self.line == "3.5" {
            return Ok(None);
        }
        let copy = file.with_extension("copy");
        std::fs::copy(file, &copy)?;
        let copy_name = copy.to_str().context("a name that is not text")?;
        let answer = self.utl(&["hashkv", copy_name, "--rev", &revision.to_string(), "-w", "json"])?;
        std::fs::remove_file(&copy)?;
        let answer: Value = serde_json::from_str(&answer)?;
        Ok(Some(HashKv {
            hash: u32::try_from(number(&answer["hash"]))?,
            revision: number(&answer["hashRevision"]),
            compact_revision: number(&answer["compactRevision"]),
        }))
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    Ok(out.into_owned())
}

/// Member `n` of a test's cluster, from 1. Each has an address of its own.
#[must_use]
pub fn member(n: u8) -> NewMember {
    NewMember { name: format!("m{n}"), peer_urls: vec![format!("http://127.0.0.{n}:2380")] }
}

/// `--initial-cluster` for these members.
#[must_use]
pub fn cluster(members: &[NewMember]) -> String {
    let urls = members.iter().flat_map(|it| it.peer_urls.iter().map(move |url| format!("{}={url}", it.name)));
    urls.collect::<Vec<_>>().join(",")
}

/// A running etcd.
pub struct Etcd {
    child: Child,
    pub programs: Programs,
    pub client: Client,
    /// Its data directory.
    pub dir: PathBuf,
}

impl Etcd {
    /// Starts a member on the data directory `dir`, which it makes if it is not there, without waiting.
    pub fn spawn(
        programs: &Programs,
        dir: &Path,
        n: u8,
        members: &[NewMember],
        args: &[&str],
    ) -> Result<Self> {
        let me = member(n);
        let url = format!("http://127.0.0.{n}:2379");
        // The kernel kills it when this thread ends: no test leaves a process behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(programs.dir.join("etcd"));
        command.arg("--data-dir").arg(dir).args(["--name", &me.name, "--initial-cluster", &cluster(members)]);
        command.args([
            "--listen-peer-urls",
            &me.peer_urls[0],
            "--initial-advertise-peer-urls",
            &me.peer_urls[0],
        ]);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        // What is being tested is not whether the disk is fast.
        command.args(["--unsafe-no-fsync", "--log-level", "warn"]).args(args);
        // etcd then checks what it keeps true of its own data, and ends when it is not.
        command.env("ETCD_VERIFY", "all");
        let log = std::fs::File::create(dir.with_extension("log"))?;
        let child = command.stdout(Stdio::null()).stderr(log).spawn()?;
        let client = Client { address: format!("127.0.0.{n}:2379") };
        Ok(Self { child, programs: programs.clone(), client, dir: dir.to_owned() })
    }

    /// Waits until it takes requests, which needs a quorum.
    pub fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.client.is_healthy() {
            if self.child.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.dir.with_extension("log"))?;
                bail!("etcd {} does not start on {}:\n{log}", self.programs.line, self.dir.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A cluster of one.
    pub fn start(programs: &Programs, dir: &Path, args: &[&str]) -> Result<Self> {
        let mut etcd = Self::spawn(programs, dir, 1, &[member(1)], args)?;
        etcd.wait()?;
        Ok(etcd)
    }

    fn etcdctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.programs.dir.join("etcdctl"));
        command.args(["--endpoints", &self.client.address]).args(args).env_clear();
        command
    }

    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        run(&mut self.etcdctl(args))
    }

    /// What etcdctl says when it is expected to fail.
    pub fn ctl_fails(&self, args: &[&str]) -> Result<String> {
        let output = self.etcdctl(args).output()?;
        ensure!(!output.status.success(), "etcdctl {args:?} did not fail");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub fn json(&self, args: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.ctl(&[args, &["-w", "json"]].concat())?)?)
    }

    /// The HashKV call; revision 0 is the last one.
    pub fn hash_kv(&self, revision: i64, more: &[&str]) -> Result<HashKv> {
        let text = revision.to_string();
        let answer = self.json(&[&["endpoint", "hashkv", "--rev", &text], more].concat())?;
        let answer = &answer[0]["HashKV"];
        // etcd 3.5 does not say at which revision.
        let at = if revision > 0 { revision } else { number(&answer["header"]["revision"]) };
        Ok(HashKv {
            hash: u32::try_from(number(&answer["hash"]))?,
            revision: answer.get("hash_revision").map_or(at, number),
            compact_revision: number(&answer["compact_revision"]),
        })
    }

    pub fn save(&self, file: &Path, more: &[&str]) -> Result<()> {
        let file = file.to_str().context("a name that is not text")?;
        self.ctl(&[&["snapshot", "save", file], more].concat()).map(drop)
    }

    /// The names, peer URLs and ids of members.
    pub fn members(&self) -> Result<Vec<(String, String, u64)>> {
        let answer = self.json(&["member", "list"])?;
        let members = answer["members"].as_array().context("no members")?;
        let member = |it: &Value| {
            let name = it["name"].as_str().unwrap_or_default().to_owned();
            let url = it["peerURLs"][0].as_str().unwrap_or_default().to_owned();
            (name, url, it["ID"].as_u64().unwrap_or_default())
        };
        let mut members: Vec<_> = members.iter().map(member).collect();
        members.sort();
        Ok(members)
    }

    pub fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Stops it as an operator does, and gives its data directory.
    pub fn stop(mut self) -> Result<PathBuf> {
        rustix::process::kill_process(self.pid().context("no process")?, Signal::TERM)?;
        self.child.wait()?;
        Ok(self.dir.clone())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
