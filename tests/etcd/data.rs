//! What the tests write into etcd.

use anyhow::Result;

use crate::client::Client;

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
