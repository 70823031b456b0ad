#!/bin/bash
# Makes a Kubernetes cluster on a test node, as an operator would: tests/demo.sh RKADM NODES
set -euo pipefail

rkadm=$1
nodes=$2
node=cp1
# Another one, for a second demo beside the first.
lab=${LAB:-default}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
on() { "$nodes" exec --lab "$lab" "$node" -- "$@"; }

if on test -e /etc/kubernetes/admin.conf 2>/dev/null; then
    echo "There is a cluster on $node already. Look at it with \`make shell NODE=$node\`, or start anew with \`make clean-nodes\`." >&2
    exit 1
fi

say "A machine with systemd, containerd and a kubelet: $node"
"$nodes" up --lab "$lab" "$node"
on install -m 755 /dev/stdin /usr/local/bin/rkadm < "$rkadm"
on install -D -m 600 /dev/stdin /root/cluster.yaml <<'EOF'
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  # The node shares the kernel and the processors of this machine.
  ignorePreflightErrors: [SystemVerification, Swap, NumCPU]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
controlPlaneEndpoint: cp1:6443
networking:
  podSubnet: 10.244.0.0/16
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
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
conntrack:
  maxPerCore: 0
EOF

say "rkadm init --config /root/cluster.yaml"
on rkadm init --config /root/cluster.yaml

# kubectl works in `make shell` from here on.
on bash -c 'mkdir -p ~/.kube && ln -sf /etc/kubernetes/admin.conf ~/.kube/config'

say "A pod network, and the addons on it"
# CoreDNS, which waits for the network, loses half a minute where it is ahead of kube-proxy.
on timeout 120 bash -c 'until curl -skf --max-time 2 -o /dev/null https://10.96.0.1/healthz; do sleep 0.2; done'
"$nodes" network --lab "$lab" "$node"
on kubectl wait --for=condition=Ready "node/$node" --timeout=120s
on kubectl -n kube-system rollout status daemonset/kube-proxy --timeout=120s
on kubectl -n kube-system rollout status deployment/coredns --timeout=120s

say "kubectl get nodes,pods -A"
on kubectl get nodes,pods -A

cat <<EOF

The cluster stays until \`make clean-nodes\`. What to try next:
  make shell NODE=$node              a shell on the node; kubectl works there
  rkadm op show                     (on the node) what init did, step by step, and how long it took
  rkadm init --config /root/cluster.yaml
                                    (on the node) again: there is nothing to do
  rkadm init --config <(sed s/10.244/10.245/ /root/cluster.yaml)
                                    (on the node) with another configuration: the difference
  kubeadm certs check-expiration    (on the node) kubeadm works with the cluster as if it had made it
EOF
