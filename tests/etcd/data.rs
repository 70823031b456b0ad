//! What the tests write into etcd.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::client::Client;

/// Of a control plane, as far as certificates go.
const CONFIG: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 192.0.2.10}
nodeRegistration: {name: cp1}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.2
encryptionAlgorithm: ECDSA-P256
";

/// Values of one byte repeated would hide records that were taken for each other.
#[must_use]
pub fn value(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

/// Keys `from..to`, twenty in each transaction.
pub fn put_many(client: &Client, prefix: &str, from: u64, to: u64, len: usize) -> Result<i64> {
    let pairs: Vec<_> = (from..to).map(|n| (format!("{prefix}{n:06}"), value(n + len as u64, len))).collect();
    let mut revision = 0;
    for pairs in pairs.chunks(20) {
        revision = client.put_all(pairs)?;
    }
    Ok(revision)
}

/// Text of which a part comes again and again, as in objects of Kubernetes: it compresses to a third or so.
#[must_use]
pub fn object(seed: u64, len: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut text = vec![];
    for word in value(seed, len / 6).chunks(8) {
        let hex = word.iter().fold(0_u64, |hex, byte| hex << 8 | u64::from(*byte));
        // A vector takes all.
        let _ = write!(text, r#"{{"name":"kubernetes.io/{hex:016x}","fieldPath":"spec.containers"}},"#);
    }
    text.truncate(len);
    text
}

/// The same as [`put_many`], of objects.
pub fn put_objects(client: &Client, prefix: &str, from: u64, to: u64, len: usize) -> Result<i64> {
    let mut revision = 0;
    for start in (from..to).step_by(50) {
        let pairs: Vec<_> = (start..to.min(start + 50))
            .map(|n| (format!("{prefix}{n:06}"), object(n + len as u64, len)))
            .collect();
        revision = client.put_all(&pairs)?;
    }
    Ok(revision)
}

/// Certificates of a machine whose files are in `root` below this directory.
pub fn certificates(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir.join("root/etc"))?;
    std::fs::create_dir_all(dir.join("root/var/lib"))?;
    std::fs::write(dir.join("cluster.yaml"), CONFIG)?;
    let made = Command::new(env!("CARGO_BIN_EXE_rkadm"))
        .args(["init", "phase", "certs", "all", "--config", "cluster.yaml", "--rootfs", "root"])
        .current_dir(dir)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    Ok(())
}

/// A history with something of everything: several revisions of keys, deletions before, at and after the compacted
/// revision, keys that came back, large values, leases.
pub fn rich(client: &Client) -> Result<()> {
    put_many(client, "/registry/pods/", 0, 400, 300)?;
    put_many(client, "/registry/pods/", 100, 200, 200)?;
    for n in 0..3 {
        client.put(&format!("/large/{n}"), &value(n, 1 << 20))?;
    }
    client.delete("/registry/pods/00010")?;
    for n in 0..3 {
        let lease = client.grant(3600)?;
        client.put_with_lease(&format!("/leased/{n}"), lease)?;
    }
    client.put("/registry/back", b"first")?;
    client.delete("/registry/back")?;
    client.put("/registry/gone", b"x")?;
    let compacted = client.delete("/registry/gone")?;
    client.compact(compacted, true)?;
    put_many(client, "/registry/pods/", 150, 250, 100)?;
    client.delete("/registry/pods/00030")?;
    client.put("/registry/back", b"second")?;
    client.put("/large/1", &value(9, 1 << 20))?;
    Ok(())
}
