//! Whether what runs in the cluster still goes together after a step of an upgrade. It only compares, and asks nobody.

use std::collections::{BTreeMap, HashMap, HashSet};

use rkadm_core::version::{
    KubeVersion,
    skew::{Component, Running, Violation, violations},
};

use crate::{
    preflight::{Found, error, warning},
    upgrade::{Scope, Upgrading, state::Seen},
};

const CHECK: &str = "VersionSkew";
/// So many of one kind are told one by one: there may be thousands of kubelets.
const EACH: usize = 10;
/// What an upgrade of a control plane moves; addons and kubelets follow later.
const MOVED: [Component; 3] = [Component::ApiServer, Component::ControllerManager, Component::Scheduler];

/// What a step makes of a pair that does not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It is new, or worse than it was.
    Worse,
    /// It was so before, and stays so.
    Same,
    /// It was worse before, or goes once the other control planes have followed.
    Better,
    /// It was so before, and is not any more.
    Gone,
}

/// Judges the step that this machine takes: what is new, worse or not mended by it is an error. What it mends, even in part, is none,
/// because an upgrade that was left half done has to be finished somehow.
pub fn look(upgrading: &Upgrading, seen: &Seen) -> Vec<Found> {
    let own = upgrading.cluster.config.node_name();
    let to = upgrading.version();
    let after = moved(&seen.running, to, |running| running.node == own);
    // The others follow by their own commands, where they need not skip a minor.
    let finished = moved(&after, to, |it| it.version < *to && it.version.minor() + 1 >= to.minor());
    // `upgrade node` where the control plane is there already goes on to the kubelet, which may be the cure.
    let at_rest = upgrading.request.scope == Scope::Node
        && seen.running.iter().zip(&after).all(|(one, other)| one.version.minor() == other.version.minor());
    let is_error = |outcome| outcome == Outcome::Worse || (outcome == Outcome::Same && !at_rest);
    told(compared(&seen.running, &after, &finished), is_error, hint)
}

/// What a later step of an upgrade over several minors will break: by then all control planes and kube-proxy are of the version before
/// it, and kubelets, which are upgraded once at the end, are what they are now. `known` holds what earlier steps break.
pub fn look_ahead(running: &[Running], between: [&KubeVersion; 2], known: &mut HashSet<Key>) -> Vec<Found> {
    let [from, to] = between;
    let proxies = running.iter().cloned().map(|it| match it.component {
        Component::KubeProxy => Running { version: from.clone(), ..it },
        _ => it,
    });
    let before = moved(&proxies.collect::<Vec<_>>(), from, |_| true);
    let after = moved(&before, to, |_| true);
    let all = compared(&before, &after, &after).into_iter();
    let new = all.filter(|(outcome, it)| *outcome == Outcome::Worse && known.insert(key(it)));
    let hint = |outcome, violation: &Violation| match violation.of.component {
        Component::Kubelet => format!(
            "stop at {from} and upgrade it there: `rkadm upgrade apply {from}`, then `rkadm upgrade node --kubelet` on {}",
            violation.of.node
        ),
        _ => hint(outcome, violation),
    };
    told(new.collect(), |_| false, hint)
}

/// The control planes' components for which `moves` says so, at this version.
fn moved(running: &[Running], to: &KubeVersion, moves: impl Fn(&Running) -> bool) -> Vec<Running> {
    let is_moved = |it: &Running| MOVED.contains(&it.component) && moves(it);
    let all = running.iter().cloned();
    all.map(|it| if is_moved(&it) { Running { version: to.clone(), ..it } } else { it }).collect()
}

fn compared(before: &[Running], after: &[Running], finished: &[Running]) -> Vec<(Outcome, Violation)> {
    let [before, after, finished] = [before, after, finished].map(violations);
    let [was, is, will_be] = [&before, &after, &finished].map(|all| excesses(all));
    let of = |map: &HashMap<_, u64>, it: &Violation| map.get(&key(it)).copied().unwrap_or(0);
    let outcome = |it: &Violation| {
        if it.excess > of(&was, it) {
            Outcome::Worse
        } else if it.excess < of(&was, it) || of(&will_be, it) < it.excess {
            Outcome::Better
        } else {
            Outcome::Same
        }
    };
    let gone = before.iter().filter(|it| !is.contains_key(&key(it))).map(|it| (Outcome::Gone, it.clone()));
    after.iter().map(|it| (outcome(it), it.clone())).chain(gone).collect()
}

/// The version may change: what stays is the rule, and where it is broken.
pub type Key = (&'static str, String);

fn key(violation: &Violation) -> Key {
    (violation.rule, violation.of.node.clone())
}

fn excesses(all: &[Violation]) -> HashMap<Key, u64> {
    all.iter().map(|violation| (key(violation), violation.excess)).collect()
}

fn told(
    all: Vec<(Outcome, Violation)>,
    is_error: impl Fn(Outcome) -> bool,
    hint: impl Fn(Outcome, &Violation) -> String,
) -> Vec<Found> {
    let mut groups: BTreeMap<_, Vec<Violation>> = BTreeMap::new();
    for (outcome, violation) in all {
        groups.entry((outcome, violation.rule)).or_default().push(violation);
    }
    let mut found = vec![];
    for ((outcome, _), violations) in groups {
        let finding = if is_error(outcome) { error } else { warning };
        for violation in violations.iter().take(EACH) {
            found.push(finding(CHECK.to_owned(), message(outcome, violation), &hint(outcome, violation)));
        }
        if let Some(next) = violations.get(EACH) {
            let message = format!(
                "the same holds of {} more, such as {} on {}",
                violations.len() - EACH,
                next.of.component,
                next.of.node
            );
            found.push(finding(CHECK.to_owned(), message, &hint(outcome, next)));
        }
    }
    found
}

fn message(outcome: Outcome, violation: &Violation) -> String {
    match outcome {
        Outcome::Worse => format!("then {violation}"),
        Outcome::Same => format!("now, and after it as well, {violation}"),
        Outcome::Better => format!("still {violation}"),
        Outcome::Gone => format!("now {violation}"),
    }
}

fn hint(outcome: Outcome, violation: &Violation) -> String {
    match outcome {
        Outcome::Gone => return "this upgrade mends it".into(),
        Outcome::Better => return "upgrades of the control planes that are behind mend it".into(),
        Outcome::Worse | Outcome::Same => {}
    }
    let (of, against) = (&violation.of, &violation.against);
    let is_newer = of.version > against.version;
    match of.component {
        Component::Kubelet | Component::KubeProxy if is_newer => format!(
            "bring {} on {} to v{}.{} first, or {} back",
            against.component,
            against.node,
            of.version.major(),
            of.version.minor(),
            of.component
        ),
        Component::Kubelet => {
            format!("upgrade the kubelet of {} first: `rkadm upgrade node --kubelet` there", of.node)
        }
        Component::KubeProxy => "upgrade kube-proxy first".to_owned(),
        _ => format!(
            "bring the control planes to one minor first: `rkadm upgrade plan` on {} says how",
            of.node
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Severity;

    fn running(component: Component, node: &str, minor: u64) -> Running {
        Running { component, node: node.into(), version: KubeVersion::new(1, minor, 2) }
    }

    /// Control planes cp1, cp2, … of these minors.
    fn control_planes(minors: &[u64]) -> Vec<Running> {
        let of = |(index, minor): (usize, &u64)| {
            MOVED.map(|component| running(component, &format!("cp{}", index + 1), *minor))
        };
        minors.iter().enumerate().flat_map(of).collect()
    }

    fn kubelet(node: &str, minor: u64) -> Running {
        running(Component::Kubelet, node, minor)
    }

    /// What is found before the control plane of this name goes to this minor: `E` for errors.
    fn step(scope: Scope, own: &str, minor: u64, cluster: &[Vec<Running>]) -> Vec<String> {
        let mut upgrading = Upgrading::default();
        upgrading.request.scope = scope;
        upgrading.request.config.kubernetes_version = KubeVersion::new(1, minor, 2);
        upgrading.request.config.node_registration.name = own.into();
        let upgrading = Upgrading::new(upgrading.request);
        let seen = Seen { running: cluster.concat(), ..Seen::default() };
        let line = |(severity, finding): Found| {
            let letter = if severity == Severity::Error { "E" } else { "W" };
            format!("{letter} {}", finding.message)
        };
        look(&upgrading, &seen).into_iter().map(line).collect()
    }

    fn letters(found: &[String]) -> String {
        found.iter().map(|line| &line[..1]).collect()
    }

    #[test]
    fn a_kubelet_that_is_too_old_already_stops_what_makes_it_worse() {
        let found = step(Scope::Cluster, "cp1", 37, &[control_planes(&[36]), vec![kubelet("w1", 32)]]);
        assert_eq!(
            found,
            [
                "E then kubelet v1.32.2 on w1 does not go with kube-apiserver v1.37.2 on cp1: it must be v1.34 to v1.37"
            ]
        );
        let three = [control_planes(&[37, 36, 36]), vec![kubelet("w1", 33)]];
        assert_eq!(
            letters(&step(Scope::Node, "cp2", 37, &three)),
            "E",
            "one more API server that it is too old for"
        );
    }

    #[test]
    fn what_the_step_does_not_mend_is_an_error() {
        // A newer patch alone.
        let found = step(Scope::Cluster, "cp1", 37, &[control_planes(&[37]), vec![kubelet("w1", 33)]]);
        assert_eq!(letters(&found), "E");
        assert!(found[0].starts_with("E now, and after it as well, kubelet v1.33.2 on w1"), "{found:?}");
    }

    #[test]
    fn control_planes_that_are_two_minors_apart_are_told() {
        let apart = [control_planes(&[37, 35])];
        assert_eq!(
            step(Scope::Cluster, "cp1", 37, &apart),
            [
                "E now, and after it as well, kube-apiserver v1.35.2 on cp2 does not go with kube-apiserver v1.37.2 on cp1: it must be v1.36 to v1.38"
            ]
        );
        // The one that is behind may catch up, a minor at a time.
        let found = step(Scope::Cluster, "cp2", 36, &apart);
        assert_eq!(letters(&found), "W", "{found:?}");
        // Another that goes on makes the distance no smaller.
        assert_eq!(letters(&step(Scope::Node, "cp2", 37, &[control_planes(&[37, 36, 35])])), "E");
    }

    #[test]
    fn an_upgrade_that_was_left_half_done_can_be_finished() {
        for (own, minors) in [("cp2", &[37, 36][..]), ("cp1", &[37, 36]), ("cp2", &[37, 36, 36])] {
            for scope in [Scope::Cluster, Scope::Node] {
                let found = step(scope, own, 37, &[control_planes(minors)]);
                assert!(found.is_empty(), "{own} of {minors:?}: {found:?}");
            }
        }
        // kubeadm's pages have the kubelet of the first control plane upgraded before the next, and older ones move
        // kube-proxy at once.
        let by_kubeadm = [
            control_planes(&[37, 36, 36]),
            vec![kubelet("cp1", 37), kubelet("cp2", 36), kubelet("w1", 36)],
            ["cp1", "cp2", "w1"].map(|node| running(Component::KubeProxy, node, 37)).into(),
        ];
        for (own, scope) in [("cp1", Scope::Cluster), ("cp2", Scope::Node), ("cp3", Scope::Node)] {
            let found = step(scope, own, 37, &by_kubeadm);
            assert!(!letters(&found).contains('E'), "on {own}: {found:?}");
            assert!(!found.is_empty());
        }
        let last = [control_planes(&[37, 37, 36]), by_kubeadm[1].clone()];
        assert_eq!(
            step(Scope::Node, "cp3", 37, &last),
            [
                "W now kubelet v1.37.2 on cp1 does not go with kube-apiserver v1.36.2 on cp3: it must be v1.33 to v1.36"
            ]
        );
        // A control plane that was cut off between its components.
        let torn = vec![
            running(Component::ApiServer, "cp1", 36),
            running(Component::ControllerManager, "cp1", 37),
            running(Component::Scheduler, "cp1", 36),
        ];
        assert_eq!(letters(&step(Scope::Cluster, "cp1", 37, &[torn])), "W");
    }

    #[test]
    fn the_kubelet_that_is_the_cure_is_not_held_up() {
        let old = [control_planes(&[37]), vec![kubelet("cp1", 33)]];
        assert_eq!(letters(&step(Scope::Node, "cp1", 37, &old)), "W");
    }

    #[test]
    fn of_thousands_some_are_named() {
        let kubelets = (0..5000).map(|n| kubelet(&format!("w{n}"), 33)).collect();
        let found = step(Scope::Cluster, "cp1", 37, &[control_planes(&[36]), kubelets]);
        assert_eq!(found.len(), EACH + 1);
        assert_eq!(found[EACH], "E the same holds of 4990 more, such as kubelet on w10");
    }
}
