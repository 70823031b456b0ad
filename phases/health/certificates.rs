//! Certificates that have ended, or soon will.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rkadm_core::{
    host::Probe,
    pki::{Certificate, list::DEFAULT_DIR},
};

use super::Check;
use crate::{
    expiration::{Expiration, Expirations},
    renew::{TARGETS, Target},
    static_pods,
};

pub(crate) const NAME: &str = "certificates";
/// kubeadm's certificates last a year; whoever looks once a month has to be told in time.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The kubelet renews its own at some four fifths of their life: one that is nearer to its end is not being renewed.
const KUBELET_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// Those of the control plane, and the kubelet's own.
pub async fn look(host: &dyn Probe, control_plane: bool) -> Vec<Check> {
    let now = Timestamp::now();
    let dir = static_pods::certificates_dir(host).await.unwrap_or_else(|| DEFAULT_DIR.into());
    let (found, first) = ending(host, control_plane, &dir, now).await;
    let mut checks: Vec<_> = found.into_iter().map(|ending| ending.check).collect();
    if let (true, Some(first)) = (checks.is_empty(), first) {
        let days = first.duration_since(now).as_hours() / 24;
        checks.push(Check::ok(NAME, format!("none ends within {days} days")));
    }
    checks
}

/// A certificate that has ended, or soon will.
pub(crate) struct Ending {
    pub check: Check,
    /// What renews it, where this machine has the authority's key; the kubelet renews its own.
    pub target: Option<&'static Target>,
}

/// Those that do, and when the first of all ends.
pub(crate) async fn ending(
    host: &dyn Probe,
    control_plane: bool,
    dir: &Path,
    now: Timestamp,
) -> (Vec<Ending>, Option<Timestamp>) {
    let by_nobody = |check| Ending { check, target: None };
    let mut endings: Vec<_> = kubelet(host, now).await.map(by_nobody).into_iter().collect();
    if !control_plane {
        return (endings, None);
    }
    let found = match Expirations::read(host, dir, now).await {
        Ok(found) => found,
        Err(error) => {
            endings.push(by_nobody(Check::failed(NAME, error.to_string(), "run it as root")));
            return (endings, None);
        }
    };
    let all = || found.certificates.iter().chain(&found.certificate_authorities);
    endings.extend(all().filter_map(|one| Some(Ending { check: ends(one)?, target: renewed_by(one) })));
    (endings, all().filter_map(|one| one.expires).min())
}

fn renewed_by(one: &Expiration) -> Option<&'static Target> {
    // A new one takes its names from the old, so that has to be readable, and worth trusting.
    let can_be = one.ca_name.is_some() && !one.externally_managed && !one.strange && one.error.is_none();
    TARGETS.iter().find(|target| can_be && target.name == one.name)
}

fn ends(one: &Expiration) -> Option<Check> {
    let hint = match (one.ca_name, one.externally_managed) {
        (None, _) => "an authority is replaced, not renewed: plan it in time".to_owned(),
        (_, true) => {
            "its authority is kept elsewhere: rkadm certs generate-csr, and have it signed there".into()
        }
        _ if one.strange => {
            "another authority than that of this machine signed it, and signs the next one; or rkadm certs renew with --names-from-config"
                .into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_its_authority_here_and_can_be_read_is_renewed_here() {
        let one = |name: &str, ca_name, externally_managed, error: Option<&str>| Expiration {
            name: name.into(),
            expires: None,
            residual_time: 0,
            externally_managed,
            ca_name,
            missing: false,
            error: error.map(str::to_owned),
            strange: false,
        };
        let by = |one: Expiration| renewed_by(&one).map(|target| target.name);
        assert_eq!(by(one("apiserver", Some("ca"), false, None)), Some("apiserver"));
        assert_eq!(by(one("apiserver", Some("ca"), true, None)), None);
        assert_eq!(by(one("apiserver", Some("ca"), false, Some("no PEM"))), None);
        assert_eq!(by(one("ca", None, false, None)), None);
        assert_eq!(by(Expiration { strange: true, ..one("apiserver", Some("ca"), false, None) }), None);
    }
}
