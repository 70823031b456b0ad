//! `rkadm op list --cluster`: joins that have not come to their end, as another machine sees them.

use std::{collections::BTreeSet, path::Path, time::Duration};

use rkadm_core::{
    backup::source::{self, StaticPods},
    etcd::Member,
    host::Probe as _,
    kube::objects::{CONTROL_PLANE_LABEL, unfinished_join_of},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{Session, cluster::Cluster, exit::CommandError},
    output::{note, text},
};

/// How long etcd is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that a join left on its way.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Unfinished {
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    message: String,
}

/// The result.
#[derive(Debug, Serialize)]
struct List<'a> {
    items: &'a [Unfinished],
}

/// Lists the Nodes that say so themselves, learners of etcd, and voting members without a control plane's Node.
pub async fn list(session: &Session, kubeconfig: Option<&Path>) -> Result<(), CommandError> {
    let cluster = Cluster::open(session, kubeconfig)?;
    let nodes = cluster.client.list("Node", None).await.map_err(|error| cluster.explain(&error, ""))?;
    let mut items: Vec<_> = nodes.iter().filter_map(of_node).collect();
    match members(session).await {
        Ok(members) => items.extend(of_members(&members, &nodes)),
        Err(why) => note(&format!("Warning: members of etcd are not listed: {why}")),
    }
    session.printer.result("UnfinishedJoinList", &List { items: &items }, || {
        if items.is_empty() {
            return "The cluster shows no unfinished join.\n".into();
        }
        let row = |item: &Unfinished| {
            let since = item.since.clone().unwrap_or_default();
            vec![item.kind.into(), item.name.clone(), since, item.message.clone()]
        };
        text::table(&["KIND", "NAME", "SINCE", "WHAT TO DO"], items.iter().map(row).collect())
    });
    Ok(())
}

/// The members of the etcd that this machine knows of.
async fn members(session: &Session) -> Result<Vec<Member>, String> {
    let pods = StaticPods::read(&session.root).map_err(|error| error.to_string())?;
    let access = source::access(&pods).map_err(|error| error.to_string())?;
    let host = session.host(PATIENCE);
    let asked = tokio::time::timeout(PATIENCE, host.etcd_members(&access)).await;
    let answer = asked.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    answer.map_err(|error| error.to_string())
}

fn of_node(node: &Value) -> Option<Unfinished> {
    let condition = unfinished_join_of(node)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Unfinished {
        kind: "Node",
        name: text(&node["metadata"]["name"])?,
        since: text(&condition["lastTransitionTime"]),
        message: text(&condition["message"]).unwrap_or_default(),
    })
}

fn of_members(members: &[Member], nodes: &[Value]) -> Vec<Unfinished> {
    let control_planes: BTreeSet<_> = nodes
        .iter()
        .filter(|node| node["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_some())
        .filter_map(|node| node["metadata"]["name"].as_str())
        .collect();
    // An etcd of its own has members that are no nodes at all.
    let stacked = members.iter().any(|member| control_planes.contains(member.name.as_str()));
    let there = "`rkadm op list` on that machine says whether a join is at work there; else `rkadm op resume` or \
                 `rkadm op rollback` there. If the machine is gone";
    let mut items = vec![];
    for member in members {
        let what = if member.is_learner && !member.has_started() {
            "a learner that has never started"
        } else if member.is_learner {
            "a learner: it has no vote yet"
        } else if stacked && !control_planes.contains(member.name.as_str()) {
            "it votes, and there is no control plane's Node of its name"
        } else {
            continue;
        };
        items.push(Unfinished {
            kind: "EtcdMember",
            name: member.describe(),
            since: None,
            message: format!("{what}; {there}: etcdctl member remove {}", member.hex_id()),
        });
    }
    items
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(id: u64, name: &str, is_learner: bool) -> Member {
        let peer_urls = vec![format!("https://10.0.0.{id}:2380")];
        Member { id, name: name.into(), peer_urls, is_learner, ..Member::default() }
    }

    fn node(name: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {CONTROL_PLANE_LABEL: ""}}})
    }

    #[test]
    fn members_that_are_on_their_way_are_told_from_those_that_are_there() {
        let nodes = [node("cp1")];
        let members =
            [member(1, "cp1", false), member(2, "cp2", false), member(3, "cp3", true), member(4, "", true)];
        let items = of_members(&members, &nodes);
        let told: Vec<_> = items.iter().map(|item| (item.name.as_str(), item.message.as_str())).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].0 == "cp2 (2)" && told[0].1.starts_with("it votes, and there is no"), "{told:?}");
        assert!(told[1].0 == "cp3 (3)" && told[1].1.starts_with("a learner: it has no vote"), "{told:?}");
        assert!(told[2].0 == "https://10.0.0.4:2380 (4)", "{told:?}");
        assert!(told[2].1.starts_with("a learner that has never started"), "{told:?}");
        assert!(told[2].1.ends_with("etcdctl member remove 4"), "{told:?}");
    }

    #[test]
    fn members_of_an_etcd_of_its_own_are_no_nodes() {
        assert_eq!(of_members(&[member(1, "etcd-a", false)], &[node("cp1")]), []);
    }
}
