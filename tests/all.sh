#!/usr/bin/env bash
# Every test. What waits and what computes run beside one another: Kubernetes is built while Rust compiles (a quarter of an hour on a
# machine that has never seen the project), and what needs no machine, clippy too, fills the gaps that tests on machines leave: those
# wait for a third of their time.
set -euo pipefail
cd "$(dirname "$0")/.."
make=${MAKE:-make}
cargo=${CARGO:-cargo}
nodes=$1 minors=$2

"$make" setup
logs=$(mktemp -d)
building='' beside=''
cleanup() {
    # Their children, too; what was half built is not used by anybody.
    for group in $building $beside; do kill -- "-$group" 2>/dev/null || true; done
    rm -rf "$logs"
}
trap cleanup EXIT
set -m
# The program itself and not make, which would wait for cargo.
nice -n 5 bash -c '"$0" prepare --minors "$1" && "$0" kubeadm 1.34 && "$0" kubeadm 1.35' "$nodes" "$minors" >"$logs/tools" 2>&1 &
building=$!
set +m

"$cargo" fmt --all --check
"$make" unit
# Whatever went wrong there is said by what needs it.
wait "$building" || { echo "building the tools failed:" >&2; tail -n 50 "$logs/tools" >&2; }
building=
"$make" tools
# Now, because one cargo waits while another one compiles.
"$cargo" test --locked --no-run --test parity --test etcd --test e2e
"$cargo" test --locked --no-run -p rkadm-nodes

set -m
# Clippy compiles all anew: whatever else wants to run goes first.
nice -n 5 bash -c '"$0" parity etcd && nice -n 10 "$0" lint' "$make" >"$logs/beside" 2>&1 &
beside=$!
set +m
failed=
"$make" ground e2e || failed=yes
wait "$beside" || failed=yes
beside=
# At the end and whole, so that it does not stand between the lines of the others.
cat "$logs/beside"
[ -z "$failed" ]
