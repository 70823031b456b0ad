//! `InitConfiguration`: what only the first control-plane node needs; never stored in the cluster.

use super::{Kind, NodeRegistration, Patches, Timeouts, is_zero};
use crate::config::duration::GoDuration;
use crate::config::secret::Secret;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The run-time settings of `init`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InitConfiguration {
    /// Tokens created for joining nodes; none means one with defaults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bootstrap_tokens: Vec<BootstrapToken>,
    /// Show the plan only.
    #[serde(skip_serializing_if = "is_zero")]
    pub dry_run: bool,
    /// This node.
    pub node_registration: NodeRegistration,
    /// Address of this node's API server.
    #[serde(rename = "localAPIEndpoint")]
    pub local_api_endpoint: LocalApiEndpoint,
    /// Key that encrypts the uploaded certificates: 32 bytes as hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_key: Option<Secret>,
    /// Phases that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_phases: Vec<String>,
    /// Patches of components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// How long the steps may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

impl Kind for InitConfiguration {
    const KIND: &'static str = "InitConfiguration";
}

/// A bootstrap token to create.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BootstrapToken {
    /// The token, `[a-z0-9]{6}.[a-z0-9]{16}`; `None` means generated when applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// What the token is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Time to live; zero means forever. Excludes `expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<GoDuration>,
    /// End of life, RFC 3339. Excludes `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// `signing`, `authentication`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usages: Vec<String>,
    /// Groups that the token authenticates as.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl BootstrapToken {
    /// The public half of the token, which names its Secret; `None` until a token is known.
    pub fn id(&self) -> Option<&str> {
        self.token.as_ref().and_then(|token| token.expose().split_once('.')).map(|(id, _)| id)
    }

    /// When a token made now ends; `None` means never. Without a life in the configuration it is kubeadm's: 24 hours.
    ///
    /// # Errors
    /// `expires` is no time, or the end is later than any date.
    pub fn end(&self, now: Timestamp) -> Result<Option<Timestamp>, jiff::Error> {
        let ttl = match (&self.expires, self.ttl) {
            (Some(text), _) => return text.parse().map(Some),
            (None, Some(ttl)) if ttl.is_zero() => return Ok(None),
            (None, Some(ttl)) => SignedDuration::from_nanos(ttl.nanos()),
            (None, None) => SignedDuration::from_hours(24),
        };
        now.checked_add(ttl).map(Some)
    }
}

/// Where one node's API server listens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalApiEndpoint {
    /// IP address that the API server advertises.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advertise_address: String,
    /// TCP port; 0 means 6443.
    #[serde(skip_serializing_if = "is_zero")]
    pub bind_port: u16,
}
