//! `rkadm backup` on a control plane that lives.

use anyhow::{Result, ensure};
use rkadm_nodes::{Node, run};

use crate::support::{Config, NEWEST, expect, fresh, init, json, kubectl, rkadm, wait};

const DIR: &str = "/var/lib/rkadm/backups";

#[test]
fn a_backup_holds_what_a_restore_needs_and_is_proven() {
    run("backup", |lab| {
        let cp1 = fresh(lab, "cp1")?;
        with_encryption(&cp1)?;
        expect(&init(&cp1)?, 0, &[])?;
        kubectl(&cp1, "create secret generic treasure --from-literal=a=b")?;
        let output = rkadm(&cp1, &["backup", "etcd", "-o", "json", "--prometheus", "/tmp/backup.prom"])?;
        expect(&output, 0, &[])?;
        let made = json(&output)?;
        ensure!(made["verified"] == true && made["comparedWithMember"] == true, "{made}");
        let file = made["file"].as_str().unwrap_or_default().to_owned();
        contents(&cp1, &file)?;
        resources(&cp1, &made)?;
        drill(&cp1, &file)?;
        damage(&cp1, &file)?;
        lists_and_keeps(&cp1, &file)?;
        bad_luck(&cp1)?;
        schedule(&cp1)
    });
}

/// Secrets are encrypted by a key in a file that only the API server's manifest names.
fn with_encryption(node: &Node) -> Result<()> {
    let key = "c2VjcmV0IGlzIHNlY3VyZSwgMzIgYnl0ZXMgbG9uZyE=";
    let config = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  \
         providers:\n  - aescbc: {{keys: [{{name: k1, secret: {key}}}]}}\n  - identity: {{}}\n"
    );
    node.write("/srv/encryption/config.yaml", config, 0o600)?;
    let cluster = "apiServer:\n  extraArgs:\n  - {name: encryption-provider-config, value: /enc/config.yaml}\n  \
                   extraVolumes:\n  - {name: encryption, hostPath: /srv/encryption, mountPath: /enc, readOnly: true}\n";
    Config { cluster: cluster.to_owned(), ..Config::new(NEWEST) }.install(node)
}

/// Any tar opens it, and the snapshot in it is a snapshot.
fn contents(node: &Node, file: &str) -> Result<()> {
    let list = node.sh_ok(&format!("tar tzf {file}"))?;
    for name in [
        "manifest.json",
        "files/etc/kubernetes/pki/ca.key",
        "files/etc/kubernetes/pki/etcd/ca.key",
        "files/etc/kubernetes/pki/front-proxy-ca.key",
        "files/etc/kubernetes/pki/sa.key",
        "files/etc/kubernetes/manifests/etcd.yaml",
        "files/var/lib/kubelet/config.yaml",
        "files/srv/encryption/config.yaml",
        "etcd/snapshot.db",
    ] {
        ensure!(list.lines().any(|line| line == name), "{name} is not in it:\n{list}");
    }
    ensure!(
        !list.contains("ca-certificates") && !list.contains("var/lib/etcd"),
        "too much is in it:\n{list}"
    );
    node.sh_ok(&format!("stat -c %a {file} | grep -qx 600 && cd {DIR} && sha256sum -c --quiet *.sha256"))?;
    node.sh_ok(&format!("tar xzOf {file} etcd/snapshot.db > /root/plain.db"))?;
    let said = expect(&rkadm(node, &["backup", "verify", "/root/plain.db"])?, 0, &[])?;
    ensure!(said.contains("good: revision"), "{said}");
    let said = expect(&rkadm(node, &["backup", "verify", "latest"])?, 0, &[])?;
    ensure!(said.contains("good: revision") && said.contains("files beside it"), "{said}");
    let metrics = node.sh_ok("cat /tmp/backup.prom")?;
    ensure!(metrics.contains("rkadm_backup_last_run_success 1\n"), "{metrics}");
    Ok(())
}

/// Of a resource that no table knows.
const WIDGETS: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\n\
    spec:\n  group: example.com\n  scope: Namespaced\n  names: {kind: Widget, plural: widgets, singular: widget}\n  versions:\n  \
    - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n";

/// All objects as YAML, for people: nothing is missing, nothing cannot be read, and the manifest counts what etcd holds.
fn resources(node: &Node, without: &serde_json::Value) -> Result<()> {
    ensure!(without["resources"].is_null(), "{without}");
    node.write("/root/crd.yaml", WIDGETS, 0o600)?;
    kubectl(node, "create -f /root/crd.yaml")?;
    kubectl(node, "wait --for=condition=Established crd/widgets.example.com")?;
    let widget =
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: kube-public}\nsize: 7\n";
    node.write("/root/widget.yaml", widget, 0o600)?;
    kubectl(node, "create -f /root/widget.yaml")?;
    let dir = "/srv/readable";
    let args = ["backup", "etcd", "--dir", dir, "--resources", "--compression", "none", "-o", "json"];
    let output = rkadm(node, &args)?;
    expect(&output, 0, &[])?;
    let made = json(&output)?;
    ensure!(made["resources"].as_u64() > Some(150) && made["warnings"].is_null(), "{made}");
    let file = made["file"].as_str().unwrap_or_default();
    node.sh_ok(&format!("mkdir /root/open && tar xf {file} -C /root/open && rkadm backup verify {file}"))?;
    let all = "/root/open/resources";
    node.sh_ok(&format!("grep -q 'size: 7' {all}/namespaces/kube-public/widgets.example.com.yaml"))?;
    // In the clear, although etcd has it encrypted; and in a form that kubectl takes.
    node.sh_ok(&format!("grep -q 'a: Yg==' {all}/namespaces/default/secrets.yaml"))?;
    node.sh_ok(&format!("! grep -rq managedFields {all}"))?;
    kubectl(node, &format!("apply --dry-run=server -f {all}/namespaces/kube-system/configmaps.yaml"))?;
    for (what, file) in [
        ("clusterroles", "clusterroles.rbac.authorization.k8s.io"),
        ("nodes", "nodes"),
        ("apiservices", "apiservices.apiregistration.k8s.io"),
    ] {
        let live = kubectl(node, &format!("get {what} -o name"))?.lines().count();
        let saved = node.sh_ok(&format!("grep -c '^---$' {all}/cluster/{file}.yaml"))?;
        ensure!(saved.trim() == live.to_string(), "{what}: {live} live, {saved} saved");
    }
    let manifest: serde_json::Value = serde_json::from_str(&node.sh_ok("cat /root/open/manifest.json")?)?;
    let counts = &manifest["objects"];
    ensure!(
        counts["secrets"]["default"] == 1 && counts["widgets.example.com"]["kube-public"] == 1,
        "{counts}"
    );
    ensure!(counts["nodes"][""] == 1 && counts["services"]["kube-system"] == 1, "{counts}");
    // What nobody can be asked for is told, and the backup is made.
    let away = ["backup", "etcd", "--dir", dir, "--resources", "--kubeconfig", "/root/none.conf"];
    let words = ["API objects are left out: cannot read /root/none.conf"];
    let said = expect(&rkadm(node, &away)?, 0, &words)?;
    ensure!(said.contains("0 objects as YAML"), "{said}");
    let streamed = node.sh_ok("rkadm backup etcd --dir - --resources --compression none | tar t")?;
    ensure!(streamed.contains("resources/namespaces/default/secrets.yaml"), "{streamed}");
    node.sh_ok(&format!("ls -A {dir} | grep partial && exit 1; rm -r /root/open {dir}")).map(drop)
}

/// The real etcd and the real API server work on it, and the cluster does not notice.
fn drill(node: &Node, file: &str) -> Result<()> {
    let before = node.sh_ok("ls /proc/$(pgrep -x etcd)/ns -l | grep net; pgrep -x etcd")?;
    let output = rkadm(node, &["backup", "drill", "latest", "--apiserver", "-o", "json"])?;
    expect(&output, 0, &[])?;
    let said = json(&output)?;
    let api = &said["findings"]["apiServer"];
    // It could decrypt the Secrets, with the key that is only in the backup's encryption configuration.
    ensure!(api["namespaces"].as_u64() >= Some(4) && api["secrets"].as_u64() >= Some(1), "{said}");
    let version = api["version"].as_str().unwrap_or_default();
    ensure!(version.starts_with(&format!("v{NEWEST}.")) && said["file"] == file, "{said}");
    let after = node.sh_ok("ls /proc/$(pgrep -x etcd)/ns -l | grep net; pgrep -x etcd")?;
    ensure!(before == after, "etcd was {before}, is {after}");
    ensure!(!node.sh_ok(&format!("ls -A {DIR}"))?.contains(".rkadm-scratch-"), "something was left");
    let list = expect(&rkadm(node, &["backup", "list"])?, 0, &[])?;
    ensure!(list.contains("good ") && list.contains("DRILL"), "{list}");
    Ok(())
}

/// Changed anywhere, cut off, or something else altogether.
fn damage(node: &Node, file: &str) -> Result<()> {
    let size: u64 = node.sh_ok(&format!("stat -c %s {file}"))?.trim().parse()?;
    for at in [0, 5, 100, size / 3, size / 2, size - 20, size - 1] {
        let script = format!(
            "set -e; cp {file} /root/bad.tar.gz; sed s/rkadm-backup.*/bad.tar.gz/ {file}.sha256 > /root/bad.tar.gz.sha256
             byte=$(od -An -tu1 -j{at} -N1 /root/bad.tar.gz); printf \"\\\\x$(printf %02x $((byte ^ 16)))\" |
             dd of=/root/bad.tar.gz bs=1 seek={at} conv=notrunc status=none"
        );
        node.sh_ok(&script)?;
        let output = rkadm(node, &["backup", "verify", "/root/bad.tar.gz"])?;
        ensure!(output.status == 1, "a change at byte {at} of {size} was not found: {output:?}");
    }
    node.sh_ok(&format!("rm /root/bad.tar.gz.sha256; head -c {} {file} > /root/bad.tar.gz", size / 2))?;
    expect(
        &rkadm(node, &["backup", "verify", "/root/bad.tar.gz"])?,
        1,
        &["is damaged", "use another backup"],
    )?;
    node.sh_ok("head -c 5000 /dev/urandom > /root/bad.tar.gz; : > /root/empty.tar.gz")?;
    expect(&rkadm(node, &["backup", "verify", "/root/bad.tar.gz"])?, 1, &["is no backup"])?;
    expect(&rkadm(node, &["backup", "verify", "/root/empty.tar.gz"])?, 1, &["is no backup"])?;
    node.sh_ok("head -c 70000 /root/plain.db > /root/short.db")?;
    expect(&rkadm(node, &["backup", "verify", "/root/short.db"])?, 1, &["cut off"]).map(drop)
}

fn lists_and_keeps(node: &Node, first: &str) -> Result<()> {
    for _ in 0..2 {
        expect(&rkadm(node, &["backup", "etcd", "--compression", "none"])?, 0, &[])?;
        node.sh_ok("sleep 1.1")?;
    }
    node.write(&format!("{DIR}/rkadm-backup-foreign.tar.gz"), "not ours", 0o600)?;
    let output = rkadm(node, &["backup", "list", "-o", "json"])?;
    expect(&output, 0, &["rkadm-backup-foreign.tar.gz is no backup"])?;
    let list = json(&output)?;
    ensure!(list["items"].as_array().is_some_and(|items| items.len() == 3), "{list}");
    ensure!(list["items"][2]["file"] == first, "{list}");
    expect(&rkadm(node, &["backup", "prune"])?, 2, &["no rule says what to keep"])?;
    let said = expect(&rkadm(node, &["backup", "prune", "--keep-last", "1", "--dry-run"])?, 0, &[])?;
    ensure!(said.matches("would remove").count() == 2, "{said}");
    expect(&rkadm(node, &["backup", "etcd", "--keep-last", "2"])?, 0, &[])?;
    let left = node.sh_ok(&format!("ls {DIR} | grep -v -e sha256 -e drill.json"))?;
    ensure!(left.lines().count() == 3 && left.contains("foreign"), "{left}");
    node.sh_ok(&format!("rm {DIR}/rkadm-backup-foreign.tar.gz")).map(drop)
}

fn bad_luck(node: &Node) -> Result<()> {
    // Two cron jobs at once.
    node.sh_ok(&format!("systemd-run --unit holder flock {DIR}/.rkadm-backup-lock sleep 60; sleep 0.3"))?;
    expect(&rkadm(node, &["backup", "etcd"])?, 7, &["another backup is at work"])?;
    node.sh_ok("systemctl stop holder")?;
    // No room, seen before anything is written.
    node.small_fs("/srv/small", 1 << 20)?;
    let words = ["/srv/small has", "are needed", "free some space"];
    expect(&rkadm(node, &["backup", "etcd", "--dir", "/srv/small"])?, 1, &words)?;
    ensure!(node.sh_ok("ls -A /srv/small")?.trim() == ".rkadm-backup-lock", "something was left");
    node.remove_small_fs("/srv/small")?;
    // etcd that is not there.
    let pki = "/etc/kubernetes/pki/etcd";
    let (ca, cert, key) = (
        format!("{pki}/ca.crt"),
        format!("{pki}/healthcheck-client.crt"),
        format!("{pki}/healthcheck-client.key"),
    );
    let files = ["--etcd-cacert", &ca, "--etcd-cert", &cert, "--etcd-key", &key];
    let away = [&["backup", "etcd", "--etcd-endpoints", "https://127.0.0.1:1"][..], &files[..]].concat();
    expect(&rkadm(node, &away)?, 1, &["etcd does not answer at https://127.0.0.1:1", "efused"])?;
    // Killed at any moment: nothing has a final name before it is whole, and the next one cleans up.
    for moment in ["0.02", "0.05", "0.08", "0.11", "0.14", "0.17"] {
        node.sh(&format!("timeout -s KILL {moment} rkadm backup etcd --dir /srv/killed"))?;
        node.sh_ok("cd /srv/killed 2>/dev/null || exit 0; for f in rkadm-*.gz; do test ! -e $f || gzip -t $f || exit 1; done")?;
    }
    expect(&rkadm(node, &["backup", "etcd", "--dir", "/srv/killed"])?, 0, &[])?;
    let partial = node.sh_ok("ls -A /srv/killed | grep partial || true")?;
    ensure!(partial.is_empty(), "left behind: {partial}");
    // A member that has raised an alarm is still worth a backup, and it is said.
    Ok(())
}

/// The service does under systemd's restrictions what the command does without.
fn schedule(node: &Node) -> Result<()> {
    let line = expect(&rkadm(node, &["backup", "schedule", "--print-cron", "--keep-daily", "7"])?, 0, &[])?;
    ensure!(
        line.contains("root") && line.contains("backup etcd") && line.contains("--keep-daily=7"),
        "{line}"
    );
    let args = [
        "backup",
        "schedule",
        "--calendar",
        "*-*-* 03:00",
        "--keep-daily",
        "7",
        "--dir",
        "/srv/clock",
        "--drill",
        "weekly",
    ];
    expect(&rkadm(node, &args)?, 0, &[])?;
    node.sh_ok("systemd-analyze verify /etc/systemd/system/rkadm-backup.service; systemctl start rkadm-backup.service")?;
    wait(node, "ls /srv/clock/*.tar.gz && systemctl is-enabled rkadm-backup.timer")?;
    node.sh_ok("systemd-analyze verify /etc/systemd/system/rkadm-backup-drill.service; systemctl start rkadm-backup-drill.service")?;
    wait(node, "ls /srv/clock/*.drill.json && systemctl is-enabled rkadm-backup-drill.timer")?;
    let again = expect(&rkadm(node, &args)?, 0, &["nothing to do"])?;
    ensure!(again.contains("rkadm-backup.timer"), "{again}");
    reschedule(node)
}

/// What ran before runs on where a new schedule fails, and nothing of it is left where one succeeds.
fn reschedule(node: &Node) -> Result<()> {
    let times = || {
        node.sh_ok(
            "systemctl show -P TimersCalendar rkadm-backup.timer; systemctl is-active rkadm-backup.timer",
        )
    };
    let nightly = times()?;
    ensure!(nightly.contains("*-*-* 03:00:00") && nightly.contains("active"), "{nightly}");
    let hourly = ["backup", "schedule", "--dir", "/srv/clock"];
    let never = [&hourly[..], &["--calendar", "every night"]].concat();
    expect(
        &rkadm(node, &never)?,
        1,
        &["systemd does not understand \"every night\"", "systemd-analyze calendar"],
    )?;
    let hidden = [&hourly[..], &["--prometheus", "/tmp/rkadm.prom"]].concat();
    expect(&rkadm(node, &hidden)?, 1, &["/tmp/rkadm.prom is in a directory for temporary files"])?;
    node.sh_ok(
        "cp /usr/bin/systemctl /tmp/real && printf '#!/bin/sh\\n[ \"$1\" != enable ] || exit 1\\nexec /tmp/real \"$@\"\\n' >/tmp/broken &&
         chmod +x /tmp/broken && mount --bind /tmp/broken /usr/bin/systemctl",
    )?;
    let failed = rkadm(node, &hourly)?;
    node.sh_ok("umount /usr/bin/systemctl")?;
    expect(&failed, 1, &["systemctl enable --now rkadm-backup.timer"])?;
    let after = times()?;
    ensure!(after == nightly, "the old timer is not as before: {after}");
    expect(&rkadm(node, &hourly)?, 0, &[])?;
    let after = times()?;
    ensure!(after.contains("*-*-* *:00:00") && after.contains("active"), "{after}");
    // The one of the drill went by the old words.
    node.sh_ok(
        "! systemctl is-enabled rkadm-backup-drill.timer && ! ls /etc/systemd/system/rkadm-backup-drill.*",
    )?;
    Ok(())
}
