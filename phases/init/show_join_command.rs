//! `show-join-command`: what other nodes need to join.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict},
    pki::Certificate,
};
use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use crate::files::Existing;

/// Phase id.
pub const ID: &str = "show-join-command";
/// Name of the recorded output.
pub const OUTPUT: &str = "join-command";

/// Everything of the join command that is not secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinCommand {
    /// `host:port` of the API server.
    pub endpoint: String,
    /// Pin of the cluster's authority, `sha256:<hex>` of its public key.
    pub ca_cert_hash: String,
    /// Pins of others, where the cluster has several: who joins wants each of them to be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_ca_cert_hashes: Vec<String>,
    /// Whether other control planes can join: the cluster has an endpoint that is not one node's own.
    pub control_planes: bool,
}

/// Records what the result prints.
pub struct ShowJoinCommand {
    cluster: Arc<Cluster>,
}

impl ShowJoinCommand {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

#[async_trait]
impl Phase for ShowJoinCommand {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(ID, "Show the join command for control-plane and worker node")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let path = self.cluster.ca_files("ca").cert;
        let pem = match Existing::at(cx, &path).await? {
            Existing::Bytes(pem) => pem,
            Existing::Planned => return Ok(Verdict::AlreadyDone("known after apply".into())),
            Existing::Absent => {
                return Err(PhaseError::Unusable {
                    message: format!("{} is missing", path.display()),
                    hint: "run `rkadm init phase certs ca` first".into(),
                });
            }
        };
        let authorities = Certificate::bundle_from_pem(&pem)
            .map_err(|error| PhaseError::Config { message: format!("{}: {error}", path.display()) })?;
        let config = &self.cluster.config;
        let endpoint = config.control_plane_endpoint();
        let mut hashes = authorities.iter().map(Certificate::spki_hash);
        let value = JoinCommand {
            endpoint: endpoint.trim_start_matches("https://").to_owned(),
            ca_cert_hash: hashes.next().unwrap_or_default(),
            more_ca_cert_hashes: hashes.collect(),
            control_planes: !config.cluster.control_plane_endpoint.is_empty(),
        };
        let value =
            serde_json::to_value(value).map_err(|error| PhaseError::Config { message: error.to_string() })?;
        let mut steps = vec![];
        if self.cluster.waits_at_the_end() {
            let healthy = self.cluster.all_healthy(self.cluster.admin(cx.host).await?);
            steps.push(self.cluster.wait_by_kubelet(healthy));
        }
        steps.push(Step::Record { name: OUTPUT.into(), value });
        Ok(Verdict::Apply(steps))
    }
}
