//! Certificates that have ended or soon will: what this upgrade renews is only told.

use jiff::Timestamp;
use rkadm_core::{
    host::Probe,
    manifest::{Component, pod::kubernetes_version},
};

use crate::{
    health::{
        State,
        certificates::{Ending, ending},
    },
    preflight::{Found, error, warning},
    renew::Target,
    static_pods,
    upgrade::Upgrading,
};

/// Unlike what is not well at the moment, it is not waited for.
const CHECK: &str = "Certificates";

/// Looks at those of this control plane, and at the kubelet's own.
pub async fn look(host: &dyn Probe, upgrading: &Upgrading) -> Vec<Found> {
    let dir = upgrading.request.config.cert_dir();
    let (endings, _) = ending(host, true, dir.as_ref(), Timestamp::now()).await;
    if endings.is_empty() {
        return vec![];
    }
    let there = static_pods::read(host, Component::ApiServer).await.ok().flatten();
    let there = there.as_ref().and_then(kubernetes_version);
    // Certificates are renewed with the components that change, and all do from one version to another.
    let changes = there.as_ref() != Some(upgrading.version());
    endings.into_iter().map(|ending| judged(ending, upgrading, changes)).collect()
}

fn judged(ending: Ending, upgrading: &Upgrading, changes: bool) -> Found {
    let Ending { check, target } = ending;
    if target.is_some_and(|target| changes && renews(upgrading, target)) {
        return warning(CHECK, check.message, "this upgrade renews it");
    }
    let finding = if check.state == State::Failed { error } else { warning };
    finding(CHECK.to_owned(), check.message, &check.hint.unwrap_or_default())
}

/// Whether an upgrade that changes all components renews this one.
fn renews(upgrading: &Upgrading, target: &Target) -> bool {
    let request = &upgrading.request;
    request.certificate_renewal && (request.etcd_upgrade || target.used_by != Some(Component::Etcd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::Check, preflight::Severity, renew::TARGETS};

    /// How bad a certificate that has ended is, or one that soon will.
    fn severity(
        name: Option<&str>,
        state: State,
        changes: bool,
        edit: impl FnOnce(&mut Upgrading),
    ) -> Severity {
        let mut upgrading = Upgrading::default();
        (upgrading.request.certificate_renewal, upgrading.request.etcd_upgrade) = (true, true);
        edit(&mut upgrading);
        let target = name.map(|name| TARGETS.iter().find(|target| target.name == name).unwrap());
        let check = Check { component: "certificates".into(), state, message: "m".into(), hint: None };
        judged(Ending { check, target }, &upgrading, changes).0
    }

    #[test]
    fn what_has_ended_and_is_not_renewed_is_an_error() {
        let as_it_is = |_: &mut Upgrading| {};
        let ended = State::Failed;
        assert_eq!(severity(Some("apiserver"), ended, true, as_it_is), Severity::Warning);
        // An authority, the kubelet's own, and what an authority elsewhere has signed.
        assert_eq!(severity(None, ended, true, as_it_is), Severity::Error);
        assert_eq!(severity(None, State::Warning, true, as_it_is), Severity::Warning);
        // The same version again changes nothing.
        assert_eq!(severity(Some("apiserver"), ended, false, as_it_is), Severity::Error);
        let off = |upgrading: &mut Upgrading| upgrading.request.certificate_renewal = false;
        assert_eq!(severity(Some("apiserver"), ended, true, off), Severity::Error);
        let without_etcd = |upgrading: &mut Upgrading| upgrading.request.etcd_upgrade = false;
        assert_eq!(severity(Some("etcd-server"), ended, true, without_etcd), Severity::Error);
        assert_eq!(severity(Some("apiserver"), ended, true, without_etcd), Severity::Warning);
    }
}
