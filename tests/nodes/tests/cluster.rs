//! Real kubeadm on the nodes: what it does well here, the tests may ask of rkadm.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rkadm_nodes::{Node, NodeSpec, run};

const CONFIG: &str = "
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  ignorePreflightErrors: [SystemVerification, Swap, NumCPU]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: VERSION
controlPlaneEndpoint: cp1:6443
networking:
  podSubnet: 10.244.0.0/16
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# Works with every way the nodes' cgroups can be made.
cgroupDriver: cgroupfs
failCgroupV1: false
# The disk is the whole machine's: its being fairly full is no reason to keep pods away.
evictionHard:
  nodefs.available: 1%
  imagefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.inodesFree: 1%
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
# A node may not set limits that belong to the whole machine.
conntrack:
  maxPerCore: 0
";

#[test]
fn newest() {
    cluster("1.37");
}

#[test]
fn the_one_before() {
    cluster("1.36");
}

fn cluster(minor: &str) {
    run(&format!("cluster {minor}"), |lab| {
        let cp1 = lab.node("cp1", NodeSpec::new(minor))?;
        let worker = lab.node("worker", NodeSpec::new(minor))?;
        let version = cp1.sh_ok("kubeadm version -o short")?;
        cp1.write("/root/kubeadm.yaml", CONFIG.replace("VERSION", version.trim()), 0o600)?;
        cp1.sh_ok("kubeadm init --config /root/kubeadm.yaml")?;
        cp1.sh_ok("mkdir -p ~/.kube && ln -s /etc/kubernetes/admin.conf ~/.kube/config")?;
        let join = cp1.sh_ok("kubeadm token create --print-join-command")?;
        worker.sh_ok(&format!("{} --ignore-preflight-errors=SystemVerification,Swap,NumCPU", join.trim()))?;
        for node in [&cp1, &worker] {
            let cidr = wait(
                &cp1,
                &format!("kubectl get node {} -o jsonpath={{.spec.podCIDR}} | grep .", node.name()),
            )?;
            node.install_cni(cidr.trim())?;
        }
        wait(&cp1, "kubectl wait --for=condition=Ready node --all --timeout=60s")?;
        wait(&cp1, "kubectl -n kube-system rollout status deployment/coredns --timeout=60s")?;
        // Through kube-proxy, from each node: the API by its ClusterIP, and CoreDNS wherever its pods are.
        for node in [&cp1, &worker] {
            wait(node, "curl -skf --max-time 2 https://10.96.0.1/healthz")?;
            wait(node, "curl -sf --max-time 2 http://10.96.0.10:9153/metrics | grep -c coredns_build_info")?;
        }
        power_comes_back(&cp1)
    });
}

fn power_comes_back(cp1: &Node) -> Result<()> {
    cp1.sh_ok("kubectl create configmap written-before")?;
    cp1.power_loss()?;
    cp1.boot()?;
    wait(cp1, "kubectl get configmap written-before")?;
    wait(cp1, "kubectl wait --for=condition=Ready node --all --timeout=60s").map(drop)
}

fn wait(node: &Node, script: &str) -> Result<String> {
    let start = Instant::now();
    loop {
        let output = node.sh(script)?;
        if output.success() {
            return Ok(output.stdout);
        }
        ensure!(start.elapsed() < Duration::from_mins(3), "{}: {script}: {output:?}", node.name());
        std::thread::sleep(Duration::from_millis(500));
    }
}
