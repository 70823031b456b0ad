//! What this machine has to have, and how to get it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{cmd, files, progress};

/// Program, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("debootstrap", "debootstrap"),
    ("gcc", "gcc"),
    ("ip", "iproute2"),
    ("journalctl", "systemd"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("ssh", "openssh-client"),
    ("systemd-nspawn", "systemd-container"),
    ("tar", "tar"),
];

/// How many inotify instances a few kubelets and their systemd need; the kernel's default is 128.
const INOTIFY_INSTANCES: u32 = 8192;

/// Can this machine run nodes? The error says everything that is missing.
pub fn check() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "test nodes need root: they are containers with mounts and networks of their own"
    );
    let missing = missing();
    if !missing.is_empty() {
        let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
        bail!("this machine lacks {}; `nodes setup` installs what is missing", programs.join(", "));
    }
    Ok(())
}

fn missing() -> Vec<(&'static str, &'static str)> {
    PROGRAMS.iter().filter(|(program, _)| !on_path(program)).copied().collect()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

/// Installs what `check` misses. Go is only looked for: which one is installed is the developer's choice.
pub fn setup() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "installing packages needs root");
    let packages: BTreeSet<_> = missing().into_iter().map(|(_, package)| package).collect();
    if !packages.is_empty() {
        ensure!(on_path("apt-get"), "install these yourself, there is no apt-get here: {packages:?}");
        let apt = |args: &[&str]| {
            cmd::run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args))
        };
        progress::timed("installing packages", || {
            apt(&["update"])?;
            let mut install = vec!["install", "-y", "--no-install-recommends"];
            // gcc alone has no headers of the C library.
            install.extend(packages.iter().flat_map(|package| {
                if *package == "gcc" { vec!["gcc", "libc6-dev"] } else { vec![*package] }
            }));
            apt(&install)
        })?;
    }
    let go = cmd::call(&["go", "env", "GOVERSION"])
        .context("install Go 1.26 or newer: the test binaries are built with it")?;
    ensure!(
        go_is_enough(go.trim()),
        "Go 1.26 or newer is needed for the test binaries; this is {}",
        go.trim()
    );
    check()
}

fn go_is_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("go").split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(1), Some(26))
}

/// Kernel limits that are shared with the nodes. Only ever raised.
pub(crate) fn raise_limits() -> Result<()> {
    let path = Path::new("/proc/sys/fs/inotify/max_user_instances");
    let now: u32 = files::read(path)?.trim().parse().context("max_user_instances is not a number")?;
    if now < INOTIFY_INSTANCES {
        fs::write(path, INOTIFY_INSTANCES.to_string())
            .with_context(|| format!("cannot raise {}", path.display()))?;
        progress::say(&format!("raised fs.inotify.max_user_instances from {now} to {INOTIFY_INSTANCES}"));
    }
    // A node cannot load modules; where they are built in, or were loaded before, nothing happens.
    for module in ["overlay", "br_netfilter", "nf_conntrack", "veth", "bridge"] {
        let _ = Command::new("modprobe").args(["-q", module]).output();
    }
    Ok(())
}
