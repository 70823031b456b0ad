#!/usr/bin/env python3
"""Records what a real kubeadm makes of every configuration here, as v<minor>/<name>.yaml.

usage: record.py KUBEADM_BINARY...      (as root; kubeadm 1.34 and 1.35 read v1beta3, later ones do not)

kubeadm runs with a host name and an address of its own, which the tests know, and without a network: it would look for
the newest Kubernetes version. Tokens that it makes up are left out.
"""
import pathlib, re, subprocess, sys

HERE = pathlib.Path(__file__).parent
MACHINE = ("hostname recorder; ip link add here type veth peer name there; ip link set there up; ip link set here up; "
           'ip address add 192.0.2.10/24 dev here; ip route add default via 192.0.2.1; exec "$@"')

for binary in sys.argv[1:]:
    version = subprocess.check_output([binary, "version", "-o", "short"], text=True).strip()
    target = HERE / ".".join(version.split(".")[:2])
    target.mkdir(exist_ok=True)
    for config in sorted(HERE.glob("*.yaml")):
        run = subprocess.run(["unshare", "--uts", "--net", "sh", "-c", MACHINE, "sh", binary, "config", "migrate",
                              "--old-config", config], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{config}: {run.stderr}")
        given = config.read_text()
        lines = [line for line in run.stdout.splitlines(keepends=True)
                 if not (found := re.match(r"  token: (\S+)$", line)) or found.group(1) in given]
        target.joinpath(config.name).write_text("".join(lines))
