//! Looks into a cluster from its control-plane node.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::Node;
use serde_json::Value;

/// Runs kubectl as the cluster's administrator.
pub fn kubectl(node: &Node, args: &str) -> Result<String> {
    node.sh_ok(&format!("kubectl --kubeconfig /etc/kubernetes/admin.conf {args}"))
}

/// What `kubectl get` finds, parsed.
pub fn get(node: &Node, what: &str) -> Result<Value> {
    serde_json::from_str(&kubectl(node, &format!("get {what} -o json"))?).context("kubectl printed no JSON")
}

/// Repeats the script until it succeeds, for at most two minutes.
pub fn wait(node: &Node, script: &str) -> Result<String> {
    let start = Instant::now();
    loop {
        let output = node.sh(&format!("export KUBECONFIG=/etc/kubernetes/admin.conf; {script}"))?;
        if output.success() {
            return Ok(output.stdout);
        }
        ensure!(start.elapsed() < Duration::from_mins(2), "{}: {script}: {output:?}", node.name());
        thread::sleep(Duration::from_millis(200));
    }
}

/// Gives the nodes a pod network and waits until they are Ready and the addons run.
pub fn install_network(cp: &Node, nodes: &[&Node]) -> Result<()> {
    // A connection to a Service that is begun before kube-proxy knows it is given up after half a minute only. The network is what
    // CoreDNS waits for, and kube-proxy does not.
    for node in nodes {
        wait(node, SERVICES_ARE_KNOWN)?;
    }
    for node in nodes {
        let cidr =
            wait(cp, &format!("kubectl get node {} -o jsonpath={{.spec.podCIDR}} | grep .", node.name()))?;
        node.install_cni(cidr.trim())?;
    }
    wait(cp, "kubectl wait --for=condition=Ready node --all --timeout=60s")?;
    wait(cp, "kubectl -n kube-system rollout status daemonset/kube-proxy --timeout=60s")?;
    wait(cp, "kubectl -n kube-system rollout status deployment/coredns --timeout=60s")?;
    // Of its static pods a kubelet tells later than they are well.
    wait(cp, "kubectl -n kube-system wait --for=condition=Ready pod --all --timeout=60s").map(drop)
}

/// The Service of the API server leads somewhere. Of kube-proxy's own health nothing follows: it is well before it has begun.
const SERVICES_ARE_KNOWN: &str = "curl -skf --max-time 2 https://10.96.0.1/healthz";

/// Waits for the controller manager, which signs what a token is checked with: nobody joins with it before that.
pub fn token_is_signed(cp: &Node, token: &str) -> Result<()> {
    let id = token.split('.').next().unwrap_or_default();
    let signed = "kubectl -n kube-public get configmap cluster-info -o yaml | grep -q jws-kubeconfig";
    wait(cp, &format!("{signed}-{id}:")).map(drop)
}

/// What [`works`] works on.
pub fn deploy_probe(cp: &Node) -> Result<()> {
    let pod = serde_json::json!({"tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10.2"}]});
    let labels = serde_json::json!({"app": "probe"});
    let deployment = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}});
    cp.write("/root/probe.json", deployment.to_string(), 0o600)?;
    kubectl(cp, "apply -f /root/probe.json")?;
    wait(cp, "kubectl rollout status deployment/probe --timeout=60s").map(drop)
}

/// Controllers, scheduler and kubelet do their work on what they see now.
pub fn works(cp: &Node) -> Result<()> {
    wait(cp, "kubectl wait --for=condition=Ready node --all --timeout=60s")?;
    wait(cp, "kubectl rollout restart deployment/probe")?;
    wait(cp, "kubectl rollout status deployment/probe --timeout=90s")?;
    // One that has just started comes into its Service when it is ready, and kube-proxy has to see that.
    let addresses = "kubectl get endpointslice kubernetes -o jsonpath={.endpoints[*].addresses[*]}";
    wait(cp, &format!("test \"$({addresses})\" = {}", cp.ip()))?;
    wait(cp, SERVICES_ARE_KNOWN).map(drop)
}

/// The table of kubeadm, in which all certificates are there and made a moment ago.
pub fn certificates_of_a_year(cp: &Node) -> Result<String> {
    let table = cp.sh_ok("kubeadm certs check-expiration")?;
    ensure!(!table.contains("MISSING") && table.matches(" 364d ").count() == 11, "{table}");
    Ok(table)
}

/// A control plane that answers, its node registered and marked, its addons applied, a token to join with.
pub fn healthy(node: &Node) -> Result<()> {
    let livez = kubectl(node, "get --raw /livez")?;
    ensure!(livez == "ok", "/livez: {livez}");
    let object = get(node, &format!("node {}", node.name()))?;
    let label = "node-role.kubernetes.io/control-plane";
    ensure!(object["metadata"]["labels"][label] == "", "the node is not labelled: {object}");
    let taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
    ensure!(taints.iter().any(|taint| taint["key"] == label), "the node has no taint: {taints:?}");
    let system = "-n kube-system get deployment/coredns service/kube-dns daemonset/kube-proxy \
                  configmap/kubeadm-config configmap/kubelet-config -o name";
    let found = kubectl(node, system)?;
    ensure!(found.lines().count() == 5, "objects are missing: {found}");
    let tokens = kubectl(
        node,
        "-n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token -o name",
    )?;
    ensure!(tokens.lines().count() == 1, "one bootstrap token was to be made: {tokens:?}");
    wait(node, "kubectl -n kube-public get configmap cluster-info -o yaml | grep -q jws-kubeconfig").map(drop)
}
