//! One certificate file and its key.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    config::GoDuration,
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict,
        content::{CaFiles, Content},
    },
    pki::{
        CertSpec, Certificate, KeyAlgorithm, PrivateKey,
        list::{CERT_MODE, CertEntry, KEY_MODE, LEAF_VALIDITY},
    },
    text::sha256_hex,
};

use super::{Renewal, Target};
use crate::files::Existing;

pub struct RenewCertificate {
    target: &'static Target,
    entry: &'static CertEntry,
    renewal: Arc<Renewal>,
}

impl RenewCertificate {
    pub fn new(target: &'static Target, entry: &'static CertEntry, renewal: &Arc<Renewal>) -> Self {
        Self { target, entry, renewal: Arc::clone(renewal) }
    }
}

#[async_trait]
impl Phase for RenewCertificate {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(self.target.id, format!("Renew the certificate {}", self.target.name)).once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let entry = self.entry;
        let renewal = &self.renewal;
        let (cert, key) = (renewal.cert_dir.join(entry.cert_file()), renewal.cert_dir.join(entry.key_file()));
        let Existing::Bytes(pem) = Existing::at(cx, &cert).await? else {
            return absent(renewal, self.target, &cert);
        };
        let ca = renewal.ca_files(entry.ca.unwrap_or(entry).base_name);
        let Some(authority) = Authority::read(cx, renewal, self.target, &ca).await? else {
            return Ok(Verdict::NotApplicable(format!("{} is kept elsewhere", ca.key.display())));
        };
        let old = Certificate::from_pem(&pem).map_err(|error| unreadable(&cert, &error));
        let old_key = match Existing::at(cx, &key).await? {
            Existing::Bytes(pem) => Some(pem),
            Existing::Absent | Existing::Planned => None,
        };
        let spec = match renewal.configured(|_, inputs| entry.spec(inputs)) {
            Some(spec) if renewal.names_from_config => spec?,
            _ => match old? {
                old if authority.is_strange(&old) && !renewal.is_named(self.target.name) => {
                    return Ok(authority.left(cx, &cert, &old));
                }
                old => authority.spec_of(&cert, &old, renewal)?,
            },
        };
        authority.warn_of_its_end(cx, self.target, &spec);
        let algorithm = algorithm(renewal, old_key.as_deref(), authority.algorithm);
        let seen = old_key.as_deref().map_or(Seen::Absent, |pem| Seen::Sha256(sha256_hex(pem)));
        let content = Content::Certificate { spec: Box::new(spec), key: key.clone(), ca: Some(ca) };
        Ok(Verdict::Apply(vec![
            Step::WriteFile { path: key, mode: KEY_MODE, content: Content::NewKey(algorithm), seen },
            Step::WriteFile { path: cert, mode: CERT_MODE, content, seen: Seen::Sha256(sha256_hex(&pem)) },
            Step::Record { name: self.target.output(), value: true.into() },
        ]))
    }

    fn keys_wanted(&self) -> usize {
        1
    }
}

/// What is missing may be meant to be, unless it was asked for by name.
pub(super) fn absent(renewal: &Renewal, target: &Target, path: &Path) -> Result<Verdict, PhaseError> {
    if renewal.is_named(target.name) {
        return Err(PhaseError::Unusable {
            message: format!("{} is missing, so there is nothing to renew", path.display()),
            hint: "`rkadm init phase certs` and `rkadm init phase kubeconfig` make what is missing".into(),
        });
    }
    Ok(Verdict::NotApplicable(format!("{} is missing", path.display())))
}

pub(super) fn unreadable(path: &Path, error: &dyn std::error::Error) -> PhaseError {
    PhaseError::Unusable {
        message: format!("{} cannot be used: {error}", path.display()),
        hint: "with --config FILE --names-from-config the new certificate is made from the configuration instead".into(),
    }
}

/// Of the configuration, else that of the old key, else that of the authority.
pub(super) fn algorithm(renewal: &Renewal, old_key: Option<&[u8]>, ca: KeyAlgorithm) -> KeyAlgorithm {
    if let Some(cluster) = renewal.cluster() {
        return cluster.key_algorithm();
    }
    let old = old_key.and_then(|pem| PrivateKey::from_pem(pem).ok()).and_then(|key| key.algorithm());
    old.unwrap_or(ca)
}

/// How the reason begins why a certificate is left that somebody else signed.
pub const STRANGE: &str = "was not signed by";

/// The authority that signs, found fit to.
pub(super) struct Authority {
    path: PathBuf,
    certificate: Certificate,
    /// All in the file: while one authority replaces another, both are there, and the old one has signed what is to be renewed.
    trusted: Vec<Certificate>,
    pub algorithm: KeyAlgorithm,
}

impl Authority {
    /// `None` when its key is kept elsewhere and nobody asked for this certificate by name.
    pub async fn read(
        cx: &PlanCx<'_>,
        renewal: &Renewal,
        target: &Target,
        files: &CaFiles,
    ) -> Result<Option<Self>, PhaseError> {
        let wrong = |path: &Path, why: String, hint: &str| PhaseError::Unusable {
            message: format!("{} {why}", path.display()),
            hint: hint.to_owned(),
        };
        let Existing::Bytes(key) = Existing::at(cx, &files.key).await? else {
            if renewal.is_named(target.name) {
                let why = format!("is not here, and {} cannot be renewed without it", target.name);
                let hint = "where the authority's key is kept: `rkadm certs generate-csr` here, `rkadm certs sign` there";
                return Err(wrong(&files.key, why, hint));
            }
            return Ok(None);
        };
        let bring = "bring the certificate and the key of the cluster's authority";
        let Existing::Bytes(pem) = Existing::at(cx, &files.cert).await? else {
            return Err(wrong(&files.cert, "is missing".into(), bring));
        };
        let trusted = Certificate::bundle_from_pem(&pem)
            .map_err(|error| wrong(&files.cert, format!("cannot be used: {error}"), bring))?;
        // The first signs; a bundle without one is no bundle.
        let Some(certificate) = trusted.first().cloned() else {
            return Err(wrong(&files.cert, "is missing".into(), bring));
        };
        let key = PrivateKey::from_pem(&key)
            .map_err(|error| wrong(&files.key, format!("cannot be used: {error}"), bring))?;
        if !key.matches(&certificate) {
            let why = format!("does not belong to {}", files.cert.display());
            return Err(wrong(&files.key, why, bring));
        }
        if certificate.not_after() <= Timestamp::now() {
            let why = format!("expired on {}", certificate.not_after());
            let hint = "nothing that it signs is accepted: the cluster needs a new authority first";
            return Err(wrong(&files.cert, why, hint));
        }
        let algorithm = key.algorithm().unwrap_or_default();
        Ok(Some(Self { path: files.cert.clone(), certificate, trusted, algorithm }))
    }

    /// A certificate is of no use after its authority.
    pub fn warn_of_its_end(&self, cx: &PlanCx<'_>, target: &Target, spec: &CertSpec) {
        let end = self.certificate.not_after();
        let is_shorter = SignedDuration::try_from(spec.validity)
            .is_ok_and(|validity| end.duration_since(Timestamp::now()) < validity);
        if is_shorter {
            cx.warn(format!(
                "{}: the authority {} ends first, on {end}, and the new certificate with it",
                target.name,
                self.path.display()
            ));
        }
    }

    /// Whether another authority signed it, or it was changed since.
    pub fn is_strange(&self, old: &Certificate) -> bool {
        old.issuer_among(&[], &self.trusted).is_none()
    }

    fn strangeness(&self, old: &Certificate) -> String {
        let issuer = old.issuer_common_name();
        format!("{STRANGE} {}, or was changed since (its issuer: {issuer:?})", self.path.display())
    }

    /// Of all that there is, one that is strange is left as it is: whoever signed it signs the next one.
    pub fn left(&self, cx: &PlanCx<'_>, path: &Path, old: &Certificate) -> Verdict {
        let why = self.strangeness(old);
        cx.warn(format!(
            "{} {why}: it is left as it is. Whoever signed it signs the next one, or --config FILE --names-from-config makes it anew",
            path.display()
        ));
        Verdict::NotApplicable(why)
    }

    /// The certificate to issue in place of one that is there.
    ///
    /// # Errors
    /// This authority did not sign the old one: what it says is anybody's word.
    pub fn spec_of(&self, path: &Path, old: &Certificate, renewal: &Renewal) -> Result<CertSpec, PhaseError> {
        let refuse = |why: String| {
            PhaseError::Unusable {
            message: format!("{} {why}", path.display()),
            hint: "its names are not to be trusted then; with --config FILE --names-from-config they come from the configuration".into(),
        }
        };
        if self.is_strange(old) {
            return Err(refuse(self.strangeness(old)));
        }
        let spec = CertSpec::of(old, &self.certificate, LEAF_VALIDITY);
        let mut spec =
            spec.ok_or_else(|| refuse("is neither a server's nor a client's certificate".into()))?;
        if let Some(config) = &renewal.config {
            let given = config.cluster.certificate_validity_period;
            spec.validity = given.map_or(LEAF_VALIDITY, GoDuration::as_std);
        }
        Ok(spec)
    }
}
