//! The Kubernetes version skew policy as data, and one pure function that judges a cluster by it.
//!
//! Source: <https://kubernetes.io/releases/version-skew-policy/>. Minors count, patches do not. Where API servers differ
//! (a control plane in the middle of an upgrade), what talks to them must suit the oldest and the newest of them.

use std::{collections::HashMap, fmt};

use super::super::KubeVersion;

/// What has a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// The kubelet.
    Kubelet,
    /// kube-proxy.
    KubeProxy,
    /// kubectl.
    Kubectl,
}

impl Component {
    /// Its program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Kubectl => "kubectl",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many minors `of` may be behind and ahead of `against`.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name.
    pub id: &'static str,
    /// Which component's version is judged.
    pub of: Component,
    /// By which.
    pub against: Component,
    /// So many minors older is fine.
    pub behind: u64,
    /// So many minors newer is fine.
    pub ahead: u64,
    /// Only where both are on the same node.
    pub same_node: bool,
}

const fn to_api_server(id: &'static str, of: Component, behind: u64, ahead: u64) -> Rule {
    Rule { id, of, against: Component::ApiServer, behind, ahead, same_node: false }
}

/// On control planes of kubeadm and rkadm these talk to the API server beside them, and to no other.
const fn to_own_api_server(id: &'static str, of: Component) -> Rule {
    Rule { same_node: true, ..to_api_server(id, of, 1, 0) }
}

/// How many minors a kubelet may be older than its API server; it is never newer.
pub const KUBELET_MINORS_BEHIND: u64 = 3;

/// The policy.
pub static RULES: [Rule; 7] = [
    to_api_server("api-servers", Component::ApiServer, 1, 1),
    to_own_api_server("controller-manager", Component::ControllerManager),
    to_own_api_server("scheduler", Component::Scheduler),
    to_api_server("kubelet", Component::Kubelet, KUBELET_MINORS_BEHIND, 0),
    to_api_server("kube-proxy", Component::KubeProxy, KUBELET_MINORS_BEHIND, 0),
    Rule {
        id: "kube-proxy-kubelet",
        of: Component::KubeProxy,
        against: Component::Kubelet,
        behind: 3,
        ahead: 3,
        same_node: true,
    },
    to_api_server("kubectl", Component::Kubectl, 1, 1),
];

/// A component that runs somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What.
    pub component: Component,
    /// Where.
    pub node: String,
    /// Which.
    pub version: KubeVersion,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on {}", self.component, self.version, self.node)
    }
}

/// Two components that do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// [`Rule::id`].
    pub rule: &'static str,
    /// What is too old or too new.
    pub of: Running,
    /// Beside what.
    pub against: Running,
    /// What it would have to be, in words: `v1.34 to v1.37`.
    pub needed: String,
    /// By how many minors it is out of the rule, added up over all that it does not go with: what makes it less makes it better.
    pub excess: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not go with {}: it must be {}", self.of, self.against, self.needed)
    }
}

/// Between majors no policy is known: that is worse than any number of minors.
const ANOTHER_MAJOR: u64 = 1000;

impl Rule {
    /// So many minors older or newer than is fine; 0 where they go together.
    fn excess(&self, of: &KubeVersion, against: &KubeVersion) -> u64 {
        if of.major() != against.major() {
            return ANOTHER_MAJOR;
        }
        let (of, against) = (of.minor(), against.minor());
        against.saturating_sub(of + self.behind) + of.saturating_sub(against + self.ahead)
    }

    fn needed(&self, against: &KubeVersion) -> String {
        let (major, minor) = (against.major(), against.minor());
        let (from, to) = (minor.saturating_sub(self.behind), minor + self.ahead);
        if from == to { format!("v{major}.{to}") } else { format!("v{major}.{from} to v{major}.{to}") }
    }
}

/// What of a cluster breaks the policy: of each component and rule, the worst pair.
pub fn violations(cluster: &[Running]) -> Vec<Violation> {
    RULES.iter().flat_map(|rule| broken(rule, cluster)).collect()
}

fn broken(rule: &Rule, cluster: &[Running]) -> Vec<Violation> {
    // By node, as there may be thousands of both: everybody beside everybody would take seconds.
    let mut against: HashMap<&str, Vec<&Running>> = HashMap::new();
    for other in cluster.iter().filter(|other| other.component == rule.against) {
        against.entry(place(rule, other)).or_default().push(other);
    }
    let of = cluster.iter().filter(|of| of.component == rule.of);
    of.filter_map(|of| worst(rule, of, against.get(place(rule, of))?)).collect()
}

/// Where those are that a component is judged by.
fn place<'a>(rule: &Rule, running: &'a Running) -> &'a str {
    if rule.same_node { &running.node } else { "" }
}

fn worst(rule: &Rule, of: &Running, against: &[&Running]) -> Option<Violation> {
    // Of two API servers, one line is enough: the older one is to move.
    let counts = |other: &&Running| rule.of != rule.against || of.version < other.version;
    let beside = against.iter().copied().filter(|other| !std::ptr::eq(*other, of)).filter(counts);
    let broken = beside.map(|other| (rule.excess(&of.version, &other.version), other));
    let broken: Vec<_> = broken.filter(|(excess, _)| *excess > 0).collect();
    let excess = broken.iter().map(|(excess, _)| excess).sum();
    let (_, against) = broken.into_iter().max_by_key(|(excess, _)| *excess)?;
    let needed = rule.needed(&against.version);
    Some(Violation { rule: rule.id, of: of.clone(), against: against.clone(), needed, excess })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [Component; 5] = [
        Component::ApiServer,
        Component::ControllerManager,
        Component::Scheduler,
        Component::Kubelet,
        Component::KubeProxy,
    ];

    fn running(component: Component, node: &str, minor: u64) -> Running {
        Running { component, node: node.into(), version: KubeVersion::new(1, minor, 2) }
    }

    /// A node with every component at these minors.
    fn node(name: &str, minors: [u64; 5]) -> Vec<Running> {
        PARTS.into_iter().zip(minors).map(|(part, minor)| running(part, name, minor)).collect()
    }

    /// Every combination of five minors on one node.
    fn all() -> impl Iterator<Item = [u64; 5]> {
        (0..5_usize.pow(5)).map(|number| {
            std::array::from_fn(|part| {
                33 + (number / 5_usize.pow(u32::try_from(part).unwrap_or(0)) % 5) as u64
            })
        })
    }

    #[test]
    fn what_is_of_one_version_goes_together() {
        for minor in 34..=37 {
            assert_eq!(violations(&[node("a", [minor; 5]), node("b", [minor; 5])].concat()), []);
        }
    }

    #[test]
    fn the_policy_holds_for_every_combination() {
        for minors in all() {
            let [api, manager, scheduler, kubelet, proxy] = minors;
            let good = (manager == api || manager + 1 == api)
                && (scheduler == api || scheduler + 1 == api)
                && (kubelet <= api && kubelet + 3 >= api)
                && (proxy <= api && proxy + 3 >= api)
                && proxy.abs_diff(kubelet) <= 3;
            assert_eq!(violations(&node("a", minors)).is_empty(), good, "{minors:?}");
        }
    }

    #[test]
    fn what_leaves_breaks_nothing_and_order_does_not_matter() {
        for minors in all().step_by(7) {
            let cluster = [node("a", minors), vec![running(Component::ApiServer, "b", 36)]].concat();
            let before = violations(&cluster);
            for index in 0..cluster.len() {
                let mut fewer = cluster.clone();
                fewer.remove(index);
                for left in violations(&fewer) {
                    let same = |it: &&Violation| it.rule == left.rule && it.of == left.of;
                    assert!(before.iter().any(|it| same(&it)), "{left} in {fewer:?}");
                }
            }
            let mut turned = cluster.clone();
            turned.reverse();
            assert_eq!(violations(&turned).len(), before.len(), "{cluster:?}");
        }
    }

    #[test]
    fn thousands_of_nodes_are_judged_at_once() {
        let nodes = (0..5000).flat_map(|n| {
            let name = format!("w{n}");
            [running(Component::Kubelet, &name, 33), running(Component::KubeProxy, &name, 37)]
        });
        let cluster: Vec<_> = node("cp1", [37; 5]).into_iter().chain(nodes).collect();
        let began = std::time::Instant::now();
        // Each kubelet is too old, and its kube-proxy does not go with it.
        assert_eq!(violations(&cluster).len(), 10_000);
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    }

    /// A control plane after the other, each with all that it runs, then kubelets.
    #[test]
    fn control_planes_may_be_upgraded_one_by_one() {
        let mut cluster = [node("a", [36; 5]), node("b", [36; 5]), node("c", [36; 5])].concat();
        for name in ["a", "b", "c"] {
            for part in &PARTS[..3] {
                let it = cluster.iter_mut().find(|it| it.component == *part && it.node == name).unwrap();
                it.version = KubeVersion::new(1, 37, 2);
            }
            assert_eq!(violations(&cluster), [], "after {name}");
        }
    }

    /// The order of an upgrade: all API servers, then what else runs on the control planes, then kubelets.
    #[test]
    fn no_step_of_an_upgrade_in_order_breaks_the_policy() {
        let mut cluster = [node("a", [36; 5]), node("b", [36; 5]), node("c", [36; 5])].concat();
        for part in PARTS {
            for name in ["a", "b", "c"] {
                let it = cluster.iter_mut().find(|it| it.component == part && it.node == name).unwrap();
                it.version = KubeVersion::new(1, 37, 2);
                assert_eq!(violations(&cluster), [], "after {part} on {name}");
            }
        }
    }

    #[test]
    fn the_excess_tells_whether_a_step_makes_it_better() {
        let excess = |servers: &[u64], kubelet: u64| {
            let servers =
                servers.iter().map(|minor| running(Component::ApiServer, &format!("cp{minor}"), *minor));
            let cluster: Vec<_> = servers.chain([running(Component::Kubelet, "w1", kubelet)]).collect();
            violations(&cluster).iter().map(|it| it.excess).collect::<Vec<_>>()
        };
        assert!(excess(&[36, 36], 33).is_empty());
        assert_eq!(excess(&[36], 32), [1]);
        assert_eq!(excess(&[37], 32), [2]);
        assert_eq!(excess(&[36, 36, 36], 37), [3], "each API server counts");
        assert_eq!(excess(&[37, 36, 36], 37), [2], "one of them has moved");
        assert_eq!(excess(&[35, 37], 35), [1], "of two API servers one line");
    }

    #[test]
    fn a_violation_says_what_would_do() {
        let found = violations(&node("w1", [37, 37, 37, 33, 37]));
        let text: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "kubelet v1.33.2 on w1 does not go with kube-apiserver v1.37.2 on w1: it must be v1.34 to v1.37",
                "kube-proxy v1.37.2 on w1 does not go with kubelet v1.33.2 on w1: it must be v1.30 to v1.36",
            ]
        );
        let apart = [running(Component::ApiServer, "a", 35), running(Component::ApiServer, "b", 37)];
        let text: Vec<_> = violations(&apart).iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "kube-apiserver v1.35.2 on a does not go with kube-apiserver v1.37.2 on b: it must be v1.36 to v1.38"
            ]
        );
    }
}
