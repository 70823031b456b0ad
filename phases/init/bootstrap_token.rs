//! `bootstrap-token`: the token that nodes join with, what it allows, and the public cluster information.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    config::{Secret, types},
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        step::{ObjectMaker, ObjectSource},
        store::SecretKind,
    },
    kube::{ObjectRef, objects},
};
use serde_json::Value;

use super::cluster::Cluster;
use crate::{files::Existing, objects::wanted};

/// Name of the first token in the operation's store. Further ones get a number.
pub const TOKEN: &str = "bootstrap-token";

/// Creates the tokens and what belongs to them.
pub struct BootstrapToken {
    cluster: Arc<Cluster>,
}

impl BootstrapToken {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

/// The name in the store of the token at this place of the configuration.
pub fn secret_name(index: usize) -> String {
    if index == 0 { TOKEN.into() } else { format!("{TOKEN}-{index}") }
}

#[async_trait]
impl Phase for BootstrapToken {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("bootstrap-token", "Generate bootstrap tokens used to join a node to a cluster").help(
            "Create the bootstrap tokens, the rights that let their holders become nodes, and ConfigMap cluster-info \
             of namespace kube-public, which discovery starts from.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let config = &self.cluster.config;
        let mut steps = vec![];
        let mut secrets: Vec<ObjectSource> = vec![];
        for (index, token) in config.bootstrap_tokens.iter().enumerate() {
            let name = secret_name(index);
            steps.push(Step::NewSecret { name: name.clone(), kind: SecretKind::BootstrapToken });
            secrets.push(ObjectSource::Made(Arc::new(TokenSecret { name, token: token.clone() })));
        }
        steps.push(Step::Apply {
            access: self.cluster.admin(cx.host).await?,
            objects: secrets,
            dies_with: self.cluster.etcd_data_dir(),
        });
        let mut objects = objects::bootstrap_rbac();
        let ca = self.cluster.ca_files("ca").cert;
        match Existing::at(cx, &ca).await? {
            Existing::Bytes(pem) => {
                objects.extend(objects::cluster_info(&config.control_plane_endpoint(), &pem));
            }
            // A dry run makes no authority: show everything but its certificate.
            Existing::Planned => objects.extend(objects::cluster_info(&config.control_plane_endpoint(), b"")),
            Existing::Absent => {
                return Err(PhaseError::Unusable {
                    message: format!("{} is missing", ca.display()),
                    hint: "run `rkadm init phase certs ca` first".into(),
                });
            }
        }
        steps.extend(wanted(cx, &self.cluster, objects).await?);
        Ok(Verdict::Apply(steps))
    }
}

struct TokenSecret {
    name: String,
    token: types::BootstrapToken,
}

#[async_trait]
impl ObjectMaker for TokenSecret {
    fn reference(&self) -> Option<ObjectRef> {
        let id = self.token.id()?;
        ObjectRef::new("Secret", Some("kube-system"), &format!("bootstrap-token-{id}")).ok()
    }

    fn describe(&self) -> String {
        match self.reference() {
            Some(target) => target.to_string(),
            None => "Secret kube-system/bootstrap-token-<id> of the new token".into(),
        }
    }

    async fn make(&self, cx: &ActCx<'_>) -> Result<Value, StepError> {
        let fail = |error: &dyn std::error::Error| StepError::Content(error.to_string());
        let token =
            types::BootstrapToken { token: Some(Secret::new(cx.secret(&self.name)?)), ..self.token.clone() };
        let expires = token.end(Timestamp::now()).map_err(|error| fail(&error))?;
        objects::bootstrap_token(&token, expires).map_err(|error| fail(&error))
    }
}
