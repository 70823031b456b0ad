//! What every phase of `join` knows.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use rkadm_core::{
    config::{ResolvedJoin, StoredConfigError, joined},
    discovery::{ClusterSettings, FoundCluster},
    engine::{PhaseError, PlanCx},
    etcd::EtcdAccess,
    host::ApiAccess,
};
use serde::{Deserialize, Serialize};

use crate::init::{Cluster, Environment};

/// What was asked for, and what the cluster said to it. A resume works from this: the token may have expired by then.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinRequest {
    /// Files and flags.
    pub join: ResolvedJoin,
    /// Remove a member of etcd that stands in this node's place and is dead.
    #[serde(default)]
    pub replace_member: bool,
    /// Name of another machine's member whose place this node takes: dead, and removed too.
    #[serde(default)]
    pub replaced: Option<String>,
    /// The cluster.
    pub found: FoundCluster,
    /// Its settings.
    pub settings: ClusterSettings,
    /// What the process that ran the command hands on.
    pub environment: Environment,
    /// Only this phase, or the phases below this name.
    #[serde(default)]
    pub only: Option<String>,
}

/// A node that joins.
#[derive(Debug)]
pub struct Joining {
    /// What was asked for.
    pub request: JoinRequest,
    /// The cluster, with this node in it.
    pub cluster: Arc<Cluster>,
}

impl Default for Joining {
    /// For what does not depend on the configuration.
    fn default() -> Self {
        Self {
            request: JoinRequest::default(),
            cluster: Arc::new(Cluster::new(Arc::default(), Environment::default())),
        }
    }
}

impl Joining {
    /// Lays this node over the settings of the cluster.
    ///
    /// # Errors
    /// The settings that the cluster keeps cannot be used.
    pub fn new(request: JoinRequest) -> Result<Self, StoredConfigError> {
        let config = joined(&request.join, &request.settings.cluster, &request.settings.kubelet)?;
        let environment = Environment { joins: true, ..request.environment.clone() };
        Ok(Self { request, cluster: Arc::new(Cluster::new(Arc::new(config), environment)) })
    }

    /// Whether the node becomes a control plane.
    pub fn is_control_plane(&self) -> bool {
        self.request.join.control_plane.is_some()
    }

    /// An administrator, at the cluster's own endpoint: this node's API server may not run yet.
    pub fn admin_elsewhere(&self) -> ApiAccess {
        ApiAccess { kubeconfig: Cluster::kubeconfig("admin.conf"), server: None }
    }

    /// How etcd is reached with the certificates of this node.
    pub fn etcd_access(&self, endpoints: Vec<String>) -> EtcdAccess {
        EtcdAccess::of_health_check(&self.cluster.cert_file("etcd"), endpoints)
    }

    /// Where other members of etcd reach this node's.
    pub fn peer_url(&self) -> String {
        format!("https://{}:2380", self.host())
    }

    /// Where clients reach this node's member of etcd.
    pub fn client_url(&self) -> String {
        format!("https://{}:2379", self.host())
    }

    fn host(&self) -> String {
        let address = &self.cluster.config.local_api_endpoint.advertise_address;
        match address.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => address.clone(),
        }
    }

    /// Whether etcd has written something here: this node's member has run.
    pub async fn has_etcd_data(&self, cx: &PlanCx<'_>) -> Result<bool, PhaseError> {
        let Some(dir) = self.cluster.etcd_data_dir() else { return Ok(false) };
        Ok(cx.host.stat(&dir.join("member")).await?.is_some())
    }

    /// Where the kubeconfig of the TLS bootstrap is written.
    pub fn bootstrap_conf() -> PathBuf {
        Cluster::kubeconfig("bootstrap-kubelet.conf")
    }
}

/// What a phase of control planes says on a worker.
pub const WORKER: &str = "this node becomes a worker";
