//! The machine itself.

use std::path::Path;

use rkadm_core::{host::Probe, manifest::Component, preflight::parse};
use serde_json::Value;

use super::{Found, error, warning};
use crate::init::cluster::Cluster;

/// kubeadm's minimum for a control plane.
const MIN_CPUS: usize = 2;
const MIN_MEMORY: u64 = 1700 << 20;
/// Room that manifests, keys and kubeconfigs need, many times over.
const MIN_CONFIG_BYTES: u64 = 1 << 20;

async fn read(host: &dyn Probe, path: &str) -> Vec<u8> {
    host.read(path.as_ref()).await.ok().flatten().unwrap_or_default()
}

pub fn user(host: &dyn Probe) -> Vec<Found> {
    if host.uid() == 0 {
        return vec![];
    }
    vec![error(
        "IsPrivilegedUser",
        "user is not running as root",
        "run the command as root, for example with sudo",
    )]
}

pub async fn resources(host: &dyn Probe) -> Vec<Found> {
    let mut found = vec![];
    let cpus = match parse::cpus_of_list(&read(host, "/sys/devices/system/cpu/online").await) {
        Some(cpus) => cpus,
        None => parse::cpus_of_cpuinfo(&read(host, "/proc/cpuinfo").await),
    };
    if cpus > 0 && cpus < MIN_CPUS {
        let message = format!("the number of available CPUs {cpus} is less than the required {MIN_CPUS}");
        found.push(error("NumCPU", message, "give the machine more processors"));
    }
    if let Some(memory) = parse::total_memory(&read(host, "/proc/meminfo").await)
        && memory < MIN_MEMORY
    {
        let message =
            format!("the system RAM ({} MB) is less than the minimum {} MB", memory >> 20, MIN_MEMORY >> 20);
        found.push(error("Mem", message, "give the machine more memory"));
    }
    found
}

pub async fn swap(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let fails_on_swap = cluster.config.kubelet.get("failSwapOn").and_then(Value::as_bool).unwrap_or(true);
    if !fails_on_swap || parse::swaps(&read(host, "/proc/swaps").await).is_empty() {
        return vec![];
    }
    let hint = "turn swap off, or set failSwapOn: false in the KubeletConfiguration";
    vec![error("Swap", "swap is on and the kubelet refuses to run with swap", hint)]
}

pub async fn forwarding(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let ipv6 = cluster.config.local_api_endpoint.advertise_address.contains(':');
    let path =
        if ipv6 { "/proc/sys/net/ipv6/conf/default/forwarding" } else { "/proc/sys/net/ipv4/ip_forward" };
    if parse::switch(&read(host, path).await) != Some(false) {
        return vec![];
    }
    let check = format!("FileContent-{}", path.replace('/', "-"));
    let setting = path.trim_start_matches("/proc/sys/").replace('/', ".");
    let hint = format!("sysctl -w {setting}=1, and keep it in /etc/sysctl.d");
    vec![error(check, format!("{path} contents are not set to 1"), &hint)]
}

pub async fn programs(host: &dyn Probe) -> Vec<Found> {
    let mut found = vec![];
    for (name, needed) in [
        ("ip", true),
        ("iptables", true),
        ("mount", true),
        ("losetup", true),
        ("ethtool", false),
        ("tc", false),
        ("touch", false),
    ] {
        if host.find_program(name).await.is_some() {
            continue;
        }
        let check = format!("FileExisting-{name}");
        let message = format!("{name} not found in system path");
        let hint = format!("install the package that holds {name}");
        found.push(if needed { error(check, message, &hint) } else { warning(check, message, &hint) });
    }
    found
}

pub async fn hostname(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let name = cluster.config.node_name();
    // getent asks as every program of this machine does: files, DNS and whatever nsswitch.conf names.
    match host.query(&["getent", "ahosts", name]).await {
        Ok(output) if output.success() => vec![],
        Ok(_) => {
            let message = format!("hostname \"{name}\" could not be reached: it does not resolve");
            vec![warning("Hostname", message, "add it to DNS or /etc/hosts")]
        }
        Err(_) => vec![],
    }
}

pub async fn firewall(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    match host.service("firewalld").await {
        Ok(state) if state.active == "active" => {
            let message = format!(
                "firewalld is active, please ensure ports [{} 10250] are open or your cluster may not function correctly",
                cluster.config.local_api_endpoint.bind_port
            );
            vec![warning("Firewalld", message, "open the ports, or stop firewalld")]
        }
        _ => vec![],
    }
}

/// Kubelets of 1.35 and newer refuse to start on cgroup v1 unless told otherwise.
pub async fn cgroups(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    if parse::cgroups(&read(host, "/proc/self/mounts").await) != Some(parse::Cgroups::V1) {
        return vec![];
    }
    let allowed = cluster.config.kubelet.get("failCgroupV1").and_then(Value::as_bool);
    let hint = "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or set failCgroupV1: false in the KubeletConfiguration";
    let message = "this machine uses cgroup v1, which is deprecated";
    if allowed == Some(false) || cluster.row().minor < 35 {
        return vec![warning("SystemVerification", message, hint)];
    }
    let message = format!("{message}, and the kubelet of this version refuses to run on it");
    vec![error("SystemVerification", message, hint)]
}

/// Files of another cluster are never overwritten.
pub async fn left_over(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut found = vec![];
    for component in Component::ALL {
        let path = Cluster::manifest(&component.file_name());
        if host.stat(&path).await.ok().flatten().is_some() {
            let path = path.display().to_string();
            let check = format!("FileAvailable-{}", path.replace('/', "-"));
            let hint = "this machine is part of a cluster already: `rkadm op list` and `kubectl get nodes` tell which; `kubeadm reset` clears it";
            found.push(error(check, format!("{path} already exists"), hint));
        }
    }
    if let Some(dir) = cluster.etcd_data_dir()
        && host.list(&dir).await.is_ok_and(|names| !names.is_empty())
    {
        let path = dir.display().to_string();
        let check = format!("DirAvailable-{}", path.replace('/', "-"));
        let hint =
            "it holds the data of an earlier cluster: move it away, or configure another etcd.local.dataDir";
        found.push(error(check, format!("{path} is not empty"), hint));
    }
    found
}

/// A full disk is better found before than in the middle.
pub async fn writable(host: &dyn Probe) -> Vec<Found> {
    let mut found = vec![];
    for dir in ["/etc/kubernetes", "/var/lib/kubelet", "/var/lib/rkadm"] {
        if let Some((bytes, inodes)) = host.free_space(Path::new(dir)).await
            && (bytes < MIN_CONFIG_BYTES || inodes == 0)
        {
            let message = format!("the file system of {dir} has {} kB and {inodes} inodes free", bytes >> 10);
            found.push(error("DiskSpace", message, "free some space"));
        }
    }
    found
}

/// An authority that is kept elsewhere cannot be uploaded; kubeadm refuses this before it begins, too.
pub async fn uploadable(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut found = vec![];
    for name in ["ca", "front-proxy-ca"] {
        let files = cluster.ca_files(name);
        let there = |path| async move { host.stat(path).await.ok().flatten().is_some() };
        if cluster.config.upload_certs
            && there(files.cert.as_path()).await
            && !there(files.key.as_path()).await
        {
            let message = format!("--upload-certs needs {}, which is not here", files.key.display());
            let hint = "leave --upload-certs out, and bring the certificates of other control planes by hand";
            found.push(error("UploadCerts", message, hint));
        }
    }
    found
}
