//! What can be wrong with a join, and what rkadm says about it. In every case the machine is as it was before.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};

use crate::support::{
    Config, IGNORE, NEWEST, Snapshot, Ticket, expect, fresh, fresh_of, init, install_network, kubectl,
    machine, rkadm, wait,
};

#[test]
fn what_is_wrong_with_a_join_is_said_before_anything_is_done() {
    run("join refused", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        expect(&init(&cp1)?, 0, &[])?;
        install_network(&cp1, &[&cp1])?;
        let ticket = Ticket::of(&cp1)?;
        let node = machine(lab, "w1", NodeSpec::new(NEWEST))?;
        tokens(&cp1, &ticket, &node)?;
        endpoints(&ticket, &node)?;
        certificate_keys(&cp1, &ticket, &node)?;
        what_is_there_already(&ticket, &node)?;
        versions(&ticket, &node)?;
        cluster_info_is_gone(&cp1, &ticket, &node)?;
        nobody_approves(&cp1, &ticket, &node)
    });
}

#[test]
fn a_control_plane_is_not_joined_to_a_cluster_without_an_endpoint() {
    run("no endpoint", |lab| {
        let config = Config { endpoint: "\"\"".to_owned(), ..Config::new(NEWEST) };
        let cp1 = fresh_of(lab, "cp1", NodeSpec::new(NEWEST))?;
        config.install(&cp1)?;
        expect(&init(&cp1)?, 0, &[])?;
        let ticket = Ticket::of(&cp1)?;
        let node = machine(lab, "cp2", NodeSpec::new(NEWEST))?;
        let words = [
            "[ControlPlaneEndpoint] the cluster has no controlPlaneEndpoint",
            "load balancer",
            "cluster-info",
        ];
        refused(&node, 3, &words, || ticket.join(&node, true))?;
        expect(&ticket.join(&node, false)?, 0, &[]).map(drop)
    });
}

/// Runs a join, which must end with this code and these words, and change nothing.
fn refused(
    node: &Node,
    code: i32,
    words: &[&str],
    join: impl FnOnce() -> Result<rkadm_nodes::Output>,
) -> Result<()> {
    let before = Snapshot::of(node)?;
    let output = join()?;
    expect(&output, code, words)?;
    ensure!(
        ["Nothing was changed", "as it was before"].iter().any(|left| output.stderr.contains(left)),
        "what is left behind is not said: {}",
        output.stderr
    );
    before.unchanged(node).with_context(|| format!("after {words:?}"))
}

fn tokens(cp1: &Node, ticket: &Ticket, node: &Node) -> Result<()> {
    let with = |token: &str| Ticket { token: token.to_owned(), ..ticket.clone() };
    let unknown = with("aaaaaa.0123456789abcdef");
    let words = ["does not know the token aaaaaa.<redacted>", "token create --print-join-command"];
    refused(node, 1, &words, || unknown.join(node, false))?;
    let id = ticket.token.split('.').next().context("no token")?;
    let wrong = with(&format!("{id}.0123456789abcdef"));
    refused(node, 1, &["the secret half of the token", "is wrong"], || wrong.join(node, false))?;
    let short = cp1.sh_ok("rkadm token create --ttl 1s")?;
    wait(cp1, &format!("! kubectl -n kube-system get secret bootstrap-token-{}", &short[..6]))?;
    let expired = with(short.trim());
    refused(node, 1, &["does not know the token", "has expired"], || expired.join(node, false))?;
    let signing = with(cp1.sh_ok("rkadm token create --usages signing")?.trim());
    refused(node, 1, &["does not accept the credentials", "may only sign"], || signing.join(node, false))
}

fn endpoints(ticket: &Ticket, node: &Node) -> Result<()> {
    let other = Ticket { hash: format!("sha256:{}", "0".repeat(64)), ..ticket.clone() };
    let words = ["is not the expected one: its hash is sha256:", "poses as it"];
    refused(node, 1, &words, || other.join(node, false))?;
    let config = |endpoint: &str| {
        format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken: {{token: {}, \
             apiServerEndpoint: '{endpoint}', caCertHashes: ['{}']}}\ntimeouts: {{discovery: 2s}}\n",
            ticket.token, ticket.hash
        )
    };
    let join = |endpoint: &str| -> Result<rkadm_nodes::Output> {
        node.write("/root/join.yaml", config(endpoint), 0o600)?;
        rkadm(node, &["join", "--config", "/root/join.yaml", IGNORE])
    };
    let words = ["the API server at cp1:1 cannot be reached", "efused", "timeouts.discovery"];
    refused(node, 1, &words, || join("cp1:1"))?;
    // A load balancer without a backend takes the connection and closes it.
    node.sh_ok("systemd-run --unit balancer socat TCP-LISTEN:7443,fork,reuseaddr EXEC:true")?;
    node.sh_ok("for i in $(seq 100); do ss -ltn | grep -q :7443 && exit; sleep 0.05; done; exit 1")?;
    let words = ["the API server at 127.0.0.1:7443 cannot be reached", "load balancer"];
    refused(node, 1, &words, || join("127.0.0.1:7443"))?;
    node.sh_ok("systemctl stop balancer").map(drop)
}

fn certificate_keys(cp1: &Node, ticket: &Ticket, node: &Node) -> Result<()> {
    let wrong = Ticket { key: "0".repeat(64), ..ticket.clone() };
    let words = ["[CertificateKey] --certificate-key does not fit", "upload-certs --upload-certs"];
    refused(node, 3, &words, || wrong.join(node, true))?;
    let bare: Vec<_> = ticket.args(false);
    let bare: Vec<&str> =
        ["join", "--control-plane"].into_iter().chain(bare.iter().map(String::as_str)).collect();
    let words = ["[SharedCertificates]", "/etc/kubernetes/pki/ca.crt", "copy them from a control plane"];
    refused(node, 3, &words, || rkadm(node, &bare))?;
    kubectl(cp1, "-n kube-system delete secret kubeadm-certs")?;
    let words = ["[CertificateKey] the cluster has no uploaded certificates", "two hours are over"];
    refused(node, 3, &words, || ticket.join(node, true))
}

fn what_is_there_already(ticket: &Ticket, node: &Node) -> Result<()> {
    let words = ["[NodeName] the cluster has a node \"cp1\" already, and it is ready", "--node-name"];
    refused(node, 3, &words, || ticket.join_with(node, false, &["--node-name", "cp1"]))?;
    let output = ticket.join_with(node, false, &["--node-name", "nowhere", "--dry-run"])?;
    expect(&output, 0, &["[Hostname] hostname \"nowhere\" could not be reached: it does not resolve"])?;
    node.sh_ok(
        "mkdir -p /etc/kubernetes/pki && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=kubernetes -days 2 \
         -keyout /dev/null -out /etc/kubernetes/pki/ca.crt 2>/dev/null",
    )?;
    let words = ["/etc/kubernetes/pki/ca.crt is there already and is not this cluster's", "rkadm reset"];
    refused(node, 3, &words, || ticket.join(node, false))?;
    node.sh_ok("rm -r /etc/kubernetes/pki").map(drop)
}

/// The kubelet may be three minors older than the API server, and never newer.
fn versions(ticket: &Ticket, node: &Node) -> Result<()> {
    let path = node.sh_ok("command -v kubelet")?;
    let path = path.trim();
    for version in ["v1.33.4", "v1.38.0"] {
        node.sh_ok(&format!(
            "mv {path} {path}.real && printf '#!/bin/sh\\necho Kubernetes {version}\\n' > {path} && chmod 755 {path}"
        ))?;
        let result =
            refused(node, 3, &["[KubeletVersion]", &version[1..], "1.37.2"], || ticket.join(node, false));
        node.sh_ok(&format!("mv {path}.real {path}"))?;
        result?;
    }
    Ok(())
}

fn cluster_info_is_gone(cp1: &Node, ticket: &Ticket, node: &Node) -> Result<()> {
    cp1.sh_ok(
        "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-public get configmap cluster-info -o yaml > /root/info.yaml",
    )?;
    kubectl(cp1, "-n kube-public delete configmap cluster-info")?;
    let words = ["has no ConfigMap kube-public/cluster-info", "init phase bootstrap-token"];
    refused(node, 1, &words, || ticket.join(node, false))?;
    kubectl(cp1, "create -f /root/info.yaml").map(drop)
}

/// The kubelet's request for a certificate is never answered.
fn nobody_approves(cp1: &Node, ticket: &Ticket, node: &Node) -> Result<()> {
    let binding = "clusterrolebinding kubeadm:node-autoapprove-bootstrap";
    cp1.sh_ok(&format!(
        "kubectl --kubeconfig /etc/kubernetes/admin.conf get {binding} -o yaml > /root/binding.yaml"
    ))?;
    kubectl(cp1, &format!("delete {binding}"))?;
    let config = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken: {{token: {}, \
         apiServerEndpoint: '{}', caCertHashes: ['{}']}}\ntimeouts: {{tlsBootstrap: 6s}}\n",
        ticket.token, ticket.endpoint, ticket.hash
    );
    node.write("/root/join.yaml", config, 0o600)?;
    let words = [
        "phase kubelet-wait-bootstrap: after 6 s still missing",
        "kubelet-client-current.pem",
        "as it was before",
    ];
    refused(node, 1, &words, || rkadm(node, &["join", "--config", "/root/join.yaml", IGNORE]))?;
    kubectl(cp1, "create -f /root/binding.yaml")?;
    expect(&ticket.join(node, false)?, 0, &[]).map(drop)
}
