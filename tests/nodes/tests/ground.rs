//! The ground itself: do machines boot, fail and vanish as the other tests need them to?
//! Only the machines: for a cluster on them see `cluster.rs`.

use std::fs;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Cache, Lab, Node, NodeSpec, run};

fn bare() -> NodeSpec {
    NodeSpec::new("1.37").without_images()
}

#[test]
fn two_nodes() {
    run("two nodes", |lab| {
        let start = Instant::now();
        let cp1 = lab.node("cp1", NodeSpec::new("1.37"))?;
        let cp2 = lab.node("cp2", bare().without_containerd())?;
        ensure!(start.elapsed() < Duration::from_mins(1), "two boots took {:?}", start.elapsed());

        commands(&cp1)?;
        files(lab, &cp1)?;
        containerd(&cp1, &cp2)?;
        ssh(lab, &cp1, &cp2)?;
        network(lab, &cp1, &cp2)?;
        power(&cp1)?;
        full_disk(&cp1)?;
        evidence(&cp1)
    });
}

fn commands(node: &Node) -> Result<()> {
    ensure!(node.sh_ok("hostname")?.trim() == node.name());
    ensure!(node.exec(&["kubeadm", "version", "-o", "short"])?.stdout.starts_with("v1.37."));
    ensure!(node.sh("exit 7")?.status == 7);
    let error = node.sh_ok("echo seen; echo heard >&2; false").expect_err("false succeeded").to_string();
    ensure!(error.contains("seen") && error.contains("heard"), "an error without the output: {error}");

    let mut child = node.spawn(&["cat"])?;
    drop(child.stdin.take());
    let mut echoed = String::new();
    child.stdout.take().context("no stdout")?.read_to_string(&mut echoed)?;
    ensure!(child.wait()?.success() && echoed.is_empty());
    Ok(())
}

fn files(lab: &Lab, node: &Node) -> Result<()> {
    node.write("/etc/made/secret", b"\0binary\xff", 0o600)?;
    ensure!(node.read("/etc/made/secret")? == b"\0binary\xff");
    ensure!(node.sh_ok("stat -c %a /etc/made/secret")?.trim() == "600");
    ensure!(node.read("/no/such/file").is_err());

    let scratch = std::env::temp_dir().join(lab.id());
    node.copy_out("/etc/made", &scratch)?;
    ensure!(fs::read(scratch.join("secret"))? == b"\0binary\xff");
    node.copy_in(&scratch, "/srv/tree")?;
    node.copy_in(&scratch.join("secret"), "/srv/file")?;
    fs::remove_dir_all(&scratch)?;
    node.sh_ok("cmp /srv/tree/secret /srv/file").map(drop)
}

fn containerd(with: &Node, without: &Node) -> Result<()> {
    let images = with.sh_ok("ctr -n k8s.io images ls -q")?;
    ensure!(images.contains("registry.k8s.io/kube-apiserver:v1.37."), "images are missing: {images}");
    ensure!(!without.sh("systemctl is-active containerd")?.success());
    // Its programs lie in a layer under the node: the node may replace them, and only its own.
    without.install_programs("1.37", &["kubeadm"])?;
    without.sh_ok("kubeadm version").map(drop)
}

fn ssh(lab: &Lab, a: &Node, b: &Node) -> Result<()> {
    let output = a.ssh("hostname; exit 3")?;
    ensure!(output.stdout.trim() == a.name() && output.status == 3, "{output:?}");
    ensure!(a.sh_ok("ssh -o BatchMode=yes cp2 hostname")?.trim() == b.name());
    let mut command = lab.command("ssh");
    let output = command.arg("-F").arg(lab.ssh_config()).args([b.name(), "hostname"]).output()?;
    ensure!(String::from_utf8_lossy(&output.stdout).trim() == b.name());
    Ok(())
}

fn network(lab: &Lab, a: &Node, b: &Node) -> Result<()> {
    let ping = |from: &Node, to: &Node| {
        from.sh(&format!("ping -c1 -W1 {}", to.name())).map(|output| output.success())
    };
    ensure!(ping(a, b)? && ping(b, a)?);
    lab.cut(a, b)?;
    ensure!(!ping(a, b)? && !ping(b, a)?);
    ensure!(a.ssh("true")?.success(), "a cut between nodes must not cut the lab off");
    lab.heal(a, b)?;
    ensure!(ping(a, b)? && ping(b, a)?);
    // An address of the documentation range, which is routed nowhere.
    ensure!(!a.sh("ping -c1 -W1 192.0.2.1")?.success(), "there is a way out of the lab");
    Ok(())
}

fn power(node: &Node) -> Result<()> {
    node.write("/var/lib/rkadm/mark", b"kept", 0o600)?;
    let before = node.sh_ok("cat /proc/sys/kernel/random/uuid > /run/mark; cat /etc/machine-id")?;
    // One that waits for process 1 must not see it end.
    node.write(
        "/run/systemd/system/slow.service",
        b"[Service]\nType=oneshot\nExecStart=sleep 1000\n",
        0o644,
    )?;
    node.sh_ok(
        "for i in $(seq 20); do \
           systemd-run -q sh -c 'systemctl start slow || echo $? > /var/lib/rkadm/seen'; \
         done; until [ $(pgrep -cf '^systemctl start slow') -ge 20 ]; do sleep 0.1; done",
    )?;
    // And one that was started from outside ends with the machine.
    let mut outside = node.spawn(&["sleep", "1000"])?;
    node.sh_ok("until [ $(pgrep -cx sleep) -ge 2 ]; do sleep 0.1; done")?;
    node.power_loss()?;
    ensure!(!outside.wait()?.success());
    ensure!(!node.running() && node.exec(&["true"]).is_err());
    node.boot()?;
    ensure!(node.sh("cat /var/lib/rkadm/seen")?.stdout.is_empty(), "somebody saw the power go");
    ensure!(node.read("/var/lib/rkadm/mark")? == b"kept");
    ensure!(node.sh_ok("test ! -e /run/mark; cat /etc/machine-id")? == before);
    node.sh_ok("ctr -n k8s.io images ls")?;
    node.stop()?;
    node.boot()?;
    ensure!(node.read("/var/lib/rkadm/mark")? == b"kept");
    ensure!(node.ssh("true")?.success());
    Ok(())
}

fn full_disk(node: &Node) -> Result<()> {
    node.write("/etc/kubernetes/before", b"here", 0o644)?;
    node.small_fs("/etc/kubernetes", 64 << 10)?;
    ensure!(node.read("/etc/kubernetes/before")? == b"here");
    let full = node.sh("head -c 200000 /dev/zero > /etc/kubernetes/big")?;
    ensure!(full.stderr.contains("No space left"), "{full:?}");
    node.remove_small_fs("/etc/kubernetes")?;
    node.sh_ok("head -c 200000 /dev/zero > /etc/kubernetes/big").map(drop)
}

fn evidence(node: &Node) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("evidence-{}", std::process::id()));
    node.collect_evidence(&dir)?;
    for file in ["kubelet.log", "containerd.log", "console.log", "processes.txt", "var-lib-rkadm/mark"] {
        ensure!(dir.join(file).exists(), "the evidence lacks {file}");
    }
    node.stop()?;
    let off = dir.join("off");
    node.collect_evidence(&off)?;
    ensure!(off.join("journal.log").exists() && off.join("var-lib-rkadm/mark").exists());
    fs::remove_dir_all(&dir)?;
    Ok(())
}

#[test]
fn failure_leaves_evidence() -> Result<()> {
    let mut id = String::new();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        run("failing", |lab| {
            lab.id().clone_into(&mut id);
            lab.node("cp1", bare())?.sh_ok("echo the reason >&2; false").map(drop)
        });
    }));
    let panic = failed.expect_err("a failing test passed");
    let message = panic.downcast_ref::<String>().context("no message")?;
    ensure!(message.contains("the reason"), "{message}");
    let left = traces(&id)?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    let base = std::env::var_os("RKADM_TEST_EVIDENCE").map(PathBuf::from);
    let base =
        base.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/evidence"));
    ensure!(base.join(&id).join("cp1/processes.txt").exists(), "no evidence in {}", base.display());
    fs::remove_dir_all(base.join(&id))?;
    Ok(())
}

#[test]
fn closing_leaves_nothing() -> Result<()> {
    let lab = Lab::new("closing")?;
    let id = lab.id().to_owned();
    let node = lab.node("cp1", bare())?;
    // A process, a mount and a cgroup of its own inside, as Kubernetes makes them.
    node.sh_ok("setsid sleep 1000 >/dev/null 2>&1 & mount -t tmpfs tmpfs /mnt")?;
    node.sh_ok("for tree in /sys/fs/cgroup/*/; do mkdir -p $tree/kubepods/pod1 || true; done")?;
    let leader = node.leader()?;
    ensure!(!traces(&id)?.is_empty(), "a living lab has no traces: the check below would see nothing");
    lab.close()?;
    let left = traces(&id)?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    // Of a process that has ended but was not waited for, this is empty.
    let line = fs::read(format!("/proc/{leader}/cmdline")).unwrap_or_default();
    ensure!(line.is_empty(), "process 1 of the node still runs");
    Ok(())
}

#[test]
fn a_lab_with_a_longer_name_is_another_lab() -> Result<()> {
    let name = format!("long-{}", std::process::id());
    let (short, long) = (Lab::persistent(&name)?, Lab::persistent(&format!("{name}-2"))?);
    let node = long.node("cp1", bare().without_containerd())?;
    short.close()?;
    node.sh_ok("systemctl is-system-running")?;
    long.close()
}

/// Everything on this machine that bears the lab's name.
fn traces(id: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    found.extend(mounts.lines().filter(|line| line.contains(id)).map(str::to_owned));
    let directories =
        ["/run/netns", "/run/systemd/nspawn/propagate", "/sys/fs/cgroup", "/sys/fs/cgroup/machine.slice"]
            .map(PathBuf::from);
    let hierarchies = fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path());
    let labs = Cache::open()?.root().join("labs");
    for dir in directories.into_iter().chain(hierarchies).chain([labs]) {
        let entries =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path().display().to_string());
        found.extend(entries.filter(|path| path.contains(id)));
    }
    for process in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        found.extend(line.contains(id).then_some(line));
    }
    Ok(found)
}

/// Not a test: what `killed_owner_is_reaped` starts in another process and kills.
#[test]
#[ignore = "the victim of another test"]
fn victim() -> Result<()> {
    let lab = Lab::new("victim")?;
    lab.node("cp1", bare())?;
    fs::write(std::env::var("VICTIM_READY")?, lab.id())?;
    std::thread::sleep(Duration::from_mins(10));
    Ok(())
}

#[test]
fn killed_owner_is_reaped() -> Result<()> {
    let ready = std::env::temp_dir().join(format!("victim-{}", std::process::id()));
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "victim"])
        .env("VICTIM_READY", &ready)
        .stdout(Stdio::null())
        .spawn()?;
    while !ready.exists() {
        ensure!(owner.try_wait()?.is_none(), "the owner ended before it was killed");
        std::thread::sleep(Duration::from_millis(50));
    }
    let id = fs::read_to_string(&ready)?;
    fs::remove_file(&ready)?;
    // While its owner lives, nobody takes it away.
    drop(Lab::new("bystander")?);
    ensure!(!traces(&id)?.is_empty(), "the lab of a living owner was taken away");
    owner.kill()?;
    owner.wait()?;
    ensure!(!traces(&id)?.is_empty());
    drop(Lab::new("successor")?);
    let left = traces(&id)?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}
