//! What a machine says of itself before several are upgraded: `rkadm upgrade survey`, which no person types.

use rkadm_core::{engine::journal::JournalDir, host::Probe as _, text::sha256_hex};
use rkadm_phases::upgrade::{source, state};
use serde::{Deserialize, Serialize};

use super::super::request::unusable;
use crate::cli::{API_TIMEOUT, Session, exit::CommandError};

/// Every node has it.
const CLUSTER_CA: &str = "/etc/kubernetes/pki/ca.crt";

/// What it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    /// Its Node.
    pub node: String,
    /// It has an API server.
    pub control_plane: bool,
    /// Its member leads etcd.
    pub leads: bool,
    /// SHA-256 of the cluster's authority.
    pub authority: Option<String>,
    /// An operation that was cut off.
    pub unfinished: Option<Unfinished>,
}

/// An operation that was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    /// Its id.
    pub id: String,
    /// Its command.
    pub workflow: String,
    /// It is an upgrade, and can go on.
    pub resumable: bool,
}

/// Answers.
pub async fn run(session: &Session) -> Result<(), CommandError> {
    Session::require_root("upgrade survey")?;
    let host = session.host(API_TIMEOUT);
    let (node, own) = source::node(&host).await.map_err(|error| unusable(&error))?;
    let leader = if own.is_some() { state::etcd_leader(&host).await } else { None };
    let authority = host.read(CLUSTER_CA.as_ref()).await.ok().flatten().map(|ca| sha256_hex(&ca));
    let unfinished = JournalDir::below(&session.root).unfinished()?.map(|operation| Unfinished {
        resumable: operation.status.is_resumable() && operation.workflow().starts_with("upgrade "),
        workflow: operation.workflow().to_owned(),
        id: operation.id,
    });
    let seat = Seat {
        control_plane: own.is_some(),
        leads: leader.as_ref() == Some(&node.name),
        node: node.name,
        authority,
        unfinished,
    };
    crate::output::plain(&serde_json::to_string(&seat).map_err(CommandError::failed)?);
    Ok(())
}
