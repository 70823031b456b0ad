//! `restore cluster`: a cluster whose machines are all gone comes back on a machine that was never part of it.
//!
//! It is `init` with keys, settings and data of the backup: what belongs to the lost machine alone (certificates, kubeconfigs,
//! manifests, kubelet settings) is made anew for this one.

mod endpoint;
mod files;
mod nodes;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rkadm_core::{
    backup::lost::LostFile,
    config::{Image, ResolvedInit},
    engine::{Phase, PhaseMeta, Workflow},
    etcd::EtcdAccess,
    kube::storage,
    manifest::args,
    text::bracketed,
};
use serde::{Deserialize, Serialize};

use super::{NodeEtcd, Restore, Source, repair, report, swap, trial};
use crate::{
    init::{self, Cluster, Environment},
    static_pods,
};

pub use files::own_static_pod;
pub use nodes::{REMOVED_OUTPUT, RemoveNodes};

/// The name of the operation.
pub const CLUSTER_WORKFLOW: &str = "restore cluster";

/// What is to come back, and as what. It is kept with the operation, so that a resume goes on with the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRestore {
    /// Ends the names of what is made beside the data.
    pub id: String,
    /// The backup.
    pub source: Source,
    /// The cluster's settings, and this machine's.
    pub config: ResolvedInit,
    /// As for `init`.
    pub environment: Environment,
    /// By how much the revision is raised.
    pub bump: u64,
    /// Whose Node objects go.
    pub remove: RemoveNodes,
    /// Files of the backup. They hold keys: a resume reads them from the backup again.
    #[serde(skip)]
    pub files: Vec<LostFile>,
}

impl ClusterRestore {
    /// The etcd that this machine will have.
    fn etcd(&self) -> NodeEtcd {
        let config = &self.config;
        let pki = PathBuf::from(config.cert_dir());
        let local = config.cluster.etcd.local.clone().unwrap_or_default();
        NodeEtcd {
            name: config.node_name().to_owned(),
            peer_urls: vec![format!(
                "https://{}:2380",
                bracketed(&config.local_api_endpoint.advertise_address)
            )],
            quota: static_pods::etcd_quota(args::value(&local.extra_args, "quota-backend-bytes")),
            data_dir: local.data_dir.into(),
            // Only what is in it changes places: the directory itself may be a file system of its own.
            mounted: true,
            version: config.image(Image::Etcd).rsplit_once(':').map(|(_, tag)| tag.to_owned()),
            access: EtcdAccess {
                endpoints: vec![format!("https://{}:2379", config.loopback())],
                ca: pki.join("etcd/ca.crt"),
                certificate: pki.join("etcd/healthcheck-client.crt"),
                key: pki.join("etcd/healthcheck-client.key"),
            },
            pki,
            api_url: Some(config.local_api_url()),
            encryption: args::value(&config.cluster.api_server.extra_args, "encryption-provider-config")
                .map(PathBuf::from),
            prefix: args::value(&config.cluster.api_server.extra_args, "etcd-prefix")
                .unwrap_or(storage::PREFIX)
                .to_owned(),
        }
    }

    /// Files of the backup that are written to places outside Kubernetes' own.
    pub fn files_elsewhere(&self) -> Vec<&Path> {
        files::outside(&self.files, Path::new(self.config.cert_dir()))
    }

    /// The same as a restore of etcd on this machine.
    pub fn restore(&self) -> Restore {
        Restore {
            id: self.id.clone(),
            source: self.source.clone(),
            node: self.etcd(),
            bump: self.bump,
            cri_socket: self.config.node_registration.cri_socket.clone(),
            anew: true,
            ..Restore::default()
        }
    }
}

/// The phases, in order.
pub fn workflow(request: &Arc<ClusterRestore>) -> Workflow {
    let cluster = Arc::new(Cluster::new(Arc::new(request.config.clone()), request.environment.clone()));
    let restore = Arc::new(request.restore());
    let mut phases: Vec<Box<dyn Phase>> = vec![init::preflight(&cluster)];
    phases.push(Box::new(files::Files { request: Arc::clone(request), cluster: Arc::clone(&cluster) }));
    phases.extend(init::certificates(&cluster));
    phases.extend(init::kubeconfigs(&cluster));
    phases.push(Box::new(trial::MakeTrial(Arc::clone(&restore))));
    phases.push(Box::new(swap::SwapData(Arc::clone(&restore))));
    phases.extend(init::running(&cluster));
    phases.push(Box::new(repair::Repair(Arc::clone(&restore))));
    phases.push(Box::new(nodes::Nodes {
        restore: Arc::clone(&restore),
        cluster: Arc::clone(&cluster),
        remove: request.remove,
    }));
    phases.push(init::upload_kubeadm_config(&cluster));
    phases.extend(init::joinable(&cluster));
    phases.push(Box::new(endpoint::KubeProxy { cluster: Arc::clone(&cluster) }));
    phases.push(Box::new(init::ShowJoinCommand::new(&cluster)));
    phases.push(Box::new(report::Report { restore, reversible: false }));
    Workflow { name: CLUSTER_WORKFLOW.into(), phases }
}

/// The declarations of the phases, in order: they do not depend on the request.
pub fn metas() -> Vec<PhaseMeta> {
    workflow(&Arc::default()).metas()
}
