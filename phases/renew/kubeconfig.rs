//! The client certificate in a kubeconfig file.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict,
        content::{Content, RenewedContent},
    },
    kubeconfig::{Kubeconfig, list},
    pki::list::KEY_MODE,
    text::sha256_hex,
};

use super::{
    Renewal, Target,
    certificate::{Authority, absent, algorithm, unreadable},
};
use crate::{files::Existing, init::Cluster};

pub struct RenewKubeconfig {
    target: &'static Target,
    renewal: Arc<Renewal>,
}

impl RenewKubeconfig {
    pub fn new(target: &'static Target, renewal: &Arc<Renewal>) -> Self {
        Self { target, renewal: Arc::clone(renewal) }
    }
}

#[async_trait]
impl Phase for RenewKubeconfig {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(self.target.id, format!("Renew the client certificate in {}", self.target.name)).once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let path = Cluster::kubeconfig(self.target.name);
        let Existing::Bytes(text) = Existing::at(cx, &path).await? else {
            return absent(&self.renewal, self.target, &path);
        };
        let ca = self.renewal.ca_files("ca");
        let Some(authority) = Authority::read(cx, &self.renewal, self.target, &ca).await? else {
            return Ok(Verdict::NotApplicable(format!("{} is kept elsewhere", ca.key.display())));
        };
        let bad = |error: &dyn std::error::Error| unreadable(&path, error);
        let file = Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)).map_err(|error| bad(&error))?;
        let (_, user) = file.current().map_err(|error| bad(&error))?;
        let old_key = user.key().ok().flatten();
        let file_spec = list::FILES.iter().find(|spec| spec.file == self.target.name);
        let configured = file_spec.and_then(|spec| {
            self.renewal.configured(|cluster, inputs| {
                spec.cert_spec(cluster.config.node_name(), inputs.leaf_validity)
            })
        });
        let spec = match configured {
            Some(spec) if self.renewal.names_from_config => spec?,
            _ => match user.certificate().map_err(|error| bad(&error))? {
                Some(old) if authority.is_strange(&old) && !self.renewal.is_named(self.target.name) => {
                    return Ok(authority.left(cx, &path, &old));
                }
                Some(old) => authority.spec_of(&path, &old, &self.renewal)?,
                None if !self.renewal.is_named(self.target.name) => {
                    return Ok(Verdict::NotApplicable("it holds no client certificate".into()));
                }
                None => {
                    return Err(PhaseError::Unusable {
                        message: format!("{} holds no client certificate", path.display()),
                        hint: "its user is known by something else, which this command does not renew".into(),
                    });
                }
            },
        };
        authority.warn_of_its_end(cx, self.target, &spec);
        let pem = old_key.map(|key| key.to_pem());
        let algorithm = algorithm(&self.renewal, pem.as_deref().map(String::as_bytes), authority.algorithm);
        let content = Content::Renewed(Box::new(RenewedContent { path: path.clone(), ca, spec, algorithm }));
        let seen = Seen::Sha256(sha256_hex(&text));
        Ok(Verdict::Apply(vec![
            Step::WriteFile { path, mode: KEY_MODE, content, seen },
            Step::Record { name: self.target.output(), value: true.into() },
        ]))
    }

    fn keys_wanted(&self) -> usize {
        1
    }
}
