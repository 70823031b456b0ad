//! Faults that need more than one command.

use anyhow::Result;
use rkadm_nodes::Node;

/// In even seconds 429, with the wish to wait; in odd ones 500. The request is read first: a connection that is closed with
/// something unread is reset, and that would be another fault.
const OVERLOADED: &str = r#"#!/bin/bash
while IFS= read -r line; do
    line=${line%$'\r'}
    test -n "$line" || break
done
body='{"kind":"Status","apiVersion":"v1","status":"Failure","message":"a test says no"}'
if (( $(date +%s) % 2 )); then
    head='HTTP/1.1 500 Internal Server Error'
else
    head='HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1'
fi
printf "$head"'\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' ${#body} "$body"
echo x >> /run/overloaded.count
"#;

/// From now on, calls from `caller` to the API server of `cp` are answered with 429 and 500: by a server that holds the API
/// server's certificate, to which the packets are led. Connections that are there are reset.
pub fn overload(cp: &Node, caller: &Node) -> Result<()> {
    cp.write("/usr/local/bin/overloaded", OVERLOADED, 0o755)?;
    let pki = "/etc/kubernetes/pki";
    cp.sh_ok(&format!(
        "set -eu; rm -f /run/overloaded.count
         systemd-run -q --collect --unit overloaded socat OPENSSL-LISTEN:16443,reuseaddr,fork,verify=0,cert={pki}/apiserver.crt,key={pki}/apiserver.key EXEC:/usr/local/bin/overloaded
         for i in $(seq 100); do ss -ltn | grep -q :16443 && break; sleep 0.05; done
         nft add table ip overloaded
         nft add chain ip overloaded lead '{{ type nat hook prerouting priority -150; }}'
         nft add rule ip overloaded lead ip saddr {ip} tcp dport 6443 redirect to :16443
         nft add chain ip overloaded cut '{{ type filter hook input priority -150; }}'
         nft add rule ip overloaded cut ip saddr {ip} tcp dport 6443 reject with tcp reset",
        ip = caller.ip()
    ))
    .map(drop)
}

/// Ends it, and tells how many calls met it.
pub fn relieve(cp: &Node) -> Result<usize> {
    cp.sh_ok("nft delete table ip overloaded; systemctl stop overloaded")?;
    let count = cp.sh_ok("cat /run/overloaded.count 2>/dev/null | wc -l")?;
    Ok(count.trim().parse()?)
}

/// A small file system of its own for rkadm's journals, which [`fill`] fills to the last byte.
pub fn small_disk(node: &Node) -> Result<()> {
    node.sh_ok("mkdir -p /var/lib/rkadm && mount -t tmpfs -o size=4m,mode=700 tmpfs /var/lib/rkadm").map(drop)
}

pub fn fill(node: &Node) -> Result<()> {
    node.sh_ok("cat /dev/zero > /var/lib/rkadm/filler 2>/dev/null || true").map(drop)
}

pub fn make_room(node: &Node) -> Result<()> {
    node.sh_ok("rm -f /var/lib/rkadm/filler").map(drop)
}
