//! Reads what Linux, systemd and the kubelet print. Pure functions on bytes: reading them is the caller's.
//!
//! A line that does not look as the kernel writes it is skipped: a check must not fail on a line it does not need.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use semver::Version;

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// An area of swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Device or file.
    pub device: String,
    /// Bytes.
    pub size: u64,
}

/// The active swap areas, from `/proc/swaps`.
pub fn swaps(proc_swaps: &[u8]) -> Vec<Swap> {
    let area = |line: &str| {
        let mut fields = line.split_whitespace();
        let device = unescape(fields.next()?);
        let kibibytes: u64 = fields.nth(1)?.parse().ok()?;
        Some(Swap { device, size: kibibytes * 1024 })
    };
    text(proc_swaps).lines().skip(1).filter_map(area).collect()
}

/// The memory of the machine in bytes, from `/proc/meminfo`.
pub fn total_memory(proc_meminfo: &[u8]) -> Option<u64> {
    let content = text(proc_meminfo);
    let line = content.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The number of CPUs, from `/proc/cpuinfo`. 0 on architectures that name them otherwise, such as s390x: there,
/// use [`cpus_of_list`].
pub fn cpus_of_cpuinfo(proc_cpuinfo: &[u8]) -> usize {
    let is_cpu = |line: &&str| line.split(':').next().is_some_and(|key| key.trim_end() == "processor");
    text(proc_cpuinfo).lines().filter(is_cpu).count()
}

/// The number of CPUs in a list such as `0-3,8`, from `/sys/devices/system/cpu/online`.
pub fn cpus_of_list(sys_cpu_online: &[u8]) -> Option<usize> {
    let content = text(sys_cpu_online);
    let mut count = 0;
    for part in content.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count += last.checked_sub(first)? + 1;
    }
    Some(count)
}

/// A TCP port that a process listens at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The address; unspecified if all.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// The listening TCP sockets, from `/proc/net/tcp` or `/proc/net/tcp6`.
pub fn listeners(proc_net_tcp: &[u8]) -> Vec<Listener> {
    // TCP_LISTEN of the kernel's tcp_states.h.
    const LISTEN: &str = "0A";
    let listener = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        let state = fields.nth(1)?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == LISTEN).then_some(Listener { address: socket_address(address)?, port })
    };
    text(proc_net_tcp).lines().skip(1).filter_map(listener).collect()
}

/// An address as in `/proc/net/tcp`: 32-bit words, each printed as a number of this machine's byte order.
fn socket_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

/// A switch of `/proc/sys`, such as `net/ipv4/ip_forward`: 0 is off, other numbers are on.
pub fn switch(proc_sys: &[u8]) -> Option<bool> {
    text(proc_sys).trim().parse::<i64>().ok().map(|value| value != 0)
}

/// The controllers that are switched on, from `/proc/cgroups` (cgroup v1).
pub fn cgroup_controllers_v1(proc_cgroups: &[u8]) -> Vec<String> {
    let controller = |line: &str| {
        let mut fields = line.split_whitespace();
        let name = fields.next().filter(|name| !name.starts_with('#'))?;
        (fields.nth(2)? == "1").then(|| name.to_owned())
    };
    text(proc_cgroups).lines().filter_map(controller).collect()
}

/// A default route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultRoute {
    /// The interface it leaves by. Its address is the node's, unless told otherwise.
    pub interface: String,
    /// The router; `None` on point-to-point links.
    pub gateway: Option<IpAddr>,
    /// The kernel prefers the lowest.
    pub metric: u32,
}

// Flags of the kernel's route.h and ipv6_route.h.
const ROUTE_UP: u32 = 0x1;
const ROUTE_REJECT: u32 = 0x200;

fn usable(flags: u32) -> bool {
    flags & ROUTE_UP != 0 && flags & ROUTE_REJECT == 0
}

/// The preferred IPv4 default route, from `/proc/net/route`.
pub fn default_route_v4(proc_net_route: &[u8]) -> Option<DefaultRoute> {
    let route = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[interface, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else {
            return None;
        };
        let default = destination == "00000000" && mask == "00000000";
        let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        (default && usable(u32::from_str_radix(flags, 16).ok()?)).then_some(DefaultRoute {
            interface: interface.to_owned(),
            gateway: (!gateway.is_unspecified()).then_some(gateway.into()),
            metric: metric.parse().ok()?,
        })
    };
    text(proc_net_route).lines().skip(1).filter_map(route).min_by_key(|route| route.metric)
}

/// The preferred IPv6 default route, from `/proc/net/ipv6_route`, which has no heading and is in network order.
pub fn default_route_v6(proc_net_ipv6_route: &[u8]) -> Option<DefaultRoute> {
    let route = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[destination, length, _, _, gateway, metric, _, _, flags, interface] = fields.as_slice() else {
            return None;
        };
        // The kernel keeps an unreachable default on `lo` whether there is a route or not.
        let default = length == "00" && interface != "lo" && destination.bytes().all(|byte| byte == b'0');
        let gateway = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?);
        (default && usable(u32::from_str_radix(flags, 16).ok()?)).then_some(DefaultRoute {
            interface: interface.to_owned(),
            gateway: (!gateway.is_unspecified()).then_some(gateway.into()),
            metric: u32::from_str_radix(metric, 16).ok()?,
        })
    };
    text(proc_net_ipv6_route).lines().filter_map(route).min_by_key(|route| route.metric)
}

/// The loaded kernel modules, from `/proc/modules`. Those built into the kernel are not among them.
pub fn loaded_modules(proc_modules: &[u8]) -> BTreeSet<String> {
    text(proc_modules).lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The modules built into the kernel, from `/lib/modules/RELEASE/modules.builtin`, named as in `/proc/modules`.
pub fn builtin_modules(modules_builtin: &[u8]) -> BTreeSet<String> {
    let name = |line: &str| {
        let file = line.trim().rsplit('/').next()?;
        // File names may have `-` where module names have `_`.
        Some(file.strip_suffix(".ko")?.replace('-', "_"))
    };
    text(modules_builtin).lines().filter_map(name).collect()
}

/// What `systemctl is-active UNIT` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Active {
    /// Running.
    Active,
    /// Starting, or being reloaded or restarted: the kubelet without configuration is here most of the time.
    Activating,
    /// Stopping.
    Deactivating,
    /// Stopped; also printed for a unit that does not exist.
    Inactive,
    /// Ended with an error.
    Failed,
    /// Another word, or none.
    Unknown,
}

/// Reads the output of `systemctl is-active UNIT`. Its exit code is nonzero for all but `active`.
pub fn is_active(stdout: &[u8]) -> Active {
    match text(stdout).trim() {
        "active" => Active::Active,
        "activating" | "reloading" | "refreshing" => Active::Activating,
        "deactivating" => Active::Deactivating,
        "inactive" => Active::Inactive,
        "failed" => Active::Failed,
        _ => Active::Unknown,
    }
}

/// What `systemctl is-enabled UNIT` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// Starts at boot.
    Enabled,
    /// Starts only until the next boot.
    Runtime,
    /// Is started by others, or at boot whatever one does: `static`, `indirect`, `generated`, `alias`.
    NotApplicable,
    /// Does not start at boot.
    Disabled,
    /// Cannot be started.
    Masked,
    /// There is no such unit: systemd prints `not-found`, or nothing before version 253.
    Missing,
}

/// Reads the output of `systemctl is-enabled UNIT`.
pub fn is_enabled(stdout: &[u8]) -> Enabled {
    match text(stdout).trim() {
        "enabled" => Enabled::Enabled,
        "enabled-runtime" | "linked-runtime" => Enabled::Runtime,
        "static" | "indirect" | "generated" | "transient" | "alias" => Enabled::NotApplicable,
        "disabled" | "linked" => Enabled::Disabled,
        "masked" | "masked-runtime" => Enabled::Masked,
        _ => Enabled::Missing,
    }
}

/// Reads the output of `kubelet --version`, such as `Kubernetes v1.37.0`. Warnings before it are skipped.
pub fn kubelet_version(stdout: &[u8]) -> Option<Version> {
    let content = text(stdout);
    let version = content.lines().find_map(|line| line.trim().strip_prefix("Kubernetes v"))?;
    Version::parse(version.trim()).ok()
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Device, or a word such as `tmpfs`.
    pub source: String,
    /// Where it is mounted.
    pub target: String,
    /// Its type.
    pub fs_type: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// All mounts, in the order they were made, from `/proc/mounts`.
pub fn mounts(proc_mounts: &[u8]) -> Vec<Mount> {
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        Some(Mount {
            source: unescape(fields.next()?),
            target: unescape(fields.next()?),
            fs_type: fields.next()?.to_owned(),
            read_only: fields.next()?.split(',').any(|option| option == "ro"),
        })
    };
    text(proc_mounts).lines().filter_map(mount).collect()
}

/// The mounts below a directory, not at it, in the order in which they can be unmounted: newest first.
pub fn mounts_below(proc_mounts: &[u8], directory: &str) -> Vec<Mount> {
    let prefix = format!("{}/", directory.trim_end_matches('/'));
    let mut found = mounts(proc_mounts);
    found.retain(|mount| mount.target.len() > prefix.len() && mount.target.starts_with(&prefix));
    found.reverse();
    found
}

/// Space, tab, newline and backslash are `\ooo` in these files.
fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            out.push(char::from(code));
            rest = &after[3..];
        } else {
            out.push('\\');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Which cgroup hierarchy the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// Version 1, also in the hybrid layout, which the kubelet treats the same.
    V1,
    /// Version 2 alone.
    V2,
}

/// Which cgroup hierarchy is mounted, from `/proc/mounts`; `None` if there is none.
pub fn cgroups(proc_mounts: &[u8]) -> Option<Cgroups> {
    let mounts = mounts(proc_mounts);
    // A later mount hides an earlier one at the same place.
    let root = mounts.iter().rev().find(|mount| mount.target == "/sys/fs/cgroup");
    if root.is_some_and(|mount| mount.fs_type == "cgroup2") {
        return Some(Cgroups::V2);
    }
    mounts.iter().any(|mount| mount.fs_type == "cgroup").then_some(Cgroups::V1)
}

#[cfg(test)]
mod tests;
