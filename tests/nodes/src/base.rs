//! The Debian tree under every node, and what this project lays over it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cache::{Cache, Key};
use crate::tools::{self, Minor};
use crate::{cmd, files, images, progress};

const SUITE: &str = "bookworm";

const PACKAGES: &[&str] = &[
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "dbus",
    "ebtables",
    "ethtool",
    "iproute2",
    "ipset",
    "iptables",
    "iputils-ping",
    "jq",
    "kmod",
    "mount",
    "nftables",
    "openssh-client",
    "openssh-server",
    "openssl",
    "procps",
    "runc",
    "socat",
    "systemd",
    "systemd-sysv",
];

/// Units that wait for hardware, or do housekeeping that a test machine does not live long enough for.
const MASKED: &[&str] = &[
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-logind.service",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "systemd-networkd.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-repart.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "systemd-update-utmp.service",
];

/// The directories below a node's own writable one, topmost first.
pub(crate) fn layers(cache: &Cache, minor: &Minor) -> Result<Vec<PathBuf>> {
    Ok(vec![programs(cache, minor)?, overlay(cache)?, debian(cache)?])
}

/// The Debian tree.
pub(crate) fn debian(cache: &Cache) -> Result<PathBuf> {
    let include = PACKAGES.join(",");
    cache.entry("debian", Key::default().with(SUITE).with(&include), |scratch| {
        progress::timed("installing the Debian tree of the nodes", || {
            let mut command = Command::new("debootstrap");
            command
                .args(["--variant=minbase", &format!("--include={include}"), SUITE])
                .arg(scratch)
                .args(mirror());
            cmd::run(&mut command)
        })?;
        // containerd is enabled by node, and every node makes its own host keys.
        files::remove_tree(&scratch.join("var/cache/apt/archives"))?;
        let keys = files::entries(&scratch.join("etc/ssh"))
            .into_iter()
            .filter(|path| path.to_string_lossy().contains("ssh_host_"));
        let unit = scratch.join("etc/systemd/system/multi-user.target.wants/containerd.service");
        for path in keys.chain([unit]) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    })
}

/// The mirror this machine itself installs from; none where its package sources are not Debian's.
fn mirror() -> Option<String> {
    let mut sources = files::entries(Path::new("/etc/apt/sources.list.d"));
    sources.insert(0, "/etc/apt/sources.list".into());
    let text: String =
        sources.iter().filter_map(|path| fs::read_to_string(path).ok()).collect::<Vec<_>>().join("\n");
    let lines = text.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    let mut urls = lines.flat_map(str::split_whitespace).filter(|word| word.contains("://"));
    urls.find(|url| url.trim_end_matches('/').ends_with("/debian")).map(str::to_owned)
}

/// The files of `rootfs/`, and the links that systemd wants.
fn overlay(cache: &Cache) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs");
    let found = files::walk(&source);
    let mut key = Key::default().with(MASKED.join(","));
    for path in &found {
        key = key.with(path.to_string_lossy().as_bytes()).with(files::read(&source.join(path))?);
    }
    cache.entry("overlay", key, |scratch| {
        for path in &found {
            let target = scratch.join(path);
            files::write(&target, files::read(&source.join(path))?)?;
            // A script is what begins like one; not every checkout keeps the mode.
            let mode = if files::read(&target)?.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
        let units = scratch.join("etc/systemd/system");
        for unit in MASKED {
            files::symlink("/dev/null", &units.join(unit))?;
        }
        files::symlink("/lib/systemd/system/multi-user.target", &units.join("default.target"))?;
        files::symlink(
            "/etc/systemd/system/test-node.service",
            &units.join("sysinit.target.wants/test-node.service"),
        )?;
        files::symlink(
            "/usr/lib/systemd/system/kubelet.service",
            &units.join("multi-user.target.wants/kubelet.service"),
        )?;
        files::symlink("/usr/lib/cni", &scratch.join("opt/cni/bin"))?;
        files::create_dir(&scratch.join("var/log/journal"))?;
        for dir in ["var/lib/containerd", "var/lib/kubelet", "etc/kubernetes", "etc/cni/net.d"] {
            files::create_dir(&scratch.join(dir))?;
        }
        Ok(())
    })
}

/// containerd's settings. The image of sandboxes is filled in.
const CONTAINERD: &str = include_str!("../containerd.toml");

/// kubelet, kubeadm and kubectl where the packages have them; etcdctl and etcdutl for the tests' own use; and containerd with the
/// sandboxes that the machine has an image of.
fn programs(cache: &Cache, minor: &Minor) -> Result<PathBuf> {
    let kubernetes = tools::kubernetes(cache, minor)?;
    // Asked for once: this is done for each node.
    let wanted = images::wanted(&kubernetes)?;
    let etcd = images::etcd(cache, &wanted)?;
    let containerd = CONTAINERD.replace("@pause@", images::pause(&wanted)?);
    let key = Key::default()
        .with(&containerd)
        .with(kubernetes.dir.to_string_lossy().as_bytes())
        .with(etcd.dir.to_string_lossy().as_bytes());
    cache.entry(&format!("programs-{minor}"), key, |scratch| {
        for (tools, dir, names) in [
            (&kubernetes, "usr/bin", ["kubelet", "kubeadm", "kubectl"].as_slice()),
            (&etcd, "usr/local/bin", &["etcdctl", "etcdutl"]),
        ] {
            files::create_dir(&scratch.join(dir))?;
            for name in names {
                let target = scratch.join(dir).join(name);
                fs::hard_link(tools.program(name), &target)
                    .with_context(|| format!("cannot link {}", target.display()))?;
            }
        }
        files::write(&scratch.join("etc/containerd/config.toml"), &containerd)
    })
}
