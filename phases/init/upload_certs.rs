//! `upload-certs`: the authorities' files, encrypted, for control planes that join soon.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use rkadm_core::{
    config::Secret,
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        act::{ActCx, StepError},
        step::{ObjectMaker, ObjectSource, PatchMaker, PatchSource},
        store::SecretKind,
    },
    kube::{ObjectRef, objects},
    pki::{
        bootstrap_token::BootstrapToken,
        encrypt::{self, CertificateKey},
    },
};
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::files::Existing;

/// Name of the secret that decrypts the uploaded files, in the operation's store.
pub const CERTIFICATE_KEY: &str = "certificate-key";
/// The token whose only use is to expire and take the uploaded files with it.
const OWNER_TOKEN: &str = "certs-token";

/// Uploads the authorities, when asked to.
pub struct UploadCerts {
    cluster: Arc<Cluster>,
}

impl UploadCerts {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

#[async_trait]
impl Phase for UploadCerts {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("upload-certs", "Upload certificates to kubeadm-certs").help(
            "Store the authorities' certificates and keys, encrypted with the certificate key, in Secret kubeadm-certs \
             of namespace kube-system, where they live for two hours. Only with --upload-certs.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.cluster.config.upload_certs {
            return Ok(Verdict::NotApplicable("not asked for (--upload-certs)".into()));
        }
        for (_, file) in shared(&self.cluster).filter(|(_, file)| *file != ETCD_CA_KEY) {
            let path = self.cluster.cert_file(file);
            if Existing::at(cx, &path).await? == Existing::Absent {
                return Err(PhaseError::Unusable {
                    message: format!(
                        "{} is not here: an authority that is kept elsewhere cannot be uploaded",
                        path.display()
                    ),
                    hint:
                        "leave --upload-certs out, and bring the certificates of other control planes by hand"
                            .into(),
                });
            }
        }
        let token: Arc<dyn ObjectMaker> = Arc::new(OwnerToken);
        let certs: Arc<dyn ObjectMaker> = Arc::new(Certs { cluster: Arc::clone(&self.cluster) });
        let access = self.cluster.admin(cx.host).await?;
        let apply = |objects| Step::Apply {
            access: access.clone(),
            objects,
            dies_with: self.cluster.etcd_data_dir(),
        };
        let rights = objects::uploaded_certs(&BTreeMap::new(), "", "").into_iter().skip(1);
        let mut steps = vec![
            Step::NewSecret { name: CERTIFICATE_KEY.into(), kind: SecretKind::CertificateKey },
            Step::NewSecret { name: OWNER_TOKEN.into(), kind: SecretKind::BootstrapToken },
            apply(vec![ObjectSource::Made(token)]),
        ];
        let target = ObjectRef::new("Secret", Some("kube-system"), encrypt::SECRET_NAME)
            .map_err(|error| PhaseError::Config { message: error.to_string() })?;
        if cx.host.object(&access, &target).await?.is_some_and(|live| !owners(&live).is_null()) {
            steps.push(Step::Patch {
                access: access.clone(),
                target,
                change: PatchSource::Made(Arc::new(Disown)),
                dies_with: self.cluster.etcd_data_dir(),
            });
        }
        steps.push(apply(
            std::iter::once(ObjectSource::Made(certs))
                .chain(rights.map(|object| ObjectSource::Plain(Box::new(object))))
                .collect(),
        ));
        Ok(Verdict::Apply(steps))
    }
}

/// The one that may be missing: control planes that join bring the certificates of their etcd.
const ETCD_CA_KEY: &str = "etcd/ca.key";

/// Names in the Secret, and files.
fn shared(cluster: &Cluster) -> impl Iterator<Item = (&'static str, &'static str)> {
    let local_etcd = cluster.etcd_data_dir().is_some();
    encrypt::SHARED_FILES.into_iter().filter(move |(_, file)| local_etcd || !file.starts_with("etcd/"))
}

fn owners(secret: &Value) -> Value {
    secret.pointer("/metadata/ownerReferences").cloned().unwrap_or(Value::Null)
}

/// Takes the owner of an earlier upload away: another writer's stays in a server-side apply beside ours, and an object
/// with two controllers is refused.
struct Disown;

impl PatchMaker for Disown {
    fn describe(&self) -> String {
        "remove the owner of the upload before".into()
    }

    fn make(&self, live: &Value) -> (Value, Value) {
        let change = |owners: Value| json!({"metadata": {"ownerReferences": owners}});
        (change(Value::Null), change(owners(live)))
    }
}

struct OwnerToken;

#[async_trait]
impl ObjectMaker for OwnerToken {
    fn reference(&self) -> Option<ObjectRef> {
        None
    }

    fn describe(&self) -> String {
        "the Secret that owns the uploaded certificates and expires in two hours".into()
    }

    async fn make(&self, cx: &ActCx<'_>) -> Result<Value, StepError> {
        let token = Secret::new(cx.secret(OWNER_TOKEN)?);
        objects::certs_token(&token, Timestamp::now() + objects::certs_ttl())
            .map_err(|error| StepError::Content(error.to_string()))
    }
}

struct Certs {
    cluster: Arc<Cluster>,
}

#[async_trait]
impl ObjectMaker for Certs {
    fn reference(&self) -> Option<ObjectRef> {
        ObjectRef::new("Secret", Some("kube-system"), encrypt::SECRET_NAME).ok()
    }

    fn describe(&self) -> String {
        "Secret kube-system/kubeadm-certs with the encrypted authorities".into()
    }

    async fn make(&self, cx: &ActCx<'_>) -> Result<Value, StepError> {
        let fail = |error: &dyn std::error::Error| StepError::Content(error.to_string());
        let key: CertificateKey = cx.secret(CERTIFICATE_KEY)?.parse().map_err(|error| fail(&error))?;
        let token: BootstrapToken = cx.secret(OWNER_TOKEN)?.parse().map_err(|error| fail(&error))?;
        let owner = format!("bootstrap-token-{}", token.id());
        let target = ObjectRef::new("Secret", Some("kube-system"), &owner).map_err(|error| fail(&error))?;
        let live = cx.host.object(&self.cluster.admin(cx.host.probe()).await?, &target).await?;
        let uid = live.as_ref().and_then(|live| live.pointer("/metadata/uid")).and_then(Value::as_str);
        let uid =
            uid.ok_or_else(|| StepError::Content(format!("{target} has no uid to own the certificates")))?;
        let mut encrypted = BTreeMap::new();
        for (name, file) in shared(&self.cluster) {
            let path = self.cluster.cert_file(file);
            if file == ETCD_CA_KEY && cx.host.stat(&path).await?.is_none() {
                continue;
            }
            let plain = cx.read(&path).await?;
            encrypted.insert(name.to_owned(), key.encrypt(&plain).map_err(|error| fail(&error))?);
        }
        if let Some(etcd) = &self.cluster.config.cluster.etcd.external {
            let files = [
                ("external-etcd-ca.crt", &etcd.ca_file),
                ("external-etcd.crt", &etcd.cert_file),
                ("external-etcd.key", &etcd.key_file),
            ];
            for (name, file) in files.into_iter().filter(|(_, file)| !file.is_empty()) {
                let plain = cx.read(file.as_ref()).await?;
                encrypted.insert(name.to_owned(), key.encrypt(&plain).map_err(|error| fail(&error))?);
            }
        }
        let mut objects = objects::uploaded_certs(&encrypted, &owner, uid);
        Ok(objects.swap_remove(0))
    }
}
