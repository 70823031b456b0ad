//! A machine with a real etcd, a real server of S3, and `rkadm backup`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::data;
use crate::faults::SERVER;
use crate::net::{Net, outside};
use crate::server::{Etcd, Programs};

pub const PKI: &str = "root/etc/kubernetes/pki/etcd";
pub const BUCKET: &str = "s3://bucket/clusters/one";
/// In the bucket's directory.
pub const PREFIX: &str = "bucket/clusters/one";
/// What is larger than a part of an upload, in values of 2 KB.
pub const MUCH: u64 = 12_000;

/// A machine's files with a real etcd and a real S3 server, in a network of their own.
pub struct Site {
    pub dir: TempDir,
    pub etcd: Etcd,
    pub gateway: Gateway,
    _net: Net,
}

/// The server: it ends with its owner.
pub struct Gateway(pub Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// With so many values in etcd, and TLS by the authority of etcd or none.
    pub fn new(values: u64, tls: bool) -> Result<Self> {
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

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A command that finds etcd, and the S3 server at this endpoint.
    pub fn command(&self, endpoint: &str, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
        command.env_clear().current_dir(self.dir.path()).stdin(Stdio::null());
        command.args(args.split_whitespace()).args(["--rootfs", "root"]);
        if args.starts_with("backup etcd") {
            let file = |name: &str| format!("/etc/kubernetes/pki/etcd/{name}");
            if !args.contains("--etcd-endpoints") {
                command.args(["--etcd-endpoints", &format!("http://{}", self.etcd.client.address)]);
            }
            command.args(["--etcd-cacert", &file("ca.crt"), "--etcd-cert", &file("healthcheck-client.crt")]);
            command.args(["--etcd-key", &file("healthcheck-client.key")]);
        }
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test");
        command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_CA_BUNDLE", self.path(PKI).join("ca.crt"));
        command.env("AWS_ALLOW_HTTP", "true");
        command
    }

    pub fn rkadm(&self, args: &str) -> Result<Output> {
        Ok(self.command(&Gateway::url(), args).output()?)
    }

    /// It succeeds; what it says.
    pub fn succeeds(&self, args: &str) -> Result<String> {
        let output = self.rkadm(args)?;
        ensure!(output.status.success(), "{args}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    pub fn json(&self, args: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.succeeds(&format!("{args} -o json"))?)?)
    }

    /// The objects of the bucket, and uploads that were begun.
    pub fn objects(&self) -> Result<Vec<String>> {
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
    pub fn nothing_is_left(&self) -> Result<()> {
        let objects = self.objects()?;
        ensure!(objects.is_empty(), "left in the bucket: {objects:?}");
        self.scratch_is_empty()
    }

    pub fn scratch_is_empty(&self) -> Result<()> {
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

    pub fn url() -> String {
        format!("https://{SERVER}")
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// SIGTERM once it is that far ends it as it should.
pub fn ended(command: Command, is_there: impl Fn() -> bool) -> Result<Output> {
    let (output, asked) = signalled(command, Signal::TERM, is_there)?;
    ensure!(output.status.code() == Some(130), "{output:?}");
    ensure!(said(&output).contains("stopped by SIGTERM"), "{output:?}");
    ensure!(asked.elapsed() < Duration::from_secs(20), "it took {:?}", asked.elapsed());
    Ok(output)
}

/// SIGKILL once it is that far.
pub fn killed(command: Command, is_there: impl Fn() -> bool) -> Result<()> {
    let (output, _) = signalled(command, Signal::KILL, is_there)?;
    ensure!(output.status.code().is_none(), "{output:?}");
    Ok(())
}

/// What comes of a signal once it is that far, and when it was sent.
fn signalled(mut command: Command, signal: Signal, is_there: impl Fn() -> bool) -> Result<(Output, Instant)> {
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    // Of a pipe, the other end is the child's alone.
    drop(command);
    let began = Instant::now();
    while !is_there() {
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("it ended by itself: {status}: {}", said(&child.wait_with_output()?));
        }
        ensure!(began.elapsed() < Duration::from_mins(1), "it does not come to that");
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = Instant::now();
    kill_process(Pid::from_child(&child), signal)?;
    Ok((child.wait_with_output()?, asked))
}
