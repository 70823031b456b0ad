//! Certificates that have ended, or soon will.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    host::Probe,
    pki::{Certificate, list::DEFAULT_DIR},
};

use super::Check;
use crate::expiration::{Expiration, Expirations};

const NAME: &str = "certificates";
/// kubeadm's certificates last a year; whoever looks once a month has to be told in time.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The kubelet renews its own at some four fifths of their life: one that is nearer to its end is not being renewed.
const KUBELET_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// Those of the control plane, and the kubelet's own.
pub async fn look(host: &dyn Probe, control_plane: bool) -> Vec<Check> {
    let now = Timestamp::now();
    let mut checks: Vec<Check> = kubelet(host, now).await.into_iter().collect();
    if !control_plane {
        return checks;
    }
    let found = match Expirations::read(host, Path::new(DEFAULT_DIR), now).await {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::failed(NAME, error.to_string(), "run it as root"));
            return checks;
        }
    };
    let all = || found.certificates.iter().chain(&found.certificate_authorities);
    checks.extend(all().filter_map(ends));
    let first = all().filter_map(|one| one.expires).min();
    if let (true, Some(first)) = (checks.is_empty(), first) {
        let days = first.duration_since(now).as_hours() / 24;
        checks.push(Check::ok(NAME, format!("none ends within {days} days")));
    }
    checks
}

fn ends(one: &Expiration) -> Option<Check> {
    let hint = match (one.ca_name, one.externally_managed) {
        (None, _) => "an authority is replaced, not renewed: plan it in time".to_owned(),
        (_, true) => {
            "its authority is kept elsewhere: rkadm certs generate-csr, and have it signed there".into()
        }
        _ => format!("rkadm certs renew {}", one.name),
    };
    let name = &one.name;
    if let Some(error) = &one.error {
        return Some(Check::failed(NAME, format!("{name} cannot be read: {error}"), hint));
    }
    let date = one.expires?;
    let left = SignedDuration::from_secs(one.residual_time);
    if left <= SignedDuration::ZERO {
        return Some(Check::failed(NAME, format!("{name} expired on {date}"), hint));
    }
    (left < SOON).then(|| Check::warning(NAME, format!("{name} expires on {date}"), hint))
}

async fn kubelet(host: &dyn Probe, now: Timestamp) -> Option<Check> {
    let pem = host.read(KUBELET_CLIENT.as_ref()).await.ok()??;
    let hint = "it is renewed by itself while the kubelet runs: journalctl -u kubelet | grep -i certificate";
    let certificate = match Certificate::from_pem(&pem) {
        Ok(certificate) => certificate,
        Err(error) => return Some(Check::failed(NAME, format!("{KUBELET_CLIENT}: {error}"), hint)),
    };
    let end = certificate.not_after();
    if end <= now {
        return Some(Check::failed(NAME, format!("the kubelet's own expired on {end}"), hint));
    }
    let soon = end.duration_since(now) < KUBELET_SOON;
    soon.then(|| Check::warning(NAME, format!("the kubelet's own expires on {end}"), hint))
}
