//! An upgrade that was cut off, and does not come to its end when it goes on: what it leaves meanwhile.

use std::collections::BTreeMap;

use rkadm_core::{
    config::ResolvedInit,
    engine::{
        journal::{Journal, JournalDir, Record, SCHEMA},
        store::Store,
    },
    text::sha256_hex,
};
use rkadm_phases::upgrade::{Scope, Upgrade, kubelet};

use crate::machine::{Machine, is_root};

const WORKFLOW: &str = "upgrade node phase kubelet";

/// A worker whose kubelet was to change when the power went, and that does not reach its cluster now.
fn cut_off(cordoned: bool) -> Machine {
    let machine = Machine::new();
    let version = "v1.37.2";
    let request = Upgrade {
        scope: Scope::Node,
        config: ResolvedInit { kubernetes_version: version.parse().unwrap(), ..ResolvedInit::default() },
        kubelet: Some(kubelet::KubeletUpgrade::default()),
        only: Some(kubelet::GROUP.into()),
        ..Upgrade::default()
    };
    let dir = JournalDir::below(&machine.path("/"));
    let begun = Record::Begun {
        schema: SCHEMA,
        workflow: WORKFLOW.into(),
        phases: vec!["kubelet/fetch".into()],
        command: vec!["rkadm".into(), WORKFLOW.into()],
        config: serde_json::Value::Null,
        // What makes it the same command: scope, version, renewal, etcd, patches, program, phase.
        digest: sha256_hex(
            format!("Node\n{version}\nfalse\nfalse\nNone\nSome(None)\nSome(\"kubelet\")").as_bytes(),
        ),
        rkadm: env!("CARGO_PKG_VERSION").into(),
    };
    let mut journal = Journal::create(&dir, begun).unwrap();
    if cordoned {
        let (name, value) = (kubelet::CORDONED.into(), true.into());
        journal.append(Record::Output { name, value }).unwrap();
    }
    journal.append(Record::Interrupted { signal: "SIGTERM".into() }).unwrap();
    let private = Store::new(Some(dir.private(&journal.operation.id)), BTreeMap::new());
    private.keep_secret("request", &serde_json::to_string(&request).unwrap()).unwrap();
    machine
}

#[test]
fn a_node_that_is_cordoned_meanwhile_is_told() {
    if !is_root() {
        return;
    }
    for cordoned in [true, false] {
        let machine = cut_off(cordoned);
        for _ in 0..2 {
            let ran = machine.rkadm("op resume");
            ran.exits(5);
            let told = ran.stderr().contains("This node is cordoned meanwhile: it takes no new pods.");
            assert_eq!(told, cordoned, "{}", ran.report());
        }
    }
}
