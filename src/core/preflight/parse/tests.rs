use super::*;

#[test]
fn swap_is_listed_in_bytes() {
    assert!(swaps(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n").is_empty());
    let content = b"Filename Type Size Used Priority\n/swap\\040file file 2097148 0 -2\n/dev/zram0 partition 1024 7 100\n";
    let areas = swaps(content);
    assert_eq!(areas[0], Swap { device: "/swap file".to_owned(), size: 2_147_479_552 });
    assert_eq!(areas[1].device, "/dev/zram0");
}

#[test]
fn memory_and_cpus_are_counted() {
    assert_eq!(total_memory(b"MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16_777_216));
    assert_eq!(total_memory(b"MemFree: 1 kB\n"), None);
    assert_eq!(
        cpus_of_cpuinfo(b"processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\nmodel name\t: processor\n"),
        2
    );
    assert_eq!(cpus_of_list(b"0-3,8,10-11\n"), Some(7));
    assert_eq!(cpus_of_list(b"0\n"), Some(1));
    assert_eq!(cpus_of_list(b"3-1\n"), None);
    assert_eq!(cpus_of_list(b"\n"), None);
}

#[test]
fn only_listening_sockets_count() {
    let content = b"  sl  local_address rem_address   st tx_queue rx_queue\n\
         0: 0100007F:2818 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n\
         1: 0100007F:2818 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1\n\
         2: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1\n";
    let found = listeners(content);
    assert_eq!(
        found,
        [
            Listener { address: Ipv4Addr::LOCALHOST.into(), port: 10264 },
            Listener { address: Ipv4Addr::UNSPECIFIED.into(), port: 6443 },
        ]
    );
    let content = b"  sl  local_address remote_address st\n\
         0: 00000000000000000000000001000000:192B 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4\n";
    assert_eq!(listeners(content), [Listener { address: Ipv6Addr::LOCALHOST.into(), port: 6443 }]);
}

#[test]
fn switches_are_numbers() {
    assert_eq!(switch(b"1\n"), Some(true));
    assert_eq!(switch(b"0\n"), Some(false));
    assert_eq!(switch(b""), None);
}

#[test]
fn lowest_metric_wins_among_ipv4_default_routes() {
    let content = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
        eth0\t00000000\t0102000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        dead0\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
    let route = default_route_v4(content).unwrap();
    assert_eq!(route.interface, "eth0");
    assert_eq!(route.gateway, Some(Ipv4Addr::new(10, 0, 2, 1).into()));
    assert_eq!(default_route_v4(b"Iface\tDestination\n"), None);
}

#[test]
fn ipv6_default_route_is_not_the_one_on_lo() {
    let none = b"00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
    assert_eq!(default_route_v6(none), None);
    let content = b"00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0\n";
    let route = default_route_v6(content).unwrap();
    assert_eq!((route.interface.as_str(), route.metric), ("eth0", 1024));
    assert_eq!(route.gateway, Some("fe80::1".parse().unwrap()));
}

#[test]
fn modules_are_named_alike_loaded_or_built_in() {
    let loaded = loaded_modules(b"br_netfilter 32768 0 - Live 0x0\noverlay 151552 1 - Live 0x0\n");
    assert!(loaded.contains("br_netfilter") && loaded.contains("overlay"));
    let builtin = builtin_modules(b"kernel/net/bridge/br_netfilter.ko\nkernel/drivers/nvme/nvme-core.ko\n");
    assert!(builtin.contains("br_netfilter") && builtin.contains("nvme_core"));
}

#[test]
fn unit_states_are_words() {
    assert_eq!(is_active(b"active\n"), Active::Active);
    assert_eq!(is_active(b"activating\n"), Active::Activating);
    assert_eq!(is_active(b"inactive\n"), Active::Inactive);
    assert_eq!(is_active(b""), Active::Unknown);
    assert_eq!(is_enabled(b"enabled\n"), Enabled::Enabled);
    assert_eq!(is_enabled(b"masked\n"), Enabled::Masked);
    assert_eq!(is_enabled(b"not-found\n"), Enabled::Missing);
    assert_eq!(is_enabled(b""), Enabled::Missing);
}

#[test]
fn kubelet_version_skips_warnings() {
    assert_eq!(kubelet_version(b"Kubernetes v1.37.0\n"), Some(Version::new(1, 37, 0)));
    let version = kubelet_version(b"W0101 flag is deprecated\nKubernetes v1.37.0-rc.1+k3s1\n").unwrap();
    assert_eq!((version.minor, version.pre.as_str()), (37, "rc.1"));
    assert_eq!(kubelet_version(b"v1.37.0\n"), None);
}

#[test]
fn mounts_below_come_newest_first_and_without_the_directory() {
    let content = b"/dev/sda1 / ext4 rw 0 0\n\
        /dev/sdb1 /var/lib/kubelet ext4 rw 0 0\n\
        tmpfs /var/lib/kubelet/pods/a/volumes/x tmpfs rw 0 0\n\
        tmpfs /var/lib/kubelet/pods/a/volumes/x/my\\040dir tmpfs ro,relatime 0 0\n\
        tmpfs /var/lib/kubelet-other tmpfs rw 0 0\n";
    let found = mounts_below(content, "/var/lib/kubelet/");
    let targets: Vec<_> = found.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/var/lib/kubelet/pods/a/volumes/x/my dir", "/var/lib/kubelet/pods/a/volumes/x"]);
    assert!(found[0].read_only && !found[1].read_only);
}

#[test]
fn hybrid_cgroups_count_as_version_1() {
    assert_eq!(cgroups(b"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"), Some(Cgroups::V2));
    let hybrid = b"tmpfs /sys/fs/cgroup tmpfs ro 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
        cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
    assert_eq!(cgroups(hybrid), Some(Cgroups::V1));
    assert_eq!(cgroups(b"proc /proc proc rw 0 0\n"), None);
}

#[test]
fn this_machine_parses() {
    let read = |path: &str| std::fs::read(path).unwrap_or_default();
    assert!(total_memory(&read("/proc/meminfo")).is_some_and(|bytes| bytes > 1 << 20));
    assert!(!mounts(&read("/proc/mounts")).is_empty());
}
