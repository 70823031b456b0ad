//! The machine itself.

use futures::future::join_all;
use rkadm_core::{host::Probe, manifest::Component, preflight::parse};
use serde_json::Value;

use super::{Found, error, warning};
use crate::init::Cluster;

/// kubeadm's minimum for a control plane.
const MIN_CPUS: usize = 2;
const MIN_MEMORY: u64 = 1700 << 20;

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

/// Both families where the cluster has both.
pub async fn forwarding(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let networking = &cluster.config.cluster.networking;
    let subnets = || networking.service_subnet.split(',').chain(networking.pod_subnet.split(','));
    let address = cluster.config.local_api_endpoint.advertise_address.as_str();
    let ipv6 = address.contains(':') || subnets().any(|subnet| subnet.contains(':'));
    let ipv4 = !address.contains(':') || subnets().any(|subnet| subnet.contains('.'));
    let mut found = vec![];
    for (wanted, path) in
        [(ipv4, "/proc/sys/net/ipv4/ip_forward"), (ipv6, "/proc/sys/net/ipv6/conf/default/forwarding")]
    {
        if !wanted {
            continue;
        }
        let check = format!("FileContent-{}", path.replace('/', "-"));
        let setting = path.trim_start_matches("/proc/sys/").replace('/', ".");
        let content = host.read(path.as_ref()).await.ok().flatten();
        match content.as_deref().map(parse::switch) {
            Some(Some(false)) => {
                let hint = format!("sysctl -w {setting}=1, and keep it in /etc/sysctl.d");
                found.push(error(check, format!("{path} contents are not set to 1"), &hint));
            }
            // A kernel without IPv6, for example. Only where /proc is there at all can that be said.
            None if host.stat("/proc/sys/net".as_ref()).await.ok().flatten().is_some() => {
                let hint = "the kernel lacks this protocol: choose subnets of the other family";
                found.push(error(check, format!("{path} does not exist"), hint));
            }
            _ => {}
        }
    }
    found
}

/// Programs that the kubelet runs. Those for networks are in kube-proxy's image and the network plugin's.
pub async fn programs(host: &dyn Probe) -> Vec<Found> {
    let looks = ["losetup", "mount", "cp"].map(|name| async move {
        if host.find_program(name).await.is_some() {
            return None;
        }
        let check = format!("FileExisting-{name}");
        let hint = format!("install the package that holds {name}");
        Some(error(check, format!("{name} not found in system path"), &hint))
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// The node's name, and that of the endpoint that all of the cluster will use.
pub async fn names(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let (hostname, endpoint) = futures::future::join(hostname(host, cluster), endpoint(host, cluster)).await;
    hostname.into_iter().chain(endpoint).collect()
}

async fn endpoint(host: &dyn Probe, cluster: &Cluster) -> Option<Found> {
    let endpoint = cluster.config.cluster.control_plane_endpoint.as_str();
    let name =
        endpoint.rsplit_once(':').filter(|(name, _)| !name.contains(':')).map_or(endpoint, |(name, _)| name);
    if name.is_empty() || name.contains(':') || name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let output = host.query(&["getent", "ahosts", name]).await.ok()?;
    (!output.success()).then(|| {
        let message = format!("the control plane endpoint \"{name}\" does not resolve on this machine");
        let hint = "kube-proxy, kubectl and other nodes use this name: add it to DNS, or to /etc/hosts on every machine";
        warning("EndpointDNS", message, hint)
    })
}

async fn hostname(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
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

/// What the kubelet cannot do without, by cgroup version.
const CONTROLLERS_V1: [&str; 6] = ["cpu", "cpuset", "devices", "freezer", "memory", "pids"];
const CONTROLLERS_V2: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// The version of cgroups, and the controllers that the kernel offers.
pub async fn cgroups(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    match parse::cgroups(&read(host, "/proc/self/mounts").await) {
        Some(parse::Cgroups::V1) => {
            let offered = parse::cgroup_controllers_v1(&read(host, "/proc/cgroups").await);
            let mut found = missing_controllers(&CONTROLLERS_V1, &offered);
            found.push(cgroup_v1(cluster));
            found
        }
        Some(parse::Cgroups::V2) => {
            let file = read(host, "/sys/fs/cgroup/cgroup.controllers").await;
            let file = String::from_utf8_lossy(&file);
            let offered: Vec<_> = file.split_whitespace().map(str::to_owned).collect();
            missing_controllers(&CONTROLLERS_V2, &offered)
        }
        _ => vec![],
    }
}

fn missing_controllers(wanted: &[&str], offered: &[String]) -> Vec<Found> {
    // Nothing at all means that the list could not be read.
    let missing: Vec<_> =
        wanted.iter().filter(|name| !offered.iter().any(|offered| offered == *name)).copied().collect();
    if missing.is_empty() || offered.is_empty() {
        return vec![];
    }
    let message = format!("missing required cgroups: {}", missing.join(", "));
    let hint = "boot with a kernel that has them, or without cgroup_disable= on its command line";
    vec![error("SystemVerification", message, hint)]
}

/// Kubelets of 1.35 and newer refuse to start on cgroup v1 unless told otherwise.
fn cgroup_v1(cluster: &Cluster) -> Found {
    let allowed = cluster.config.kubelet.get("failCgroupV1").and_then(Value::as_bool);
    let hint = "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or set failCgroupV1: false in the KubeletConfiguration";
    let message = "this machine uses cgroup v1, which is deprecated";
    if allowed == Some(false) || cluster.row().minor < 35 {
        return warning("SystemVerification", message, hint);
    }
    let message = format!("{message}, and the kubelet of this version refuses to run on it");
    error("SystemVerification", message, hint)
}

/// Files of another cluster are never overwritten.
pub async fn left_over(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut found = vec![];
    for component in Component::ALL {
        let path = Cluster::manifest(&component.file_name());
        if host.stat(&path).await.ok().flatten().is_some() {
            let path = path.display().to_string();
            let check = format!("FileAvailable-{}", path.replace('/', "-"));
            let hint = "this machine is part of a cluster already: `rkadm op list` and `kubectl get nodes` tell which; to start anew, clear it first with `rkadm reset`";
            found.push(error(check, format!("{path} already exists"), hint));
        }
    }
    if let Some(dir) = cluster.etcd_data_dir() {
        let path = dir.display().to_string();
        let check = format!("DirAvailable-{}", path.replace('/', "-"));
        let hint =
            "it holds the data of an earlier cluster: move it away, or configure another etcd.local.dataDir";
        match host.list(&dir).await {
            Ok(names) if names.is_empty() => {}
            Ok(_) => found.push(error(check, format!("{path} is not empty"), hint)),
            Err(fault) => found.push(error(check, fault.to_string(), hint)),
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

/// Certificates begin now, and etcd members watch each other's clocks.
pub async fn clock(host: &dyn Probe) -> Vec<Found> {
    let asked = host.query(&["timedatectl", "show", "--property=NTPSynchronized", "--value"]).await;
    // Where nobody can tell, nothing is said.
    match asked {
        Ok(output) if output.success() && output.stdout.trim() == "no" => {
            let message = "the clock of this machine is not synchronised";
            let hint = "run chrony or systemd-timesyncd: certificates are not accepted where clocks differ by minutes";
            vec![warning("ClockSync", message, hint)]
        }
        _ => vec![],
    }
}

/// Interfaces that pod networks and kube-proxy make, and that outlive them.
const POD_NETWORKS: [&str; 8] = [
    "cni0",
    "flannel.1",
    "flannel-v6.1",
    "vxlan.calico",
    "cilium_host",
    "kube-ipvs0",
    "kube-bridge",
    "weave",
];

/// What an earlier cluster left, and what would come in the way of a new one.
pub async fn earlier_cluster(host: &dyn Probe) -> Vec<Found> {
    let mut left = vec![];
    let configured = host.list("/etc/cni/net.d".as_ref()).await.unwrap_or_default();
    left.extend(
        configured
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .map(|name| format!("/etc/cni/net.d/{name}")),
    );
    for name in host.list("/sys/class/net".as_ref()).await.unwrap_or_default() {
        if POD_NETWORKS.contains(&name.as_str()) {
            left.push(format!("network interface {name}"));
        }
    }
    let client = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    if host.stat(client.as_ref()).await.ok().flatten().is_some() {
        left.push(client.to_owned());
    }
    if left.is_empty() {
        return vec![];
    }
    let message = format!("an earlier cluster may have left: {}", left.join(", "));
    let hint = "pods get addresses of the old network until its configuration and interfaces are removed; ignore this if they are meant to be there";
    vec![warning("Leftovers", message, hint)]
}
