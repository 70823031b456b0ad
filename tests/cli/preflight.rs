//! Preflight checks, each made to speak, on a machine that is a directory with programs that are scripts.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use crate::machine::{CONFIG, Machine, PKI, Ran, is_root};

/// A program of the machine, as a script.
fn program(machine: &Machine, name: &str, script: &str) {
    let path = format!("/usr/bin/{name}");
    machine.write(&path, format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(machine.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Preflight with this configuration, with every error but those of the machine that the tests run on.
fn preflight(machine: &Machine, config: &str) -> Ran {
    machine.with_config("init phase preflight", config)
}

/// The line that a check is reported with.
fn line(ran: &Ran, check: &str) -> String {
    let stderr = ran.stderr();
    let found = stderr.lines().find(|line| line.contains(&format!("[{check}]")));
    found.unwrap_or_else(|| panic!("no {check} in {stderr}")).trim().to_owned()
}

#[test]
fn what_an_earlier_cluster_left() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write("/etc/cni/net.d/10-flannel.conflist", "{}");
    machine.write("/sys/class/net/cni0/mtu", "1450\n");
    machine.write("/sys/class/net/eth0/mtu", "1500\n");
    machine.write("/var/lib/etcd/member/snap/db", "");
    let ran = preflight(&machine, CONFIG);
    assert_eq!(
        line(&ran, "Leftovers"),
        "Warning: [Leftovers] an earlier cluster may have left: /etc/cni/net.d/10-flannel.conflist, network interface cni0 \
         (pods get addresses of the old network until its configuration and interfaces are removed; ignore this if they are meant to be there)"
    );
    assert_eq!(
        line(&ran, "DirAvailable--var-lib-etcd"),
        "[DirAvailable--var-lib-etcd] /var/lib/etcd is not empty"
    );
}

#[test]
fn names_that_do_not_resolve_and_a_clock_that_is_not_set() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    program(&machine, "getent", r#"test "$2" = cp1"#);
    program(&machine, "timedatectl", "echo no");
    let ran = preflight(&machine, &format!("{CONFIG}controlPlaneEndpoint: api.example.test:6443\n"));
    assert!(!ran.stderr().contains("[Hostname]"), "{}", ran.stderr());
    assert!(
        line(&ran, "EndpointDNS")
            .contains("the control plane endpoint \"api.example.test\" does not resolve"),
        "{}",
        ran.stderr()
    );
    assert!(line(&ran, "ClockSync").contains("is not synchronised"), "{}", ran.stderr());
    program(&machine, "getent", "exit 2");
    program(&machine, "timedatectl", "echo yes");
    let ran = preflight(&machine, &format!("{CONFIG}controlPlaneEndpoint: 192.0.2.9\n"));
    assert!(line(&ran, "Hostname").contains("\"cp1\" could not be reached"), "{}", ran.stderr());
    assert!(
        !ran.stderr().contains("[EndpointDNS]") && !ran.stderr().contains("[ClockSync]"),
        "{}",
        ran.stderr()
    );
}

#[test]
fn forwarding_is_needed_for_both_families_of_a_dual_stack_cluster() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write("/proc/sys/net/ipv4/ip_forward", "1\n");
    machine.write("/proc/sys/net/ipv6/conf/default/forwarding", "0\n");
    let dual = format!(
        "{CONFIG}networking: {{podSubnet: '10.244.0.0/16,fd00:10:244::/56', serviceSubnet: '10.96.0.0/16,fd00:10:96::/112'}}\n"
    );
    assert!(!preflight(&machine, CONFIG).stderr().contains("FileContent"));
    let ran = preflight(&machine, &dual);
    assert!(line(&ran, "FileContent--proc-sys-net-ipv6-conf-default-forwarding").contains("not set to 1"));
    fs::remove_dir_all(machine.path("/proc/sys/net/ipv6")).unwrap();
    let ran = preflight(&machine, &dual);
    assert!(line(&ran, "FileContent--proc-sys-net-ipv6-conf-default-forwarding").contains("does not exist"));
}

#[test]
fn a_link_that_is_too_narrow() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  wg0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
    machine.write("/proc/net/route", routes);
    machine.write("/sys/class/net/wg0/mtu", "1200\n");
    assert!(line(&preflight(&machine, CONFIG), "MTU").contains("the MTU of wg0 is 1200"));
    machine.write("/sys/class/net/wg0/mtu", "1420\n");
    assert!(!preflight(&machine, CONFIG).stderr().contains("[MTU]"));
}

#[test]
fn proxies_that_would_take_the_clusters_own_connections() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write_here("test.yaml", format!("{CONFIG}networking: {{podSubnet: 10.244.0.0/16}}\n"));
    let run = |no_proxy: &str| {
        let mut command = machine.command("init phase preflight --config test.yaml");
        machine.run(command.env("HTTPS_PROXY", "http://proxy.example.test:3128").env("NO_PROXY", no_proxy))
    };
    let ran = run("");
    assert!(
        line(&ran, "HTTPProxy")
            .contains("https://192.0.2.10:6443 go through the proxy http://proxy.example.test:3128")
    );
    assert_eq!(ran.stderr().matches("[HTTPProxyCIDR]").count(), 2, "{}", ran.stderr());
    let ran = run("192.0.2.0/24,10.0.0.0/8");
    assert!(!ran.stderr().contains("HTTPProxy"), "{}", ran.stderr());
}

#[test]
fn a_machine_that_is_too_small_or_swaps() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write("/sys/devices/system/cpu/online", "0\n");
    machine.write("/proc/meminfo", "MemTotal:        1740799 kB\nMemFree:         1000000 kB\n");
    let swaps = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2\tpartition\t1048572\t0\t-2\n";
    machine.write("/proc/swaps", swaps);
    let ran = preflight(&machine, CONFIG);
    ran.exits(3);
    for (check, message) in [
        ("NumCPU", "the number of available CPUs 1 is less than the required 2"),
        ("Mem", "the system RAM (1699 MB) is less than the minimum 1700 MB"),
        ("Swap", "swap is on and the kubelet refuses to run with swap"),
    ] {
        assert_eq!(line(&ran, check), format!("[{check}] {message}"));
    }
    // A kubelet that was told to live with it.
    let kubelet =
        "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailSwapOn: false\n";
    let tolerant = preflight(&machine, &format!("{CONFIG}{kubelet}")).stderr();
    assert!(tolerant.contains("[Mem]") && !tolerant.contains("[Swap]"), "{tolerant}");
    machine.write("/sys/devices/system/cpu/online", "0-1\n");
    machine.write("/proc/meminfo", "MemTotal:        1740800 kB\n");
    machine.write("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
    let stderr = preflight(&machine, CONFIG).stderr();
    for check in ["[NumCPU]", "[Mem]", "[Swap]"] {
        assert!(!stderr.contains(check), "{stderr}");
    }
}

#[test]
fn services_that_run_or_do_not_start_with_the_machine() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let units = |firewall: &str, kubelet: &str| {
        let unit = |state: &str| format!("printf '{}'", state.replace(' ', "\\n"));
        let script = format!(
            "case $2 in\nfirewalld) {} ;;\nkubelet) {} ;;\nesac",
            unit(&format!("LoadState=loaded ActiveState={firewall} NRestarts=0")),
            unit(kubelet)
        );
        program(&machine, "systemctl", &script);
        preflight(&machine, CONFIG)
    };
    let disabled = "LoadState=loaded ActiveState=inactive UnitFileState=disabled";
    let ran = units("active", disabled);
    assert_eq!(
        line(&ran, "Firewalld"),
        "Warning: [Firewalld] firewalld is active, please ensure ports [6443 10250] are open or your cluster may not function \
         correctly (open the ports, or stop firewalld)"
    );
    assert_eq!(
        line(&ran, "Service-Kubelet"),
        "Warning: [Service-Kubelet] kubelet service is not enabled, please run 'systemctl enable kubelet.service' \
         (systemctl enable kubelet.service)"
    );
    let stderr = units("inactive", &disabled.replace("disabled", "enabled")).stderr();
    assert!(!stderr.contains("[Firewalld]") && !stderr.contains("[Service-Kubelet]"), "{stderr}");
    let ran = units("inactive", "LoadState=not-found ActiveState=inactive");
    assert_eq!(line(&ran, "Service-Kubelet"), "[Service-Kubelet] kubelet service does not exist");
}

const EXTERNAL: &str = "etcd: {external: {endpoints: ['https://127.0.0.1:1'], caFile: /pki/ca.crt, certFile: /pki/client.crt, keyFile: /pki/client.key}}\n";

#[test]
fn an_external_etcd_without_its_files_or_that_does_not_answer() {
    if !is_root() {
        return;
    }
    let machine = Machine::with_certificates();
    let config = format!("{CONFIG}{EXTERNAL}");
    let ran = preflight(&machine, &config);
    let stderr = ran.exits(3).stderr();
    for file in ["ca.crt", "client.crt", "client.key"] {
        let wanted = format!("[ExternalEtcdClientCertificates] /pki/{file} doesn't exist");
        assert!(stderr.contains(&wanted), "{stderr}");
    }
    for (from, to) in [
        ("etcd/ca.crt", "ca.crt"),
        ("apiserver-etcd-client.crt", "client.crt"),
        ("apiserver.key", "client.key"),
    ] {
        machine.write(&format!("/pki/{to}"), fs::read(machine.path(PKI).join(from)).unwrap());
    }
    let ran = preflight(&machine, &config);
    assert!(
        line(&ran, "ExternalEtcdClientCertificates")
            .contains("/pki/client.key does not belong to /pki/client.crt")
    );
    machine.write("/pki/client.key", fs::read(machine.pki("apiserver-etcd-client.key")).unwrap());
    let ran = preflight(&machine, &config);
    assert!(
        line(&ran, "ExternalEtcdVersion").contains("etcd at https://127.0.0.1:1 does not answer"),
        "{}",
        ran.stderr()
    );
    fs::remove_file(machine.path("/pki/client.key")).unwrap();
    let told = preflight(&machine, &config).stderr();
    assert!(told.contains("/pki/client.key doesn't exist") && !told.contains("cannot be used"), "{told}");
    // One that asks for no client certificate: the authority is enough.
    let alone = config.replace(", certFile: /pki/client.crt, keyFile: /pki/client.key", "");
    assert_ne!(alone, config);
    let told = line(&preflight(&machine, &alone), "ExternalEtcdVersion");
    assert!(told.contains("etcd at https://127.0.0.1:1 does not answer"), "{told}");
    assert!(told.contains("refused"), "{told}");
}

#[test]
fn a_kubelet_that_does_not_tell_its_version() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    program(&machine, "kubelet", "echo whatever");
    let ran = preflight(&machine, CONFIG);
    assert!(
        line(&ran, "KubeletVersion").contains("`kubelet --version` says \"whatever\""),
        "{}",
        ran.stderr()
    );
    program(&machine, "kubelet", "echo Kubernetes v1.20.0");
    let ran = preflight(&machine, CONFIG);
    assert!(line(&ran, "KubeletVersion").contains("1.20.0"), "{}", ran.stderr());
}

#[test]
fn the_report_of_a_run_that_passed() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.write("/etc/cni/net.d/old.conf", "{}");
    let ran =
        machine.rkadm("init phase preflight --config cluster.yaml --ignore-preflight-errors=all -o json");
    let report: Value = serde_json::from_str(&ran.succeeds().stdout()).unwrap();
    assert_eq!(report["kind"], "PreflightReport");
    let named = |check: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|finding| finding["check"] == check)
            .unwrap_or_else(|| panic!("{check} in {report}"))
            .clone()
    };
    assert_eq!(named("CRI")["ignored"], true);
    assert_eq!(named("Leftovers")["ignored"], false);
    assert!(named("Leftovers")["hint"].as_str().unwrap().contains("old network"));
    let ran = machine.rkadm("init phase preflight --config cluster.yaml --ignore-preflight-errors=all");
    assert!(
        ran.succeeds().stdout().contains("No check speaks against a control plane here"),
        "{}",
        ran.stdout()
    );
}

#[test]
fn a_kernel_without_a_controller_that_the_kubelet_needs() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    program(&machine, "kubelet", "echo Kubernetes v1.37.2");
    machine.write("/proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
    machine.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
    let ran = preflight(&machine, CONFIG);
    assert_eq!(line(&ran, "SystemVerification"), "[SystemVerification] missing required cgroups: memory");
    machine.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    assert!(!preflight(&machine, CONFIG).stderr().contains("[SystemVerification]"));
    machine.write("/proc/self/mounts", "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n");
    let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t2\t1\t1\ncpu\t3\t1\t1\n\
                 devices\t3\t1\t1\nfreezer\t3\t1\t1\nmemory\t0\t1\t0\npids\t3\t1\t1\n";
    machine.write("/proc/cgroups", table);
    let ran = preflight(&machine, CONFIG);
    assert_eq!(line(&ran, "SystemVerification"), "[SystemVerification] missing required cgroups: memory");
    assert!(ran.stderr().contains("this machine uses cgroup v1"), "{}", ran.stderr());
}
