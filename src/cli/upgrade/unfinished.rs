//! Upgrades that did not come to their end: how one is gone on with, and what one leaves behind.

use std::fmt::Display;

use rkadm_core::{
    engine::journal::JournalDir,
    host::{LocalHost, Probe},
    version::KubeVersion,
};
use rkadm_phases::{
    init::KUBELET,
    upgrade::{Upgrade, kubelet},
};

use super::{args::Settings, run::verb};
use crate::cli::{
    Session,
    exit::{CommandError, ExitKind},
    operation, phase_tree,
};

/// The same command, cut off: it goes on from what was known then, in the way that it is told now.
pub fn unfinished(
    session: &Session,
    settings: &Settings,
    only: Option<&str>,
    wanted: Option<&KubeVersion>,
) -> Option<Result<Upgrade, CommandError>> {
    if settings.dry_run {
        return None;
    }
    let name = phase_tree::workflow_name(verb(settings.scope), only);
    let newest = JournalDir::below(&session.root).unfinished().ok()?;
    let operation = newest.filter(|operation| operation.workflow() == name)?;
    if !operation.status.is_resumable() {
        let message = format!("operation {} (rkadm {name}) is {}", operation.id, operation.status.name());
        let hint = format!("its rollback has to come to its end first: `rkadm op rollback {}`", operation.id);
        return Some(Err(CommandError::failed(message).detail("Nothing was changed.").hint(hint)));
    }
    let upgrade: Upgrade = match operation::request(session, &operation) {
        Ok(upgrade) => upgrade,
        Err(error) => return Some(Err(error)),
    };
    // One that goes through several minors may have been cut off on its way.
    if wanted.is_some_and(|wanted| *wanted < upgrade.config.kubernetes_version) {
        return None;
    }
    let differs = differences(&upgrade, settings);
    if differs.is_empty() {
        return Some(Ok(told_anew(upgrade, settings)));
    }
    let message =
        format!("operation {} (rkadm {name}) is not finished, and was begun otherwise", operation.id);
    let mut error = CommandError::new(ExitKind::Resumable, message);
    error.details = differs;
    Some(Err(error
        .hint(format!("finish it as it was begun: `rkadm op resume {}`", operation.id))
        .hint(format!("take it back: `rkadm op rollback {}`", operation.id))))
}

/// What makes it another upgrade.
fn differences(upgrade: &Upgrade, settings: &Settings) -> Vec<String> {
    let mut all = vec![];
    let mut compare = |name: &str, was: String, now: String| {
        if was != now {
            all.push(format!("{name}: was {was}, is now {now}"));
        }
    };
    let (was, now) = (upgrade.certificate_renewal, settings.certificate_renewal);
    compare("--certificate-renewal", was.to_string(), now.to_string());
    compare("--etcd-upgrade", upgrade.etcd_upgrade.to_string(), settings.etcd_upgrade.to_string());
    let text = |dir: &Option<String>| dir.clone().unwrap_or_else(|| "(not set)".into());
    compare("--patches", text(&upgrade.config.patches_dir), text(&settings.patches_dir));
    let binary = |kubelet: &Option<kubelet::KubeletUpgrade>| {
        let binary = kubelet.as_ref().and_then(|kubelet| kubelet.binary.as_ref());
        binary.map_or_else(|| "(not set)".into(), |path| path.display().to_string())
    };
    compare("--kubelet-binary", binary(&upgrade.kubelet), binary(&settings.kubelet));
    all
}

/// How long it may take, what may be ignored and what may go when the node is drained are up to who goes on with it.
fn told_anew(mut upgrade: Upgrade, settings: &Settings) -> Upgrade {
    upgrade.config.ignore_preflight_errors.clone_from(&settings.ignore_preflight_errors);
    upgrade.config.skip_phases.clone_from(&settings.skip_phases);
    upgrade.config.timeouts = settings.timeouts.clone();
    let registration = &mut upgrade.config.node_registration;
    (registration.image_pull_policy, registration.image_pull_serial) = settings.pull;
    if let (Some(old), Some(new)) = (&mut upgrade.kubelet, &settings.kubelet) {
        (old.drain_seconds, old.unmanaged, old.empty_dir) = (new.drain_seconds, new.unmanaged, new.empty_dir);
    }
    upgrade
}

/// Adds what an upgrade that is not finished leaves on this machine.
pub async fn left_behind(session: &Session, host: &LocalHost, mut error: CommandError) -> CommandError {
    let Ok(Some(operation)) = JournalDir::below(&session.root).unfinished() else { return error };
    if !operation.workflow().starts_with("upgrade ") {
        return error;
    }
    if host.service(KUBELET).await.is_ok_and(|kubelet| kubelet.active == "inactive") {
        error.details.push("The kubelet of this machine is stopped meanwhile.".into());
    }
    if operation.outputs().contains_key(kubelet::CORDONED) {
        error.details.push("This node is cordoned meanwhile: it takes no new pods.".into());
    }
    error
}

/// The error of a later part of a command: what an earlier part has reached stays, so not all is as it was before.
pub fn after(mut error: CommandError, reached: &dyn Display) -> CommandError {
    error.details.retain(|line| !line.starts_with("Nothing was changed"));
    for line in &mut error.details {
        *line = line.replace("this machine is as it was before", "this step is taken back");
    }
    error.details.push(format!("{reached} is done and stays; the same command goes on from there."));
    if matches!(error.kind, ExitKind::Failed | ExitKind::Preflight) {
        error.kind = ExitKind::Resumable;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_later_step_does_not_say_that_nothing_was_changed() {
        let error = CommandError::new(ExitKind::Preflight, "checks failed").detail("Nothing was changed.");
        let error = after(error, &"v1.36.4");
        assert_eq!(error.details, ["v1.36.4 is done and stays; the same command goes on from there."]);
        assert_eq!(error.kind, ExitKind::Resumable);
        let error = CommandError::failed("no")
            .detail("Rolled back: all 3 changes were undone; this machine is as it was before.");
        let error = after(error, &"v1.36.4");
        assert_eq!(error.details[0], "Rolled back: all 3 changes were undone; this step is taken back.");
        let error = after(CommandError::new(ExitKind::Stuck, "no"), &"v1.36.4");
        assert_eq!(error.kind, ExitKind::Stuck);
    }

    #[test]
    fn who_goes_on_says_how_but_not_what() {
        let settings = Settings::default_of(rkadm_phases::upgrade::Scope::Node);
        let drain = |seconds, binary: Option<&str>| kubelet::KubeletUpgrade {
            binary: binary.map(Into::into),
            drain_seconds: seconds,
            unmanaged: seconds > 60,
            empty_dir: false,
        };
        let begun = Upgrade {
            certificate_renewal: true,
            etcd_upgrade: true,
            kubelet: Some(drain(60, None)),
            ..Upgrade::default()
        };
        let now = Settings { kubelet: Some(drain(600, None)), skip_phases: vec!["x".into()], ..settings };
        assert!(differences(&begun, &now).is_empty());
        let told = told_anew(begun.clone(), &now);
        assert_eq!(told.kubelet, now.kubelet);
        assert_eq!(told.config.skip_phases, ["x"]);
        let other = Settings { etcd_upgrade: false, kubelet: Some(drain(60, Some("/tmp/kubelet"))), ..now };
        assert_eq!(
            differences(&begun, &other),
            [
                "--etcd-upgrade: was true, is now false",
                "--kubelet-binary: was (not set), is now /tmp/kubelet"
            ]
        );
    }
}
