#!/usr/bin/env bash
# Every test, in the order in which they are cheap. Kubernetes is built meanwhile: that takes a quarter of an hour on a machine that
# has never seen the project, and fills the gaps that compiling and linking Rust leaves.
set -euo pipefail
cd "$(dirname "$0")/.."
make=${MAKE:-make}
nodes=$1 minors=$2

"$make" setup
log=$(mktemp)
building=
demo=
cleanup() {
    # Its children, too; what was half built is not used by anybody.
    if [ -n "$building" ]; then kill -- "-$building" 2>/dev/null || true; fi
    if [ -n "$demo" ]; then "$nodes" clean --lab "$demo" || true; fi
    rm -f "$log"
}
trap cleanup EXIT
set -m
# The program itself and not make, which would wait for cargo.
nice -n 5 bash -c '"$0" prepare --minors "$1" && "$0" kubeadm 1.34 && "$0" kubeadm 1.35' "$nodes" "$minors" >"$log" 2>&1 &
building=$!
set +m

"$make" lint unit
# Whatever went wrong there is said by what needs it.
wait "$building" || { echo "building the tools failed:" >&2; tail -n 50 "$log" >&2; }
building=
"$make" parity etcd tools ground e2e
# As `make demo`, in a network of its own and with the tests' build.
demo=demo-$$
LAB=$demo tests/demo.sh "$(dirname "$nodes")/rkadm" "$nodes"
