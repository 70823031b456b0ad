//! Who is upgraded when: the order of `rkadm upgrade plan`, on machines as ssh knows them.

use rkadm_core::engine::phase::Finding;
use serde::Deserialize;

use super::seat::Seat;
use crate::cli::fleet::of_two_clusters;

/// What `rkadm upgrade plan -o json` says, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
pub struct Planned {
    pub cluster: String,
    pub target: String,
    pub findings: Vec<Told>,
    pub order: Vec<Command>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Told {
    pub severity: String,
    pub check: String,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Command {
    pub node: String,
    pub command: String,
}

/// A command on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its place among the machines.
    pub machine: usize,
    /// What is typed after `rkadm`, without flags.
    pub words: Vec<String>,
    /// It takes the kubelet along.
    pub kubelet: bool,
}

/// Jobs of one stage may be done at the same time, as many as are allowed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// One after the other.
    pub control_planes: Vec<Job>,
    /// At the same time.
    pub workers: Vec<Job>,
    /// Nodes that were not named, and stay as they are.
    pub left: Vec<String>,
}

impl Order {
    /// # Errors
    /// Machines that have to be named and were not, or were named for nothing.
    pub fn new(planned: &Planned, machines: &[(String, Seat)], kubelets: bool) -> Result<Self, Vec<Finding>> {
        let findings = strangers(planned, machines);
        if !findings.is_empty() {
            return Err(findings);
        }
        let place = |node: &str| machines.iter().position(|(_, seat)| seat.node == node);
        let mut order = Self::default();
        for Command { node, command } in &planned.order {
            let is_kubelet = command.ends_with(" --kubelet");
            let Some(machine) = place(node) else {
                if is_kubelet && !order.left.contains(node) {
                    order.left.push(node.clone());
                }
                continue;
            };
            let words = command.split(' ').filter(|word| !["rkadm", "--kubelet"].contains(word));
            let job = Job { machine, words: words.map(str::to_owned).collect(), kubelet: is_kubelet };
            match (machines[machine].1.control_plane, is_kubelet) {
                // Without its kubelet, a control plane has had its turn.
                (true, true) if !kubelets => {}
                (true, _) => order.control_planes.push(job),
                (false, _) => order.workers.push(Job { kubelet: is_kubelet && kubelets, ..job }),
            }
        }
        Ok(order)
    }

    /// Everything, in order.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.control_planes.iter().chain(&self.workers)
    }
}

fn strangers(planned: &Planned, machines: &[(String, Seat)]) -> Vec<Finding> {
    let finding =
        |message: String, hint: &str| Finding { check: "Nodes".into(), message, hint: Some(hint.into()) };
    let mut all = vec![];
    for (index, (machine, seat)) in machines.iter().enumerate() {
        if let Some((other, _)) = machines[..index].iter().find(|(_, other)| other.node == seat.node) {
            all.push(finding(
                format!("{other} and {machine} both are the node {}", seat.node),
                "name each machine once",
            ));
        }
    }
    let authorities =
        machines.iter().filter_map(|(machine, seat)| Some((machine.as_str(), seat.authority.as_deref()?)));
    if let Some((first, other)) = of_two_clusters(authorities) {
        let message = format!("{first} and {other} have different authorities: they are not of one cluster");
        all.push(finding(message, "name the machines of one cluster"));
    }
    let mut missing: Vec<&str> = vec![];
    for Command { node, command } in &planned.order {
        let named = machines.iter().any(|(_, seat)| seat.node == *node);
        if !named && !command.ends_with(" --kubelet") && !missing.contains(&node.as_str()) {
            missing.push(node);
        }
    }
    if !missing.is_empty() {
        let message = format!("control planes that were not named: {}", missing.join(", "));
        all.push(finding(
            message,
            "all of them have to get to the new version before anything else: add them to --nodes",
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(order: &[(&str, &str)]) -> Planned {
        let command = |(node, command): &(&str, &str)| Command {
            node: (*node).into(),
            command: format!("rkadm upgrade {command}"),
        };
        Planned { order: order.iter().map(command).collect(), ..Planned::default() }
    }

    fn machines(nodes: &[&str]) -> Vec<(String, Seat)> {
        let seat = |node: &&str| {
            let control_plane = node.starts_with("cp");
            (format!("host-{node}"), Seat { node: (*node).into(), control_plane, ..Seat::default() })
        };
        nodes.iter().map(seat).collect()
    }

    fn lines(jobs: &[Job]) -> Vec<String> {
        let line = |job: &Job| {
            format!("{} {}{}", job.machine, job.words.join(" "), if job.kubelet { " +kubelet" } else { "" })
        };
        jobs.iter().map(line).collect()
    }

    const PLAN: [(&str, &str); 6] = [
        ("cp1", "apply v1.37.2"),
        ("cp2", "node"),
        ("cp1", "node --kubelet"),
        ("cp2", "node --kubelet"),
        ("w1", "node --kubelet"),
        ("w2", "node --kubelet"),
    ];

    #[test]
    fn control_planes_go_first_and_kubelets_only_when_they_are_wanted() {
        let machines = machines(&["w1", "cp2", "cp1"]);
        let order = Order::new(&planned(&PLAN), &machines, false).unwrap();
        assert_eq!(lines(&order.control_planes), ["2 upgrade apply v1.37.2", "1 upgrade node"]);
        assert_eq!(lines(&order.workers), ["0 upgrade node"]);
        assert_eq!(order.left, ["w2"]);
        let order = Order::new(&planned(&PLAN), &machines, true).unwrap();
        assert_eq!(
            lines(&order.control_planes),
            [
                "2 upgrade apply v1.37.2",
                "1 upgrade node",
                "2 upgrade node +kubelet",
                "1 upgrade node +kubelet"
            ]
        );
        assert_eq!(lines(&order.workers), ["0 upgrade node +kubelet"]);
        assert_eq!(order.jobs().count(), 5);
    }

    #[test]
    fn every_control_plane_has_to_be_named_and_none_twice() {
        let said = |nodes: &[&str]| {
            let findings = Order::new(&planned(&PLAN), &machines(nodes), true).unwrap_err();
            findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(&["cp1", "w1"]), "control planes that were not named: cp2");
        assert_eq!(said(&["cp1", "cp2", "cp2"]), "host-cp2 and host-cp2 both are the node cp2");
        let mut two = machines(&["cp1", "cp2"]);
        two[0].1.authority = Some("a".into());
        two[1].1.authority = Some("b".into());
        let findings = Order::new(&planned(&PLAN), &two, true).unwrap_err();
        assert!(findings[0].message.contains("host-cp1 and host-cp2 have different authorities"));
    }
}
