//! What can be typed, and what is said of what cannot.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use insta::assert_snapshot;

use crate::machine::{Machine, is_root};

#[test]
fn version_names_rkadm_and_the_kubernetes_versions_it_knows() {
    assert_snapshot!(Machine::new().rkadm("version").report(), @r#"
exit 0
--- stdout
rkadm 0.1.0
Kubernetes v1.34.4 v1.35.8 v1.36.4 v1.37.2
"#);
}

/// Scripts ask kubeadm so.
#[test]
fn version_as_scripts_ask_for_it() {
    let machine = Machine::new();
    assert_eq!(machine.rkadm("version -o short").succeeds().stdout(), "v1.37.2\n");
    assert_eq!(machine.rkadm("version -o text").stdout(), machine.rkadm("version").stdout());
    let version: serde_json::Value =
        serde_json::from_str(&machine.rkadm("version -o json").succeeds().stdout()).unwrap();
    let client = &version["clientVersion"];
    assert_eq!(
        (&client["gitVersion"], &client["major"], &client["minor"]),
        (&"v1.37.2".into(), &"1".into(), &"37".into())
    );
    let ran = machine.rkadm("op list -o short");
    ran.exits(2);
    assert!(ran.stderr().contains("`-o short` is there for `rkadm version` only"), "{}", ran.stderr());
}

#[test]
fn no_command_at_all_prints_help_as_a_mistake() {
    let ran = Machine::new().run(Command::new(env!("CARGO_BIN_EXE_rkadm")).env_clear());
    ran.exits(2);
    assert!(
        ran.stderr().starts_with("Bootstrap, grow, upgrade, back up and restore Kubernetes control planes")
    );
    assert_eq!(ran.stdout(), "");
}

#[test]
fn unknown_command() {
    assert_snapshot!(Machine::new().rkadm("inti").report(), @r#"
exit 2
--- stderr
error: unrecognized subcommand 'inti'

  tip: a similar subcommand exists: 'init'

Usage: rkadm [OPTIONS] <COMMAND>

For more information, try '--help'.
"#);
}

#[test]
fn unknown_flag() {
    assert_snapshot!(Machine::new().rkadm("init --pod-network-cdir 10.244.0.0/16").report(), @r#"
exit 2
--- stderr
error: unexpected argument '--pod-network-cdir' found

  tip: a similar argument exists: '--pod-network-cidr'

Usage: rkadm init --pod-network-cidr <CIDR>

For more information, try '--help'.
"#);
}

#[test]
fn flag_without_its_value() {
    assert_snapshot!(Machine::new().rkadm("init --apiserver-bind-port x").report(), @r#"
exit 2
--- stderr
error: invalid value 'x' for '--apiserver-bind-port <PORT>': invalid digit found in string

For more information, try '--help'.
"#);
}

#[test]
fn unknown_phase_as_subcommand() {
    assert_snapshot!(Machine::new().rkadm("init phase cert").report(), @r#"
exit 2
--- stderr
error: unrecognized subcommand 'cert'

  tip: a similar subcommand exists: 'certs'

Usage: rkadm init phase [OPTIONS] <COMMAND>

For more information, try '--help'.
"#);
    assert_snapshot!(Machine::new().rkadm("init phase certs etcd").report(), @r#"
exit 2
--- stderr
error: unrecognized subcommand 'etcd'

  tip: some similar subcommands exist: 'etcd-healthcheck-client', 'etcd-server', 'etcd-peer', 'etcd-ca'

Usage: rkadm init phase certs [OPTIONS] <COMMAND>

For more information, try '--help'.
"#);
}

#[test]
fn unknown_phase_to_skip() {
    assert_snapshot!(Machine::new().rkadm("init --config cluster.yaml --skip-phases certz --dry-run").report(), @r#"
exit 2
--- stderr
Error: init has no phase "certz"
Hint: did you mean "certs"?
Hint: `rkadm init --help` lists the phases
"#);
    assert_snapshot!(Machine::new().rkadm("init --config cluster.yaml --skip-phases foo,certs/apisrever --dry-run").report(), @r#"
exit 2
--- stderr
Error: init has no phase "foo"
Hint: `rkadm init --help` lists the phases
"#);
}

#[test]
fn machine_directory_that_is_not_there() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rkadm"));
    let machine = Machine::new();
    let ran = machine.run(command.env_clear().args(["op", "list", "--rootfs", "/no/such/directory"]));
    assert_snapshot!(ran.report(), @r#"
exit 2
--- stderr
error: invalid value '/no/such/directory' for '--rootfs <DIR>': No such file or directory (os error 2)

For more information, try '--help'.
"#);
}

/// The binary as another user: the directory it is built in may be closed to others.
fn as_nobody(machine: &Machine, args: &str) -> Command {
    let rkadm = machine.dir().join("rkadm");
    // By another process: a program that a forked child of this one still has open for writing cannot be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_rkadm")).arg(&rkadm).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(machine.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(rkadm);
    command.args(args.split_whitespace()).args(["--rootfs", "root"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(machine.dir());
    command
}

#[test]
fn other_users_than_root_are_told_so() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let ran = machine.run(&mut as_nobody(&machine, "init --config cluster.yaml"));
    assert_snapshot!(ran.report(), @r#"
exit 3
--- stderr
Error: `rkadm init` must be run as root
Hint: sudo rkadm init
"#);
    let ran = machine.run(&mut as_nobody(&machine, "op rollback"));
    assert_snapshot!(ran.report(), @r#"
exit 3
--- stderr
Error: `rkadm op rollback` must be run as root
Hint: sudo rkadm op rollback
"#);
    assert!(machine.is_untouched());
}

#[test]
fn other_users_than_root_may_plan_and_see_what_is_readable() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.run(&mut as_nobody(&machine, "init phase certs all --config cluster.yaml --dry-run")).succeeds();
    machine.run(&mut as_nobody(&machine, "op list")).succeeds();
    // What a whole plan needs root for is a warning: a machine that lacks programs is not ready for anybody.
    let ran = machine.run(&mut as_nobody(&machine, "init --config cluster.yaml --dry-run"));
    let stderr = ran.exits(3).stderr();
    for check in ["IsPrivilegedUser", "CRI"] {
        assert!(stderr.contains(&format!("Warning: [{check}]")), "{stderr}");
        assert!(!stderr.contains(&format!("  [{check}]")), "{stderr}");
    }
    machine.phase("certs ca").succeeds();
    let ran = machine.run(&mut as_nobody(&machine, "op list"));
    assert_snapshot!(ran.report(), @r#"
exit 1
--- stderr
Error: cannot read or write $DIR/root/var/lib/rkadm/operations: Permission denied (os error 13)
Hint: journals are readable by root only
"#);
}

/// Names only, so that wording can change.
#[test]
#[expect(clippy::too_many_lines, reason = "it is one tree")]
fn the_tree_of_commands_is_stable() {
    fn below(machine: &Machine, path: &str, depth: usize, tree: &mut String) {
        let help = machine.rkadm(&format!("{path} --help"));
        let help = help.succeeds().stdout();
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else { continue };
            let name = name.split_whitespace().next().unwrap();
            if name != "help" {
                tree.extend([&"  ".repeat(depth), name, "\n"]);
                below(machine, &format!("{path} {name}"), depth + 1, tree);
            }
        }
    }
    let mut tree = String::new();
    below(&Machine::new(), "", 0, &mut tree);
    assert_snapshot!(tree, @r#"
init
  phase
    preflight
    certs
      all
      ca
      apiserver
      apiserver-kubelet-client
      front-proxy-ca
      front-proxy-client
      etcd-ca
      etcd-server
      etcd-peer
      etcd-healthcheck-client
      apiserver-etcd-client
      sa
    kubeconfig
      all
      admin
      super-admin
      kubelet
      controller-manager
      scheduler
    etcd
      all
      local
    control-plane
      all
      apiserver
      controller-manager
      scheduler
    kubelet-start
    wait-control-plane
    upload-config
      all
      kubeadm
      kubelet
    upload-certs
    mark-control-plane
    bootstrap-token
    kubelet-finalize
      all
      enable-client-cert-rotation
    addon
      all
      coredns
      kube-proxy
    show-join-command
join
  phase
    preflight
    control-plane-prepare
      all
      download-certs
      certs
      kubeconfig
      control-plane
    kubelet-start
    etcd-join
    kubelet-wait-bootstrap
    control-plane-join
      all
      mark-control-plane
    wait-control-plane
backup
  etcd
  list
  verify
  drill
  prune
  schedule
restore
  etcd
  cluster
  data
reset
  phase
    preflight
    delete-node
    remove-etcd-member
    cleanup-node
    cleanup-network
upgrade
  plan
  diff
  apply
    phase
      preflight
      backup
      control-plane
      upload-config
        all
        kubeadm
        kubelet
      kubelet-config
      bootstrap-token
      addon
        all
        coredns
        kube-proxy
      post-upgrade
  node
    phase
      preflight
      backup
      control-plane
      kubelet-config
      addon
        all
        coredns
        kube-proxy
      kubelet
        all
        fetch
        download
        cordon
        drain
        install
        start
        uncordon
      post-upgrade
certs
  check-expiration
  renew
  generate-csr
  sign
  certificate-key
kubeconfig
  user
token
  create
  delete
  generate
  list
config
  images
    list
    pull
  migrate
  print
    init-defaults
    join-defaults
    reset-defaults
    upgrade-defaults
  schema
  validate
op
  list
  show
  resume
  rollback
health
completion
version
"#);
}

#[test]
fn every_command_and_phase_has_a_description_of_its_own() {
    let machine = Machine::new();
    let mut seen = std::collections::BTreeMap::new();
    for path in
        ["", "op", "init", "init phase", "init phase certs", "init phase kubeconfig", "init phase addon"]
    {
        let help = machine.rkadm(&format!("{path} --help")).stdout();
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   ")) {
            let (name, about) = line.trim().split_once(' ').unwrap_or((line, ""));
            assert!(!about.trim().is_empty(), "{path} {name} has no description");
            if name != "help" {
                let other = seen.insert(about.trim().to_owned(), format!("{path} {name}"));
                assert_eq!(other, None, "{path} {name} has the same description: {about}");
            }
        }
    }
}

/// kubeadm's users and their scripts know these.
#[test]
fn flags_of_init_are_kubeadms_and_a_few_more() {
    let help = Machine::new().rkadm("init --help").stdout();
    let flags: Vec<_> = help
        .lines()
        .filter_map(|line| line.split_whitespace().take(2).find(|word| word.starts_with("--")))
        .map(|flag| flag.split(['=', '[']).next().unwrap_or(flag))
        .collect();
    assert_snapshot!(flags.join("\n"), @r#"
--config
--output
--apiserver-advertise-address
--progress
--apiserver-bind-port
--verbose
--apiserver-cert-extra-sans
--cert-dir
--certificate-key
--control-plane-endpoint
--cri-socket
--dry-run
--feature-gates
--ignore-preflight-errors
--image-repository
--kubernetes-version
--node-name
--patches
--pod-network-cidr
--service-cidr
--service-dns-domain
--skip-certificate-key-print
--skip-phases
--skip-token-print
--token
--token-ttl
--upload-certs
--on-failure
--help
"#);
}
