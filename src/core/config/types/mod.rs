//! The kinds of `kubeadm.k8s.io/v1beta4` as serde types.
//!
//! Field names, nesting and the rule for what is left out when empty are kubeadm's, so a value written by one tool is
//! read unchanged by the other. The types are permissive about unknown fields: strictness, with line numbers and hints,
//! is the schema's work ([`super::schema`]). Nothing here fills defaults.

mod cluster;
mod init;
mod join;
mod node;
mod reset;
mod upgrade;

pub use cluster::{
    Arg, ClusterConfiguration, ControlPlaneComponent, Dns, EncryptionAlgorithm, Etcd, ExternalEtcd,
    HostPathMount, HostPathType, LocalEtcd, Networking, Proxy,
};
pub use init::{BootstrapToken, InitConfiguration, LocalApiEndpoint};
pub use join::{BootstrapTokenDiscovery, Discovery, FileDiscovery, JoinConfiguration, JoinControlPlane};
/// A `core/v1` environment variable, of `extraEnvs`.
pub use k8s_openapi::api::core::v1::EnvVar;
/// A `core/v1` node taint, of `nodeRegistration.taints`.
pub use k8s_openapi::api::core::v1::Taint;
pub use node::{ImagePullPolicy, NodeRegistration, Patches, Timeouts};
pub use reset::{ResetConfiguration, UnmountFlag};
pub use upgrade::{UpgradeApply, UpgradeConfiguration, UpgradeDiff, UpgradeNode, UpgradePlan};

use serde::Serialize;
use serde_json::Value;

/// The `apiVersion` of every kubeadm kind that this crate reads and writes.
pub const KUBEADM_API_VERSION: &str = "kubeadm.k8s.io/v1beta4";

/// A kind that stands alone in a YAML document.
pub trait Kind: Serialize {
    /// The `apiVersion` written in the document.
    const API_VERSION: &'static str = KUBEADM_API_VERSION;
    /// The `kind` written in the document.
    const KIND: &'static str;

    /// The document with `apiVersion` and `kind`, keys sorted as kubeadm sorts them. Secrets are redacted unless the
    /// call is inside [`super::secret::exposed`].
    #[must_use]
    fn to_document(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or(Value::Null);
        if let Value::Object(map) = &mut value {
            map.insert("apiVersion".into(), Self::API_VERSION.into());
            map.insert("kind".into(), Self::KIND.into());
        }
        crate::yaml::sort_keys(&mut value);
        value
    }

    /// [`Self::to_document`] as YAML text, the form stored under the key of the same name in ConfigMap `kubeadm-config`.
    #[must_use]
    fn to_yaml(&self) -> String {
        crate::yaml::to_string(&self.to_document())
    }
}

/// True for the values that Go's `omitempty` leaves out: the zero of the type.
fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
