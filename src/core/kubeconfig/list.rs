//! The kubeconfig files kubeadm writes to `/etc/kubernetes`, as data.

use std::time::Duration;

use crate::pki::{CertSpec, CertUsage, Sans};

/// Where the kubelet of a joined or initialised node keeps its rotated client certificate and key, both in one file.
/// `kubelet.conf` is changed to point here once the API server runs.
pub const KUBELET_CLIENT_CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// Cluster name when the configuration has none.
pub const DEFAULT_CLUSTER_NAME: &str = "kubernetes";

/// One kubeconfig file with an embedded client certificate signed by the cluster CA.
#[derive(Debug, PartialEq, Eq)]
pub struct KubeconfigSpec {
    /// Last segment of the phase id.
    pub id: &'static str,
    /// File name, relative to `/etc/kubernetes`.
    pub file: &'static str,
    /// Subject CN and name of the user.
    pub user: UserName,
    /// Subject O.
    pub organization: Option<&'static str>,
    /// The API server it talks to.
    pub server: Server,
    /// Whether `certs renew` handles it; the kubelet rotates its own.
    pub renewable: bool,
    /// Whose credentials these are, in words.
    pub purpose: &'static str,
}

/// How the user name is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserName {
    /// Always the same.
    Fixed(&'static str),
    /// `system:node:<node>`.
    Node,
}

/// Which API server a kubeconfig names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// `controlPlaneEndpoint`, or the local one if there is none.
    ControlPlaneEndpoint,
    /// The API server of the same node. So a component never talks to a newer API server during an upgrade. The
    /// kubelet of a control plane does so since 1.31 (`ControlPlaneKubeletLocalMode`), by default since 1.33.
    Local,
}

/// Every file, in the order kubeadm makes them.
pub static FILES: [KubeconfigSpec; 5] = [
    KubeconfigSpec {
        id: "admin",
        file: "admin.conf",
        user: UserName::Fixed("kubernetes-admin"),
        organization: Some("kubeadm:cluster-admins"),
        server: Server::ControlPlaneEndpoint,
        renewable: true,
        purpose: "the administrator and for rkadm itself",
    },
    KubeconfigSpec {
        id: "super-admin",
        file: "super-admin.conf",
        user: UserName::Fixed("kubernetes-super-admin"),
        organization: Some("system:masters"),
        server: Server::ControlPlaneEndpoint,
        renewable: true,
        purpose: "the super administrator, whose rights do not depend on RBAC",
    },
    KubeconfigSpec {
        id: "kubelet",
        file: "kubelet.conf",
        user: UserName::Node,
        organization: Some("system:nodes"),
        server: Server::Local,
        renewable: false,
        purpose: "the kubelet of this node until it has obtained its own certificate",
    },
    KubeconfigSpec {
        id: "controller-manager",
        file: "controller-manager.conf",
        user: UserName::Fixed("system:kube-controller-manager"),
        organization: None,
        server: Server::Local,
        renewable: true,
        purpose: "the controller manager",
    },
    KubeconfigSpec {
        id: "scheduler",
        file: "scheduler.conf",
        user: UserName::Fixed("system:kube-scheduler"),
        organization: None,
        server: Server::Local,
        renewable: true,
        purpose: "the scheduler",
    },
];

/// The file of a phase id such as `admin`.
pub fn file(id: &str) -> Option<&'static KubeconfigSpec> {
    FILES.iter().find(|file| file.id == id)
}

impl KubeconfigSpec {
    /// Name of the user, which is the certificate's CN.
    pub fn user_name(&self, node_name: &str) -> String {
        match self.user {
            UserName::Fixed(name) => name.to_owned(),
            UserName::Node => format!("system:node:{node_name}"),
        }
    }

    /// The client certificate to embed, to be signed by the cluster CA.
    pub fn cert_spec(&self, node_name: &str, validity: Duration) -> CertSpec {
        CertSpec {
            common_name: self.user_name(node_name),
            organizations: self.organization.iter().map(|&group| group.to_owned()).collect(),
            sans: Sans::default(),
            usage: CertUsage::Client,
            validity,
        }
    }

    /// One of the two server URLs.
    pub fn server_url<'a>(&self, endpoint: &'a str, local: &'a str) -> &'a str {
        match self.server {
            Server::ControlPlaneEndpoint => endpoint,
            Server::Local => local,
        }
    }

    /// One line, imperative, for the list of phases.
    pub fn title(&self) -> String {
        format!("Generate the kubeconfig file for {}", self.purpose)
    }

    /// The long help text of the phase.
    pub fn help(&self) -> String {
        format!(
            "{}, with a client certificate signed by the cluster CA, and save it as {}.\n\n\
             If the file exists it is checked and kept.",
            self.title(),
            self.file
        )
    }
}
