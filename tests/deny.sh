#!/usr/bin/env bash
# Licences, banned crates, sources and, where their database can be had, advisories: see .deny.toml.
# cargo-deny is built once and kept outside the checkout, beside the test binaries.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
cache=${RKADM_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rkadm-test}
root=$cache/cargo-deny-$version
deny=$root/bin/cargo-deny

if [[ ! -x $deny ]]; then
    echo "deny: building cargo-deny $version, once" >&2
    mkdir -p "$cache/locks"
    # Built to be built quickly: it runs for a second. Two runs at the same time build it one after the other.
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    (
        flock 9
        [[ -x $deny ]] || cargo install --quiet --locked --version "$version" --root "$root" cargo-deny
    ) 9>"$cache/locks/cargo-deny"
fi

# The lock file names crates of other systems too. A build here never fetches those, but cargo-deny reads them all.
cargo fetch --locked --quiet
"$deny" --workspace --locked --offline check --hide-inclusion-graph licenses bans sources

# Advisories need a database from the network. Where it cannot be had the check is left out, loudly,
# unless RKADM_DENY_ADVISORIES=required says that it must not be.
if ! timeout 120 "$deny" --workspace --locked fetch db >/dev/null 2>&1; then
    if [[ ${RKADM_DENY_ADVISORIES:-} == required ]]; then
        echo "deny: the advisory database cannot be fetched" >&2
        exit 1
    fi
    echo "deny: NOT CHECKED: advisories (the database cannot be fetched from here)" >&2
    exit 0
fi
"$deny" --workspace --locked check advisories
