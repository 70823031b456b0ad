//! What later steps of an upgrade over several minors will meet, as far as it can be told from here: better known before the first.

use std::collections::HashSet;

use rkadm_core::{config::Image, engine::phase::Finding, version::KubeVersion};

use super::{etcd::floor_between, flags, skew};
use crate::{
    preflight::{Found, Severity},
    upgrade::{Upgrading, state::Seen},
};

/// Judges all steps but the first, which is looked at on the spot. All are warnings: each step is checked again when it is taken.
pub fn look(steps: &[Upgrading], seen: &Seen) -> Vec<Found> {
    let (mut broken, mut told) = (HashSet::new(), HashSet::new());
    if let Some(first) = steps.first() {
        told.extend(flags::look(first).into_iter().map(|(_, finding)| finding.message));
        // What the first step breaks, it tells by itself.
        skew::look_ahead(&seen.running, [&first.request.from, first.version()], &mut broken);
    }
    let mut found = vec![];
    for pair in steps.windows(2) {
        let [before, step] = pair else { continue };
        let (from, to) = (before.version(), step.version());
        let [was, will_be] = [before, step].map(|step| step.cluster.config.image(Image::Etcd));
        found.extend(floor_between(&was, &will_be, to).map(|message| {
            (Severity::Warning, Finding { check: "EtcdVersion".into(), message, hint: None })
        }));
        let ahead = skew::look_ahead(&seen.running, [from, to], &mut broken);
        let flags = flags::look(step).into_iter().filter(|(_, finding)| told.insert(finding.message.clone()));
        found.extend(ahead.into_iter().chain(flags).map(|found| of_step(found, to)));
    }
    found
}

fn of_step((_, mut finding): Found, to: &KubeVersion) -> Found {
    finding.message = format!("the step to {to}: {}", finding.message);
    (Severity::Warning, finding)
}

#[cfg(test)]
mod tests {
    use rkadm_core::{
        config::types::Arg,
        version::skew::{Component, Running},
    };

    use super::*;

    /// What is told on the way from 1.34, with kubelets of these minors.
    fn told(steps: &[(u64, u64)], kubelets: &[u64], args: &[Arg]) -> Vec<(String, Option<String>)> {
        let mut from = KubeVersion::new(1, 34, 4);
        let step = |(minor, patch): &(u64, u64)| {
            let mut request = Upgrading::default().request;
            request.config.kubernetes_version = KubeVersion::new(1, *minor, *patch);
            request.config.cluster.api_server.extra_args = args.to_vec();
            request.from = std::mem::replace(&mut from, request.config.kubernetes_version.clone());
            Upgrading::new(request)
        };
        let steps: Vec<_> = steps.iter().map(step).collect();
        let server =
            |component| Running { component, node: "cp1".into(), version: KubeVersion::new(1, 34, 4) };
        let kubelet = |(number, minor): (usize, &u64)| Running {
            component: Component::Kubelet,
            node: format!("w{}", number + 1),
            version: KubeVersion::new(1, *minor, 9),
        };
        let control_plane =
            [Component::ApiServer, Component::ControllerManager, Component::KubeProxy].map(server);
        let running = control_plane.into_iter().chain(kubelets.iter().enumerate().map(kubelet)).collect();
        let seen = Seen { running, ..Seen::default() };
        look(&steps, &seen)
            .into_iter()
            .filter(|(_, finding)| finding.check != "EtcdVersion")
            .map(|(severity, finding)| {
                assert_eq!(severity, Severity::Warning);
                (finding.message, finding.hint)
            })
            .collect()
    }

    const WAY: [(u64, u64); 3] = [(35, 8), (36, 4), (37, 2)];

    #[test]
    fn kubelets_that_the_third_step_leaves_behind_are_told_before_the_first() {
        let found = told(&WAY, &[33, 34], &[]);
        assert_eq!(
            found,
            [(
                "the step to v1.37.2: then kubelet v1.33.9 on w1 does not go with kube-apiserver v1.37.2 on cp1: it must be v1.34 to v1.37"
                    .to_owned(),
                Some(
                    "stop at v1.36.4 and upgrade it there: `rkadm upgrade apply v1.36.4`, then `rkadm upgrade node --kubelet` on w1"
                        .to_owned()
                )
            )]
        );
        let found = told(&WAY, &[32], &[]);
        assert_eq!(found.len(), 1, "once, where it begins: {found:?}");
        assert!(found[0].0.starts_with("the step to v1.36.4: "), "{found:?}");
        assert!(told(&WAY, &[31], &[]).is_empty(), "the first step tells it by itself");
        assert!(told(&WAY[..1], &[31], &[]).is_empty());
    }

    #[test]
    fn flags_that_a_later_version_does_not_take_are_told() {
        let gates = Arg::new("feature-gates", "AnonymousAuthConfigurableEndpoints=true");
        let found = told(&WAY, &[], &[gates]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.starts_with("the step to v1.37.2: kube-apiserver: "), "{found:?}");
    }
}
