//! The manifest of etcd. A file alone would be taken back too simply: whoever starts the kubelet once it is there starts a
//! server that raises the version of the data, which the server of before does not open any more.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Action,
        act::{ActCx, StepError},
        action::UndoAction,
    },
    host::{Actuator, ServiceVerb},
    manifest::Component,
    text::sha256_hex,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::switch::{EtcdBefore, etcd_runs, lower};
use crate::{init::KUBELET, restore::stop_pods_of};

/// Name of the action in journals: never renamed.
pub const ETCD_MANIFEST_ACTION: &str = "replace-etcd-manifest";

/// Replaces the manifest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdManifest {
    /// The file.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// The new text.
    pub text: String,
    /// SHA-256 (hex) of the text that the plan saw.
    pub seen: String,
    /// The runtime's socket URL.
    pub socket: String,
    /// The etcd that was there.
    pub etcd: Option<EtcdBefore>,
    /// The text that was there, noted before the change.
    #[serde(default)]
    pub before: String,
}

#[async_trait]
impl Action for EtcdManifest {
    fn name(&self) -> &'static str {
        ETCD_MANIFEST_ACTION
    }

    fn describe(&self) -> String {
        format!("replace {} (mode {:04o}): {} bytes", self.path.display(), self.mode, self.text.len())
    }

    fn file(&self) -> Option<(&Path, &str)> {
        Some((&self.path, &self.text))
    }

    async fn prepare(&self, host: &dyn Actuator) -> Result<Value, StepError> {
        let before = host.read(&self.path).await?.ok_or_else(|| StepError::Missing(self.path.clone()))?;
        let before = String::from_utf8_lossy(&before).into_owned();
        let noted = Self { before, text: String::new(), ..self.clone() };
        serde_json::to_value(noted).map_err(|error| StepError::Content(error.to_string()))
    }

    async fn act(&self, cx: &ActCx<'_>) -> Result<(), StepError> {
        let now = cx.read(&self.path).await?;
        if now == self.text.as_bytes() {
            return Ok(());
        }
        if sha256_hex(&now) != self.seen {
            let what = "changed since it was planned".into();
            return Err(StepError::WorldChanged { path: self.path.clone(), what });
        }
        Ok(cx.host.write(&self.path, self.text.as_bytes(), self.mode).await?)
    }
}

/// Brings the manifest back, and before that the data to what its server opens.
pub struct UndoEtcdManifest;

#[async_trait]
impl UndoAction for UndoEtcdManifest {
    async fn undo(&self, host: &dyn Actuator, data: &Value) -> Result<(), StepError> {
        let manifest: EtcdManifest =
            serde_json::from_value(data.clone()).map_err(|error| StepError::Content(error.to_string()))?;
        host.discard_partial(&manifest.path).await?;
        if host.read(&manifest.path).await?.as_deref() == Some(manifest.before.as_bytes()) {
            return Ok(());
        }
        // After the switch was taken back nothing runs any more.
        if etcd_runs(host, &manifest.socket).await? {
            if let Some(etcd) = &manifest.etcd {
                lower(host, etcd, &manifest.socket).await?;
            }
            host.control_service(KUBELET, ServiceVerb::Stop).await?;
            stop_pods_of(host, &manifest.socket, &[Component::Etcd].into()).await?;
        }
        Ok(host.write(&manifest.path, manifest.before.as_bytes(), manifest.mode).await?)
    }

    fn by_hand(&self, data: &Value) -> Vec<String> {
        let manifest: EtcdManifest = serde_json::from_value(data.clone()).unwrap_or_default();
        vec![format!("bring {} back to the image that it had before", manifest.path.display())]
    }
}
