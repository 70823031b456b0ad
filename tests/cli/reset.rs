//! `reset` on a machine that is a directory: questions, refusals, files and the way back. Pods, etcd and network rules are
//! proved on real nodes.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio};

use insta::assert_snapshot;
use serde_json::Value;

use crate::machine::{Machine, Ran, is_root};

/// With the files of a node, and a service manager that knows no kubelet.
fn node() -> Machine {
    let machine = Machine::with_certificates();
    machine.phase("kubeconfig all").succeeds();
    machine.write("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n");
    machine.write("/var/lib/kubelet/pods/one/volume", "data");
    machine.write("/etc/kubernetes/mine", "mine");
    program(&machine, "systemctl", "echo LoadState=not-found; echo ActiveState=inactive");
    fs::remove_dir_all(machine.path("/var/lib/rkadm")).unwrap();
    machine
}

fn program(machine: &Machine, name: &str, script: &str) {
    let path = format!("/usr/bin/{name}");
    machine.write(&path, format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(machine.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
}

fn answered(machine: &Machine, args: &str, answer: &str) -> Ran {
    let mut command = machine.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    machine.ran(output)
}

#[test]
fn without_an_answer_nothing_is_done() {
    if !is_root() {
        return;
    }
    let machine = node();
    let before = machine.tree("/");
    assert_snapshot!(machine.rkadm("reset").report(), @r#"
exit 3
--- stderr
Error: `rkadm reset` removes the Kubernetes node on this machine, and nobody is there to confirm it
  Nothing was changed.
Hint: without a terminal: --force
Hint: what would be done: `rkadm reset --dry-run`
"#);
    assert_snapshot!(answered(&machine, "reset", "n\n").report(), @r#"
exit 1
--- stderr
Error: not confirmed
  Nothing was changed.
"#);
    assert_eq!(machine.tree("/"), before);
}

#[test]
fn a_runtime_that_does_not_answer_is_not_passed_over() {
    if !is_root() {
        return;
    }
    let machine = node();
    assert_snapshot!(answered(&machine, "reset", "y\n").report(), @r#"
exit 3
--- stderr
operation <ULID>
  preflight                              failed
Error: 1 preflight check failed
  [CRI] the container runtime cannot be asked for pods: no socket at $DIR/root/var/run/containerd/containerd.sock
    hint: start it first, or name another with --cri-socket; ignored, pods are left running
  Nothing was changed.
Hint: a check can be turned into a warning with --ignore-preflight-errors=NAME
"#);
    assert!(machine.path("/etc/kubernetes/admin.conf").exists());
    answered(&machine, "reset --ignore-preflight-errors CRI", "Y\n").succeeds();
    assert!(!machine.path("/etc/kubernetes/admin.conf").exists());
}

#[test]
fn what_goes_is_archived_and_comes_back() {
    if !is_root() {
        return;
    }
    let machine = node();
    let before = machine.tree("/etc/kubernetes");
    let plan = machine.rkadm("reset --dry-run --force");
    plan.succeeds();
    assert_eq!(machine.tree("/etc/kubernetes"), before);
    assert!(!machine.path("/var/lib/rkadm").exists(), "a dry run wrote to the disk");
    let ran = machine.rkadm("reset --force");
    ran.succeeds();
    let stdout =
        regex::Regex::new(r"\d{8}T\d{6}Z").unwrap().replace_all(&ran.stdout(), "<TIME>").into_owned();
    let id = machine.operations().pop().unwrap();
    assert_snapshot!(stdout.replace(&id, "<ULID>"), @r#"
This machine is no Kubernetes node any more.
What was removed is kept in /var/lib/rkadm/archives/<TIME>-reset.tar.gz (it holds keys: mode 0600).
To take it back: rkadm op rollback <ULID>
Not removed:
  configuration and state of CNI plugins: --remove-cni
  network interfaces of network plugins: --remove-interfaces
  the Node object, where the cluster goes on: kubectl delete node
  ~/.kube/config: --remove-kubeconfig
"#);
    assert_snapshot!(machine.listing("/etc/kubernetes"), @r#"
0755 /etc/kubernetes
0644 /etc/kubernetes/mine
0755 /etc/kubernetes/pki
"#);
    assert_eq!(machine.listing("/var/lib/kubelet"), "0755 /var/lib/kubelet\n");
    assert_snapshot!(machine.rkadm("reset --force").report(), @r#"
exit 0
--- stdout
Nothing to do: no Kubernetes node is on this machine.
"#);

    machine.rkadm(&format!("op rollback {id}")).succeeds();
    assert_eq!(machine.tree("/etc/kubernetes"), before);
    assert!(machine.path("/var/lib/kubelet/config.yaml").exists());
    assert!(!machine.path("/var/lib/kubelet/pods").exists(), "data of pods are not kept");
    assert_eq!(machine.listing("/var/lib/rkadm/archives"), "0700 /var/lib/rkadm/archives\n");
}

#[test]
fn nothing_kept_cannot_be_taken_back() {
    if !is_root() {
        return;
    }
    let machine = node();
    let ran = machine.rkadm("reset --force --no-archive -o json");
    ran.succeeds();
    let result: Value = serde_json::from_str(&ran.stdout()).unwrap();
    assert_eq!(result["reversible"], false);
    assert_eq!(result["archives"], serde_json::json!([]));
    let id = machine.operations().pop().unwrap();
    assert_snapshot!(machine.rkadm(&format!("op rollback {id}")).report(), @r#"
exit 1
--- stderr
Error: operation <ULID> is finished and cannot be taken back: nothing is kept of what is removed (--no-archive)
"#);
}

#[test]
fn settings_come_from_a_file_and_single_phases_are_run() {
    if !is_root() {
        return;
    }
    let machine = node();
    machine.write("/srv/pki/ca.crt", "other");
    machine.write("/etc/kubernetes/tmp/left", "left");
    let config = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ResetConfiguration\nforce: true\ncertificatesDir: /srv/pki\n\
                  cleanupTmpDir: true\n";
    machine.with_config("reset phase cleanup-node", config).succeeds();
    assert_eq!(machine.listing("/srv"), "0755 /srv\n0755 /srv/pki\n");
    assert_eq!(machine.listing("/etc/kubernetes/tmp"), "0755 /etc/kubernetes/tmp\n");
    assert!(machine.pki("ca.crt").exists(), "another directory was named");
}

#[test]
fn the_directory_of_the_certificates_is_the_one_that_the_control_plane_has() {
    if !is_root() {
        return;
    }
    let machine = node();
    machine.write("/srv/pki/ca.key", "key");
    machine.write(
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
        "{kind: Pod, spec: {containers: [{name: kube-apiserver, command: [kube-apiserver, --client-ca-file=/pki/ca.crt], \
         volumeMounts: [{name: pki, mountPath: /pki}]}], volumes: [{name: pki, hostPath: {path: /srv/pki}}]}}",
    );
    // Killed when the manifest that tells of it is gone already: the same command goes on.
    program(&machine, "iptables-nft-save", "kill -9 $PPID");
    assert!(!machine.command("reset --force").output().unwrap().status.success());
    assert!(!machine.path("/srv/pki/ca.key").exists());
    fs::remove_file(machine.path("/usr/bin/iptables-nft-save")).unwrap();
    let ran = machine.rkadm("reset --force");
    ran.succeeds();
    assert!(
        ran.stderr().contains("resumed") || ran.stderr().contains("before the interruption"),
        "{}",
        ran.stderr()
    );
    assert!(machine.pki("ca.crt").exists(), "it is of nobody");
}

#[test]
fn programs_are_out_of_reach_of_the_terminal_s_signals() {
    if !is_root() {
        return;
    }
    let machine = node();
    let groups = machine.path("/groups");
    let script = format!(
        "echo $$ $(cut -d' ' -f5 /proc/$$/stat) >> {}; echo LoadState=not-found; echo ActiveState=inactive",
        groups.display()
    );
    program(&machine, "systemctl", &script);
    machine.rkadm("reset --force --dry-run").succeeds();
    let told = fs::read_to_string(groups).unwrap();
    assert!(!told.is_empty());
    for line in told.lines() {
        let (own, group) = line.split_once(' ').unwrap();
        assert_eq!(own, group, "Ctrl-C would end it");
    }
}

#[test]
fn directories_of_everybody_are_never_emptied() {
    if !is_root() {
        return;
    }
    let machine = node();
    let before = machine.tree("/etc");
    assert_snapshot!(machine.rkadm("reset --force --cert-dir /etc/ssl/../ssl").report(), @r#"
exit 1
--- stderr
operation <ULID>
  preflight                              failed
Error: phase preflight: the contents of /etc/ssl/../ssl would be removed, which holds more than Kubernetes' files
  Nothing was changed on this machine.
Hint: name a directory of its own: certificatesDir (--cert-dir), or etcd's data directory in its manifest
"#);
    assert_snapshot!(machine.rkadm("reset --force --cert-dir pki").report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  --cert-dir: "pki" is not an absolute path
"#);
    assert_eq!(machine.tree("/etc"), before);
}

#[test]
fn mistakes_on_the_command_line() {
    let machine = Machine::new();
    assert_snapshot!(machine.rkadm("reset phase cleanup").report(), @r#"
exit 2
--- stderr
error: unrecognized subcommand 'cleanup'

  tip: some similar subcommands exist: 'cleanup-network', 'cleanup-node'

Usage: rkadm reset phase [OPTIONS] <COMMAND>

For more information, try '--help'.
"#);
    assert_snapshot!(machine.rkadm("reset --force --skip-phases cleanup-nodes --dry-run").report(), @r#"
exit 2
--- stderr
Error: reset has no phase "cleanup-nodes"
Hint: did you mean "cleanup-node"?
Hint: `rkadm reset --help` lists the phases
"#);
    assert_snapshot!(machine.with_config("reset --dry-run", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ResetConfiguration\nunmountFlags: [MNT_LAZY]\n").report(), @r#"
exit 4
--- stderr
Error: the configuration has 1 error
  test.yaml:3:16: unmountFlags[0]: "MNT_LAZY" is not one of MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW (did you mean `MNT_DETACH`?)
"#);
    assert!(machine.is_untouched());
}

#[test]
fn rules_of_others_stay() {
    if !is_root() {
        return;
    }
    let machine = node();
    let save = "*filter\n:INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\n-A INPUT -s 192.0.2.1/32 -j DROP\nCOMMIT\n";
    program(&machine, "iptables-save", &format!("test -e $0.done || cat <<'E'\n{save}E"));
    program(&machine, "iptables-restore", "cat > $0.input; touch ${0%-restore}-save.done");
    machine.rkadm("reset --force --skip-phases cleanup-node").succeeds();
    let input = fs::read_to_string(machine.path("/usr/bin/iptables-restore.input")).unwrap();
    assert_snapshot!(input, @r#"
*filter
:KUBE-FIREWALL - [0:0]
-D INPUT -j KUBE-FIREWALL
-X KUBE-FIREWALL
COMMIT
"#);
    assert_snapshot!(machine.rkadm("reset phase cleanup-network").report(), @r#"
exit 0
--- stdout
Nothing to do: no rule of Kubernetes is here.
"#);
}

/// A machine whose programs print this when they are asked, by the beginning of their arguments, and note what else they are told.
fn filters(machine: &Machine, answers: &[(&str, &str, &str)]) {
    for (name, asked, answer) in answers {
        let asks = format!("case \"$*\" in '{asked}'*) cat <<'E'\n{answer}\nE\nexit;; esac");
        program(machine, name, &format!("{asks}\necho \"${{0##*/}} $*\" >> ${{0%/*}}/told"));
    }
}

const LISTINGS: [(&str, &str, &str); 4] = [
    (
        "nft",
        "list tables",
        "table ip kube-proxy\ntable ip6 kube-proxy\ntable inet firewalld\ntable ip nat\ntable inet cni_hostport",
    ),
    ("ipset", "list -n", "KUBE-CLUSTER-IP\nblocklist\ncali40all-ipam-pools"),
    (
        "ipvsadm",
        "-Sn",
        "-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 10.0.0.1:6443 -m -w 1\n-A -u 192.0.2.1:53 -s wlc",
    ),
    (
        "ip",
        "-o",
        "5: kube-ipvs0    inet 10.96.0.1/32 scope global kube-ipvs0\n6: cni0: <UP> mtu 1450\n7: eth0: <UP> mtu 1500",
    ),
];

#[test]
fn tables_sets_and_virtual_services_of_others_stay() {
    if !is_root() {
        return;
    }
    let machine = node();
    filters(&machine, &LISTINGS);
    machine.rkadm("reset phase cleanup-network --dry-run").succeeds();
    assert!(!machine.path("/usr/bin/told").exists(), "a dry run took something away");
    machine.rkadm("reset phase cleanup-network").succeeds();
    let told = || fs::read_to_string(machine.path("/usr/bin/told")).unwrap();
    assert_snapshot!(told(), @r#"
nft delete table ip kube-proxy
nft delete table ip6 kube-proxy
ipvsadm -D -t 10.96.0.1:443
ipset destroy KUBE-CLUSTER-IP
ipset destroy cali40all-ipam-pools
"#);
    // Other container engines may use the CNI's, so they go only when that is asked for.
    fs::remove_file(machine.path("/usr/bin/told")).unwrap();
    machine.rkadm("reset phase cleanup-network --remove-cni --remove-interfaces").succeeds();
    let more = ["nft delete table inet cni_hostport", "ip link delete kube-ipvs0", "ip link delete cni0"];
    let all = told();
    assert!(more.iter().all(|line| all.lines().any(|it| it == *line)), "{all}");
    assert_eq!(all.lines().count(), 5 + more.len(), "{all}");
}

/// The kernel lets go of a set a moment after the rule that used it; one that somebody else uses stays, and the rest goes on.
#[test]
fn what_cannot_be_taken_away_stays_and_is_told() {
    if !is_root() {
        return;
    }
    let machine = node();
    filters(&machine, &LISTINGS);
    let script = |moment: &str| {
        format!(
            "case \"$*\" in 'list -n') echo KUBE-LATE; echo KUBE-USED; exit;; esac\n{moment}\n\
             echo 'Set cannot be destroyed: it is in use by a kernel component' >&2; exit 1"
        )
    };
    let late = "case \"$*\" in *LATE) test -e $0.once && exit 0; touch $0.once;; esac";
    program(&machine, "ipset", &script(late));
    let ran = machine.rkadm("reset phase cleanup-network --remove-interfaces");
    ran.succeeds();
    let warnings = ran.stderr().lines().filter(|line| line.contains("this stays")).count();
    assert_eq!(warnings, 1, "{}", ran.report());
    assert!(ran.stderr().contains("this stays: run `ipset destroy KUBE-USED`"), "{}", ran.report());
    assert!(ran.stderr().contains("in use by a kernel component"), "{}", ran.report());
    let told = fs::read_to_string(machine.path("/usr/bin/told")).unwrap();
    assert!(told.ends_with("ip link delete cni0\n"), "{told}");
}

/// What is in one of the two is not seen by the other.
#[test]
fn both_kinds_of_iptables_are_cleaned() {
    if !is_root() {
        return;
    }
    let machine = node();
    for (name, chain) in
        [("iptables-nft", "KUBE-NEW"), ("iptables-legacy", "KUBE-OLD"), ("iptables", "KUBE-X")]
    {
        let save = format!("*nat\n:{chain} - [0:0]\n-A POSTROUTING -j {chain}\nCOMMIT");
        program(&machine, &format!("{name}-save"), &format!("cat <<'E'\n{save}\nE"));
        program(&machine, &format!("{name}-restore"), "cat > $0.input");
    }
    machine.rkadm("reset phase cleanup-network").succeeds();
    let input = |name: &str| fs::read_to_string(machine.path(&format!("/usr/bin/{name}-restore.input"))).ok();
    assert!(input("iptables-nft").unwrap().contains("-X KUBE-NEW\n"));
    assert!(input("iptables-legacy").unwrap().contains("-X KUBE-OLD\n"));
    assert_eq!(input("iptables"), None, "it is one of the two");
}

/// kubeadm's users and their scripts know these.
#[test]
fn flags_are_kubeadms_and_a_few_more() {
    let help = Machine::new().rkadm("reset --help").stdout();
    let words = help.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let flags: Vec<_> = words
        .filter_map(|line| line.split_whitespace().take(2).find(|word| word.starts_with("--")))
        .map(|flag| flag.split(['=', '[']).next().unwrap_or(flag))
        .collect();
    assert_snapshot!(flags.join(" "), @r#"
--config --output --cert-dir --progress --cleanup-tmp-dir --verbose --cri-socket --dry-run --force --ignore-preflight-errors --kubeconfig --skip-phases --archive-dir --no-archive --remove-cni --remove-interfaces --delete-node --remove-kubeconfig --on-failure --help
"#);
}
