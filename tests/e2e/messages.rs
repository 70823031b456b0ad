//! Bad luck, and what rkadm says about it. In every case the machine is as it was before.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};

use crate::support::{CONFIG, Config, NEWEST, Snapshot, expect, fresh, fresh_of, init, rkadm};

#[test]
fn what_is_wrong_with_a_machine_is_said_before_anything_is_done() {
    run("preflight", |lab| {
        let node = fresh(lab, "cp1")?;
        port_taken(&node)?;
        manifests_are_there(&node)?;
        disk_is_full(&node)?;
        not_root(&node)?;
        versions_that_do_not_fit(&node)?;
        node.sh_ok("systemctl stop containerd")?;
        refused(&node, 3, &["[CRI] container runtime is not running", "containerd"])
    });
}

#[test]
fn what_goes_wrong_on_the_way_is_said_and_taken_back() {
    run("bad luck", |lab| {
        let node = fresh(lab, "cp1")?;
        foreign_authorities(&node)?;
        read_only(&node)?;
        disk_fills_up(&node)?;
        kubelet_crashes(&node)
    });
}

#[test]
fn a_missing_image_that_cannot_be_pulled_is_named() {
    run("no image", |lab| {
        let node = fresh_of(lab, "cp1", NodeSpec::new(NEWEST).without_images())?;
        refused(&node, 1, &["phase preflight", "registry.k8s.io/", "pull"])?;
        let never = Config { registration: "  imagePullPolicy: Never\n".to_owned(), ..Config::new(NEWEST) };
        never.install(&node)?;
        let all = ["kube-apiserver:v1.37.2", "etcd:3.7.0-0", "coredns/coredns:v1.14.6", "pause:3.10.2"];
        refused(&node, 3, &all)?;
        // What containerd starts pods with, whatever rkadm is told.
        node.sh_ok(
            "sed -i 's/pause:3.10.2/pause:9.9/' /etc/containerd/config.toml && systemctl restart containerd",
        )?;
        let words = [
            "starts every pod with registry.k8s.io/pause:9.9, and does not have it",
            "sandbox image of Kubernetes v1.37.2 is registry.k8s.io/pause:3.10.2",
            "set sandbox_image = \"registry.k8s.io/pause:3.10.2\" in /etc/containerd/config.toml",
            "images are missing:",
        ];
        refused(&node, 3, &words)
    });
}

/// Runs init, which must end with this code and these words, and change nothing.
fn refused(node: &Node, code: i32, words: &[&str]) -> Result<()> {
    let before = Snapshot::of(node)?;
    expect(&init(node)?, code, words)?;
    before.unchanged(node).with_context(|| format!("after {words:?}"))
}

fn port_taken(node: &Node) -> Result<()> {
    node.sh_ok("systemd-run --unit taker socat TCP-LISTEN:6443,fork,reuseaddr PIPE")?;
    node.sh_ok("for i in $(seq 100); do ss -ltn | grep -q :6443 && exit; sleep 0.05; done; exit 1")?;
    refused(node, 3, &["[Port-6443] Port 6443 is in use", "kube-apiserver needs it", "Nothing was changed"])?;
    node.sh_ok("systemctl stop taker").map(drop)
}

fn manifests_are_there(node: &Node) -> Result<()> {
    node.write("/etc/kubernetes/manifests/kube-scheduler.yaml", "kind: Pod\n", 0o600)?;
    node.write("/var/lib/etcd/member/wal/0.wal", "data", 0o600)?;
    let words = [
        "kube-scheduler.yaml already exists",
        "rkadm reset",
        "DirAvailable--var-lib-etcd",
        "/var/lib/etcd is not empty",
    ];
    refused(node, 3, &words)?;
    node.sh_ok("rm -r /etc/kubernetes/manifests /var/lib/etcd").map(drop)
}

fn disk_is_full(node: &Node) -> Result<()> {
    node.small_fs("/etc/kubernetes", 64 << 10)?;
    refused(node, 3, &["[DiskSpace] the file system of /etc/kubernetes has", "free some space"])?;
    node.remove_small_fs("/etc/kubernetes")
}

fn not_root(node: &Node) -> Result<()> {
    node.sh_ok(&format!("install -m 644 {CONFIG} /tmp/cluster.yaml"))?;
    let user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    let output = crate::support::wrapped(node, &user, &["init", "--config", "/tmp/cluster.yaml"])?;
    expect(&output, 3, &["`rkadm init` must be run as root", "sudo rkadm init"]).map(drop)
}

/// A kubelet may be older than the API server, never newer; and rkadm knows four minors.
fn versions_that_do_not_fit(node: &Node) -> Result<()> {
    Config::new("1.36").install(node)?;
    refused(node, 3, &["[KubeletVersion]", "1.37.2", "1.36.4"])?;
    let version = "v1.99.0".to_owned();
    Config { version, ..Config::new(NEWEST) }.install(node)?;
    refused(node, 4, &["kubernetesVersion", "1.99.0", "1.37"])?;
    Config::new(NEWEST).install(node)
}

/// Certificate authorities that an operator brought, and that cannot work.
fn foreign_authorities(node: &Node) -> Result<()> {
    node.sh_ok(
        "set -e; mkdir -p /root/ca/new; cd /root/ca; touch index
         printf '[req]\ndistinguished_name = none\n[none]\n[ca]\ndefault_ca = one\n[one]\ndatabase = index\nrand_serial = yes\n' > conf
         printf 'new_certs_dir = new\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n' >> conf
         printf '[authority]\nbasicConstraints = critical,CA:TRUE\n[leaf]\nbasicConstraints = critical,CA:FALSE\n' >> conf
         make() {
             openssl req -config conf -new -newkey rsa:2048 -nodes -subj /CN=kubernetes -keyout $1.key -out $1.csr
             openssl ca -config conf -batch -notext -selfsign -keyfile $1.key -in $1.csr -out $1.crt -extensions $2 -startdate $3 -enddate $4
             rm index*; touch index
         }
         make good authority 20200101000000Z 20400101000000Z
         make other authority 20200101000000Z 20400101000000Z
         make expired authority 20200101000000Z 20210101000000Z
         make leaf leaf 20200101000000Z 20400101000000Z",
    )?;
    for (cert, key, why) in [
        ("good", "other", "does not belong to the certificate"),
        ("expired", "expired", "expired"),
        ("leaf", "leaf", "not a certificate authority"),
    ] {
        node.sh_ok(&format!(
            "mkdir -p /etc/kubernetes/pki; cp /root/ca/{cert}.crt /etc/kubernetes/pki/ca.crt; cp /root/ca/{key}.key /etc/kubernetes/pki/ca.key"
        ))?;
        refused(node, 1, &["phase certs/ca: /etc/kubernetes/pki/ca.crt cannot be used", why, "move"])
            .with_context(|| format!("a CA that is {why}"))?;
    }
    node.sh_ok("rm -r /etc/kubernetes/pki").map(drop)
}

fn read_only(node: &Node) -> Result<()> {
    node.sh_ok("mount --bind /etc/kubernetes /etc/kubernetes && mount -o remount,bind,ro /etc/kubernetes")?;
    refused(node, 1, &["/etc/kubernetes", "ead-only", "remount it writable", "as it was before"])?;
    node.sh_ok("umount /etc/kubernetes").map(drop)
}

/// Room for the check before, and not for the files.
fn disk_fills_up(node: &Node) -> Result<()> {
    node.small_fs("/etc/kubernetes", 1 << 20)?;
    let ignoring = Config { ignored: vec!["DiskSpace".to_owned()], ..Config::new(NEWEST) };
    ignoring.install(node)?;
    node.sh_ok("head -c 1010000 /dev/zero > /etc/kubernetes/ballast")?;
    refused(node, 1, &["phase certs/", "No space left", "the file system is full", "as it was before"])?;
    node.remove_small_fs("/etc/kubernetes")?;
    Config::new(NEWEST).install(node)
}

fn kubelet_crashes(node: &Node) -> Result<()> {
    let extra = "  kubeletExtraArgs:\n  - {name: no-such-flag, value: \"1\"}\n";
    let config = Config { registration: extra.to_owned(), ..Config::new(NEWEST) };
    config.install(node)?;
    let words = [
        "phase wait-control-plane: the kubelet crashes again and again",
        "unknown flag: --no-such-flag",
        "kubeletExtraArgs",
        "journalctl -u kubelet",
    ];
    refused(node, 1, &words)?;
    let shown = expect(&rkadm(node, &["op", "show"])?, 0, &[])?;
    ensure!(shown.contains("unknown flag: --no-such-flag"), "the timeline forgets why:\n{shown}");
    Ok(())
}
