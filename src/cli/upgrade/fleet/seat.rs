//! What a machine says of itself before several are upgraded: `rkadm upgrade survey`, which no person types.

use rkadm_phases::upgrade::{source, state};
use serde::{Deserialize, Serialize};

use super::super::request::unusable;
use crate::cli::{API_TIMEOUT, Session, exit::CommandError};

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
}

/// Answers.
pub async fn run(session: &Session) -> Result<(), CommandError> {
    Session::require_root("upgrade survey")?;
    let host = session.host(API_TIMEOUT);
    let (node, own) = source::node(&host).await.map_err(|error| unusable(&error))?;
    let leader = if own.is_some() { state::etcd_leader(&host).await } else { None };
    let seat =
        Seat { control_plane: own.is_some(), leads: leader.as_ref() == Some(&node.name), node: node.name };
    crate::output::plain(&serde_json::to_string(&seat).map_err(CommandError::failed)?);
    Ok(())
}
