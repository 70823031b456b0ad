//! What a failed test leaves for whoever looks into it: one folder, with everything from every node.

use std::fs;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{Lab, Node, cmd, files, progress};

/// File name, and the script whose output goes there.
const REPORTS: &[(&str, &str)] = &[
    ("kubelet.log", "journalctl --no-pager -u kubelet"),
    ("containerd.log", "journalctl --no-pager -u containerd"),
    ("journal.log", "journalctl --no-pager --lines 20000"),
    ("units.txt", "systemctl list-units --no-pager --all; systemctl status --no-pager kubelet containerd"),
    ("processes.txt", "ps -eo pid,ppid,lstart,rss,stat,args --forest"),
    ("mounts.txt", "findmnt; df -h"),
    ("network.txt", "ip addr; ip route; ss -tnlp"),
    ("iptables.txt", "iptables-save"),
    ("containers.txt", "ctr -n k8s.io containers list; ctr -n k8s.io tasks list; ctr -n k8s.io images list"),
    ("files.txt", "ls -laR /etc/kubernetes /var/lib/rkadm /var/lib/kubelet/pki /var/lib/etcd"),
    (
        "cluster.txt",
        "export KUBECONFIG=/etc/kubernetes/admin.conf; test -e $KUBECONFIG || exit 0; \
         timeout 20 kubectl get nodes,pods -A -o wide; timeout 20 kubectl get events -A --sort-by=.lastTimestamp",
    ),
];

const DIRECTORIES: &[&str] = &[
    "/etc/kubernetes/manifests",
    "/var/lib/rkadm",
    "/var/log/pods",
    "/var/lib/kubelet/config.yaml",
    "/var/log/rkadm-under-test.log",
];

/// Runs a test in a lab of its own. When it fails, evidence of all nodes is collected in one folder and the
/// test panics with its error; in every case the lab is cleared away.
pub fn run(name: &str, test: impl FnOnce(&Lab) -> Result<()>) {
    let start = Instant::now();
    let lab = Lab::new(name).unwrap_or_else(|error| panic!("{name}: no lab: {error:#}"));
    let outcome = catch_unwind(AssertUnwindSafe(|| test(&lab)));
    if !matches!(outcome, Ok(Ok(()))) {
        match lab.collect_evidence() {
            Ok(dir) => progress::say(&format!("{name} failed; evidence of its nodes: {}", dir.display())),
            Err(error) => {
                progress::say(&format!("{name} failed, and so did collecting the evidence: {error:#}"));
            }
        }
    }
    let closed = lab.close();
    match outcome {
        Ok(Ok(())) => {
            closed.unwrap_or_else(|error| panic!("{name}: the lab cannot be cleared away: {error:#}"));
            // Not through the macros, whose output of a test that went well nobody sees.
            let _ = writeln!(io::stderr(), "nodes: {name}: {:.0} s", start.elapsed().as_secs_f64());
        }
        Ok(Err(error)) => panic!("{name}: {error:?}"),
        Err(panic) => resume_unwind(panic),
    }
}

impl Lab {
    /// Collects the evidence of all nodes into one new folder below `$RKADM_TEST_EVIDENCE`, else below
    /// `target/`.
    pub fn collect_evidence(&self) -> Result<PathBuf> {
        let chosen = std::env::var_os("RKADM_TEST_EVIDENCE").map(PathBuf::from);
        let base =
            chosen.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/evidence"));
        let dir = base.join(self.id());
        // One node that cannot be looked into does not keep the others away.
        let collected: Vec<_> =
            self.nodes().iter().map(|node| node.collect_evidence(&dir.join(node.name()))).collect();
        collected.into_iter().collect::<Result<()>>()?;
        Ok(dir.canonicalize().unwrap_or(dir))
    }
}

impl Node {
    /// Journals, manifests, container logs, processes. Of a node that is off, what its disk holds.
    pub fn collect_evidence(&self, dir: &Path) -> Result<()> {
        files::create_dir(dir)?;
        // A part that cannot be had is noted, and does not keep the others away.
        let mut missing = Vec::new();
        let mut note = |part: &str, result: Result<()>| {
            if let Err(error) = result {
                missing.push(format!("{part}: {error:#}"));
            }
        };
        note("console.log", copy(&self.dir().join("console.log"), &dir.join("console.log")));
        if self.running() {
            for (file, script) in REPORTS {
                note(
                    file,
                    self.sh(script)
                        .and_then(|output| files::write(&dir.join(file), output.stdout + &output.stderr)),
                );
            }
        } else {
            let journal = self.dir().join("root/var/log/journal").to_string_lossy().into_owned();
            let text = cmd::call(&["journalctl", "--no-pager", "--directory", &journal]);
            note("journal.log", text.and_then(|text| files::write(&dir.join("journal.log"), text)));
        }
        for path in DIRECTORIES {
            let target = dir.join(path.trim_start_matches('/').replace('/', "-"));
            if self.running() {
                if self.exec(&["test", "-e", path])?.success() {
                    note(path, self.copy_out(path, &target));
                }
            } else {
                note(path, copy(&self.on_disk(path), &target));
            }
        }
        if !missing.is_empty() {
            files::write(&dir.join("missing.txt"), missing.join("\n"))?;
        }
        Ok(())
    }

    /// Where a file of the node is on this machine while the node is off.
    fn on_disk(&self, path: &str) -> PathBuf {
        match path.strip_prefix("/var/lib/kubelet/") {
            Some(rest) => self.dir().join("kubelet").join(rest),
            None => self.dir().join("root").join(path.trim_start_matches('/')),
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if fs::symlink_metadata(from).is_err() {
        return Ok(());
    }
    cmd::call(&["cp", "-a", "--", &from.to_string_lossy(), &to.to_string_lossy()])
        .context("cannot copy")
        .map(drop)
}
