//! Makes the small snapshots that the unit tests of the core damage in every way:
//! `cargo test --test etcd -- --ignored fixtures`.

use std::path::Path;

use anyhow::Result;

use crate::data;
use crate::net::Net;
use crate::server::{Etcd, Programs};

#[test]
#[ignore = "writes into the source tree"]
fn fixtures() -> Result<()> {
    for line in ["3.5", "3.6", "3.7"] {
        let (_net, programs, dir) = (Net::enter()?, Programs::of(line)?, tempfile::tempdir()?);
        let prefix = if line == "3.5" { "--experimental-" } else { "--" };
        let slow =
            [format!("{prefix}compaction-batch-limit=10"), format!("{prefix}compaction-sleep-interval=1s")];
        // One of them with a compaction under way.
        let args: Vec<_> = if line == "3.6" { slow.iter().map(String::as_str).collect() } else { vec![] };
        let etcd = Etcd::start(&programs, &dir.path().join("data"), &args)?;
        let revision = data::put_many(&etcd.client, "/registry/pods/", 0, 60, 30)?;
        data::put_many(&etcd.client, "/registry/pods/", 0, 40, 40)?;
        etcd.client.delete("/registry/pods/00002")?;
        etcd.client.compact(revision + 1, line != "3.6")?;
        data::put_many(&etcd.client, "/registry/pods/", 50, 55, 60)?;
        for command in [
            "role add reader",
            "role grant-permission reader read a",
            "user add who:secret",
            "member add learner --learner --peer-urls http://127.0.0.9:2380",
            "lease grant 1000",
        ] {
            etcd.ctl(&command.split(' ').collect::<Vec<_>>())?;
        }
        etcd.client.raise_alarm("NOSPACE")?;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/etcd/snapshot/fixtures");
        let file = dir.join(format!("{line}.db"));
        std::fs::create_dir_all(&dir)?;
        etcd.save(&file, &[])?;
        let hash = etcd.hash_kv(0, &[])?;
        let text = format!("{} {} {}\n", hash.hash, hash.revision, hash.compact_revision);
        std::fs::write(file.with_extension("hashkv"), text)?;
    }
    Ok(())
}
