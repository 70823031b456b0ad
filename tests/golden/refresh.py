#!/usr/bin/env python3
"""Records what a real kubeadm prints for every file in configs/, as the fixtures that rkadm is compared with.

usage: refresh.py KUBEADM_BINARY...      (as root; writes v<minor>/<scenario>/)

What differs from run to run (the CA, token expiry, uploaded certificates) is replaced by fixed text.
"""
import base64, os, pathlib, re, shutil, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).parent
FILES = ["etcd.yaml", "kube-apiserver.yaml", "kube-controller-manager.yaml", "kube-scheduler.yaml",
         "config.yaml", "instance-config.yaml", "kubeadm-flags.env"]
# The golden tests hand the same variables to rkadm.
PROXY = {"HTTP_PROXY": "http://proxy.example.test:3128", "NO_PROXY": "10.0.0.0/8", "https_proxy": "http://p:1"}


def b64(text):
    return base64.b64encode(text.encode()).decode()


def normalised(text):
    text = re.sub(r"(certificate-authority-data: )\S+", r"\g<1>" + b64("CA\n"), text)
    text = re.sub(r"(expiration: )\S+", r"\g<1>" + b64("2030-01-02T03:04:05Z"), text)
    text = re.sub(r"^(  (?:ca|front-proxy-ca|etcd-ca|sa|external-etcd.*)\.(?:crt|key|pub): )\S+",
                  r"\g<1>" + b64("encrypted"), text, flags=re.M)
    # The token that owns the uploaded certificates is random.
    owner = re.search(r"ownerReferences:.*?name: bootstrap-token-(\w{6})", text, flags=re.S)
    if owner:
        text = re.sub(rf"token-id: {b64(owner.group(1))}\n  token-secret: \S+",
                      f"token-id: {b64('certs0')}\n  token-secret: {b64('0123456789abcdef')}", text)
        text = text.replace(f"bootstrap-token-{owner.group(1)}", "bootstrap-token-certs0")
    return text


def objects(output):
    """The objects kubeadm would create, in its order; GET and PATCH only echo what is there already."""
    found = re.findall(r"\[dryrun\] Would perform action (CREATE|UPDATE|PATCH) on resource.*?\n"
                       r"(?:\[dryrun\] Resource name.*?\n)?\[dryrun\] Attached (?:object|patch):\n(.*?)\n(?=\[|\n)",
                       output, flags=re.S)
    return [body.rstrip() + "\n" for action, body in found if action == "CREATE"]


def record(binary, version, config):
    target = HERE / ".".join(version.split(".")[:2]) / config.stem
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    env = {"PATH": os.environ["PATH"]} | (PROXY if config.stem in ("customised", "local-etcd-v6") else {})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as resolved:
        resolved.write(config.read_text().replace("@VERSION@", version).replace("@HERE@", str(HERE.resolve())))
        resolved.flush()
        run = subprocess.run([binary, "init", "--dry-run", "--config", resolved.name, "--ignore-preflight-errors=all"]
                             + (["--upload-certs"] if config.stem == "endpoint" else []),
                             env=env, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{config}: {run.stderr}\n{run.stdout[-2000:]}")
    scratch = re.search(r"/etc/kubernetes/tmp/kubeadm-init-dryrun\d+", run.stdout).group(0)
    for name in FILES:
        source = pathlib.Path(scratch, name)
        if source.exists():
            # kubeadm generates into the scratch folder, and renames on print.
            text = source.read_text().replace(scratch, "/etc/kubernetes")
            target.joinpath(name).write_text(text)
    target.joinpath("objects.yaml").write_text(normalised("---\n".join(objects(run.stdout))))
    shutil.rmtree(scratch)
    return run.stdout


for binary in sys.argv[1:]:
    version = subprocess.check_output([binary, "version", "-o", "short"], text=True).strip()
    version = re.sub(r"\.\d+$", ".0", version)
    for config in sorted(HERE.glob("configs/*.yaml")):
        out = record(binary, version, config)
        if os.environ.get("KEEP"):
            pathlib.Path(os.environ["KEEP"], f"{version}-{config.stem}.out").write_text(out)
