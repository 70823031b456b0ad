//! The plan for people. What is the same on many nodes is told once.

use std::collections::BTreeMap;

use super::{Command, Line, Plan};
use crate::output::text;

/// So many nodes are named one by one.
const EACH: usize = 20;

/// All of it.
pub fn text(plan: &Plan) -> String {
    let mut out = format!("The cluster has {}; looked at is {}.\n", plan.cluster, plan.target);
    if plan.reachable.is_empty() {
        out += "This rkadm knows no newer version within reach.\n";
    } else {
        let names: Vec<_> = plan.reachable.iter().map(ToString::to_string).collect();
        out += &format!("Within reach, as far as this rkadm knows: {}\n", names.join(", "));
    }
    if plan.steps.len() > 1 {
        let names: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
        out += &format!(
            "The way goes over {}; findings are about the first step, unless they name another.\n",
            names.join(", ")
        );
    }
    let row = |line: &Line| {
        vec![line.component.clone(), line.node.clone(), line.current.clone(), line.target.clone()]
    };
    let rows = plan.components.iter().map(row).chain(kubelets(&plan.kubelets)).collect();
    out += &format!("\n{}", text::table(&["COMPONENT", "NODE", "CURRENT", "TARGET"], rows));
    if !plan.images_to_pull.is_empty() {
        out += &format!(
            "\nNot on this machine yet, and pulled before anything is touched: {}\n",
            plan.images_to_pull.join(", ")
        );
    }
    out += "\n";
    for told in &plan.findings {
        let severity = if told.severity == "error" { "ERROR" } else { "warning" };
        out += &format!("{severity} [{}] {}\n", told.check, told.message);
        if let Some(hint) = &told.hint {
            out += &format!("    {hint}\n");
        }
    }
    if plan.findings.is_empty() {
        out += "Nothing was found that speaks against it.\n";
    }
    if !plan.order.is_empty() {
        out += &format!("\nIn this order:\n{}", order(&plan.order));
    }
    out
}

/// A row for each, or for each version where they are many.
fn kubelets(lines: &[Line]) -> Vec<Vec<String>> {
    let row = |node: String, line: &Line| {
        vec![line.component.clone(), node, line.current.clone(), line.target.clone()]
    };
    if lines.len() <= EACH {
        return lines.iter().map(|line| row(line.node.clone(), line)).collect();
    }
    let mut versions: BTreeMap<&str, (usize, &Line)> = BTreeMap::new();
    for line in lines {
        versions.entry(&line.current).or_insert((0, line)).0 += 1;
    }
    versions.into_values().map(|(number, line)| row(text::count(number, "node"), line)).collect()
}

/// Kubelets come last. Where they are many, some are named.
fn order(commands: &[Command]) -> String {
    let last = commands.last().map(|last| last.command.as_str()).unwrap_or_default();
    let same = commands.iter().rev().take_while(|one| one.command == last).count();
    let shown = if same > EACH { commands.len() - same + EACH } else { commands.len() };
    let line = |node: &str, command: &str| format!("  on {node}: {command}\n");
    let mut out: String = commands[..shown].iter().map(|one| line(&one.node, &one.command)).collect();
    if shown < commands.len() {
        out += &line(&format!("{} (-o json names them)", more(commands.len() - shown)), last);
    }
    out
}

fn more(nodes: usize) -> String {
    let plural = if nodes == 1 { "" } else { "s" };
    format!("{nodes} more node{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubelet(node: String, current: &str) -> Line {
        Line { component: "kubelet".into(), node, current: current.into(), target: "v1.37.2".into() }
    }

    #[test]
    fn a_few_kubelets_are_named_and_many_are_counted_by_version() {
        let lines: Vec<_> = (0..20).map(|n| kubelet(format!("w{n}"), "v1.36.4")).collect();
        assert_eq!(kubelets(&lines).len(), 20);
        let old = (0..3).map(|n| kubelet(format!("o{n}"), "v1.35.8"));
        let lines: Vec<_> = lines.into_iter().chain(old).collect();
        assert_eq!(
            kubelets(&lines),
            [["kubelet", "3 nodes", "v1.35.8", "v1.37.2"], ["kubelet", "20 nodes", "v1.36.4", "v1.37.2"]]
        );
    }

    #[test]
    fn of_many_nodes_only_some_are_in_the_order() {
        let command = |node: String, command: &str| Command { node, command: command.into() };
        let mut commands = vec![command("cp1".into(), "rkadm upgrade apply v1.37.2")];
        commands.extend((0..20).map(|n| command(format!("w{n}"), "rkadm upgrade node --kubelet")));
        assert_eq!(order(&commands).lines().count(), 21);
        commands.extend((20..5000).map(|n| command(format!("w{n}"), "rkadm upgrade node --kubelet")));
        let text = order(&commands);
        assert_eq!(text.lines().count(), 22);
        assert_eq!(
            text.lines().last(),
            Some("  on 4980 more nodes (-o json names them): rkadm upgrade node --kubelet")
        );
        commands.truncate(22);
        assert!(
            order(&commands)
                .ends_with("  on 1 more node (-o json names them): rkadm upgrade node --kubelet\n")
        );
    }
}
