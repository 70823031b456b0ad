//! A client that writes and reads all the time, and tries another server when one does not answer.

use anyhow::{Context as _, Result, ensure};
use rkadm_nodes::Node;

/// Every write that was acknowledged is noted; servers are tried in turn for up to a minute.
const SCRIPT: &str = r#"#!/bin/bash
rm -f /run/load.acknowledged /run/load.failed
touch /run/load.acknowledged
number=0
while test ! -e /run/load.stop; do
    number=$((number + 1))
    done=
    for try in $(seq 600); do
        for server in SERVERS; do
            if kubectl --kubeconfig /root/load.conf --server "$server" --request-timeout 2s \
                create configmap "load-$number" --from-literal=n=$number >/dev/null 2>/run/load.error ||
                grep -q AlreadyExists /run/load.error; then done=1; break 2; fi
        done
        sleep 0.1
    done
    sleep 0.2
    if test -n "$done"; then echo $number >>/run/load.acknowledged; else echo $number >>/run/load.failed; fi
done
"#;

/// The client, at work on one node.
pub struct Load {
    client: Node,
    cp: Node,
}

impl Load {
    /// Starts it on `client`, with the API servers of these control planes.
    pub fn start(client: &Node, control_planes: &[&Node]) -> Result<Self> {
        let cp = (*control_planes.first().context("no control plane")?).clone();
        client.write("/root/load.conf", cp.read("/etc/kubernetes/admin.conf")?, 0o600)?;
        let servers: Vec<_> =
            control_planes.iter().map(|node| format!("https://{}:6443", node.ip())).collect();
        client.write("/usr/local/bin/load", SCRIPT.replace("SERVERS", &servers.join(" ")), 0o755)?;
        client.sh_ok("rm -f /run/load.stop; systemd-run -q --collect --unit load /usr/local/bin/load")?;
        Ok(Self { client: client.clone(), cp })
    }

    /// Ends it.
    pub fn stop(&self) -> Result<()> {
        let script = "touch /run/load.stop; for i in $(seq 900); do systemctl is-active -q load || break; sleep 0.1; done";
        self.client.sh_ok(script).map(drop)
    }

    /// Ends it: every write was acknowledged, and each is there.
    pub fn nothing_is_lost(self) -> Result<()> {
        self.stop()?;
        let acknowledged = self.client.sh_ok("cat /run/load.acknowledged")?;
        let failed = self.client.sh_ok("cat /run/load.failed 2>/dev/null || true")?;
        ensure!(failed.is_empty(), "writes that no server took within a minute: {failed}");
        let there = super::kubectl(&self.cp, "get configmaps -o name")?;
        let lost: Vec<_> = acknowledged
            .lines()
            .filter(|number| !there.lines().any(|name| name == format!("configmap/load-{number}")))
            .collect();
        ensure!(acknowledged.lines().count() > 10, "there was hardly any load: {acknowledged}");
        ensure!(lost.is_empty(), "of {} writes these are lost: {lost:?}", acknowledged.lines().count());
        Ok(())
    }
}
