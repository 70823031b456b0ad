//! What all machines together have said, and what is made of it.

use std::path::PathBuf;

use jiff::Timestamp;
use rkadm_core::{backup::trial::bump_over, engine::phase::Finding, fleet::run_id};
use rkadm_phases::restore::Source;
use serde::Serialize;

use super::{
    super::{UNKNOWN, confirm::age},
    backup::Backup,
    survey::Answer,
};
use crate::cli::{
    exit::{CommandError, ExitKind},
    fleet::of_two_clusters,
};

/// A restore that all machines are able to do.
#[derive(Debug)]
pub struct Plan {
    /// Machines, as the operator named them, and what they have said.
    pub machines: Vec<(String, Answer)>,
    /// The new cluster, as etcd takes it.
    pub initial_cluster: String,
    /// What its ids are made of.
    pub token: String,
    /// The revision that it begins with.
    pub raise_to: i64,
}

/// The result of a dry run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    file: PathBuf,
    backup_created_at: Option<Timestamp>,
    backup_revision: i64,
    raise_to: i64,
    initial_cluster: String,
    machines: Vec<PlannedMachine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlannedMachine {
    machine: String,
    member: String,
    revision: Option<i64>,
    unfinished: Option<String>,
}

impl Plan {
    /// Puts the answers together.
    ///
    /// # Errors
    /// Everything that speaks against it, on every machine.
    pub fn new(machines: Vec<(String, Answer)>, source: &Source, force: bool) -> Result<Self, CommandError> {
        let findings = against(&machines, force);
        if !findings.is_empty() {
            let error = CommandError::new(ExitKind::Preflight, "these machines cannot be restored together");
            return Err(CommandError { findings, ..error }.detail("Nothing was changed."));
        }
        let urls = machines.iter().flat_map(|(_, answer)| {
            answer.peer_urls.iter().map(|url| format!("{}={url}", answer.name)).collect::<Vec<_>>()
        });
        let initial_cluster = urls.collect::<Vec<_>>().join(",");
        // Where nobody knows what was seen, more than anybody can have.
        let seen = machines.iter().filter_map(|(_, answer)| answer.revision).max();
        let by = bump_over(source.revision, seen.unwrap_or(source.revision + UNKNOWN));
        let raise_to = source.revision.saturating_add(i64::try_from(by).unwrap_or(i64::MAX));
        Ok(Self { machines, initial_cluster, token: run_id().to_lowercase(), raise_to })
    }

    /// The same words for each machine, but for the path of the file.
    pub fn command(&self, file: &str, force: bool) -> Vec<String> {
        let raise_to = self.raise_to.to_string();
        let fixed = [
            "--progress",
            "json",
            "-o",
            "json",
            "restore",
            "etcd",
            file,
            "--yes",
            "--led",
            "--initial-cluster",
            &self.initial_cluster,
            "--cluster-token",
            &self.token,
            "--raise-to",
            &raise_to,
        ];
        fixed.into_iter().chain(force.then_some("--force")).map(str::to_owned).collect()
    }

    /// Whether something has to be taken back first.
    pub fn has_leftovers(&self) -> bool {
        self.leftovers().any(|id| id.is_some())
    }

    /// Ids of what was cut off, machine by machine.
    pub fn leftovers(&self) -> impl Iterator<Item = Option<&str>> {
        self.machines.iter().map(|(_, answer)| answer.unfinished.as_ref().map(|it| it.id.as_str()))
    }

    /// What the operator should know.
    pub fn warnings(&self) -> Vec<String> {
        let of = |(machine, answer): &(String, Answer)| {
            answer.warnings.iter().map(|text| format!("{machine}: {text}")).collect::<Vec<_>>()
        };
        self.machines.iter().flat_map(of).collect()
    }

    /// For programs.
    pub fn document(&self, backup: &Backup) -> Planned {
        let machines = self.machines.iter().map(|(machine, answer)| PlannedMachine {
            machine: machine.clone(),
            member: answer.name.clone(),
            revision: answer.revision,
            unfinished: answer.unfinished.as_ref().map(|unfinished| unfinished.id.clone()),
        });
        Planned {
            file: backup.shown.clone(),
            backup_created_at: backup.source.created_at,
            backup_revision: backup.source.revision,
            raise_to: self.raise_to,
            initial_cluster: self.initial_cluster.clone(),
            machines: machines.collect(),
        }
    }

    /// For a dry run.
    pub fn text(&self, backup: &Backup) -> String {
        let mut out = self.facts(backup);
        out += "On each machine, at the same time, and nobody goes on before all are as far:\n\
                \x20 1. restore the data beside the old, and verify it\n\
                \x20 2. stop the control plane, and put the data in its place; the old is kept\n\
                \x20 3. start the control plane; etcd has a majority\n\
                \x20 4. mend what is of the old time, and report\n\
                Nothing was changed.\n";
        out
    }

    /// For the operator.
    pub fn question(&self, backup: &Backup) -> String {
        format!(
            "This replaces the data of etcd on {} machines:\n{}\
             The API servers are down meanwhile. The old data is kept beside the new.\n\
             Restore it? [y/N]: ",
            self.machines.len(),
            self.facts(backup)
        )
    }

    fn facts(&self, backup: &Backup) -> String {
        let source = &backup.source;
        let taken = source.created_at.map(|at| {
            let on = source.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
            format!("taken {} ago{on}", age(Timestamp::now(), at))
        });
        let taken = taken.unwrap_or_else(|| "of unknown age".into());
        let mut out = format!("  backup    {}, {taken}\n", backup.shown.display());
        out += &format!("  revision  {} (begins anew at {})\n", source.revision, self.raise_to);
        for (machine, answer) in &self.machines {
            let now = match answer.revision {
                Some(live) if live > source.revision => {
                    format!("is at {live}: the {} changes since are lost", live - source.revision)
                }
                Some(live) => format!("is at {live}"),
                None => "does not answer: whatever was written since is lost".into(),
            };
            let member =
                if answer.name == *machine { String::new() } else { format!("member {}, ", answer.name) };
            out += &format!("  {machine:<9} {member}etcd {now}\n");
            if let Some(unfinished) = &answer.unfinished {
                out +=
                    &format!("            operation {} was cut off and is taken back first\n", unfinished.id);
            }
        }
        out
    }
}

/// What speaks against it.
fn against(machines: &[(String, Answer)], force: bool) -> Vec<Finding> {
    let finding = |check: &str, message: String, hint: &str| Finding {
        check: check.into(),
        message,
        hint: Some(hint.into()),
    };
    let mut all = vec![];
    if machines.len() < 2 {
        let hint = "restore a single control plane without --control-planes, on the machine itself";
        all.push(finding("ControlPlanes", "one machine alone is named".into(), hint));
    }
    for (machine, answer) in machines {
        let named = |finding: &Finding| Finding {
            message: format!("{machine}: {}", finding.message),
            ..finding.clone()
        };
        all.extend(answer.findings.iter().map(named));
        if let Some(unfinished) = answer.unfinished.as_ref().filter(|unfinished| !unfinished.together) {
            let message = format!(
                "{machine}: operation {} (rkadm {}) is not finished",
                unfinished.id, unfinished.workflow
            );
            all.push(finding("Unfinished", message, "there: `rkadm op resume`, or `rkadm op rollback`"));
        }
    }
    // One that says nothing is asked again once it has taken back what was cut off.
    let said: Vec<_> = machines.iter().filter(|(_, answer)| !answer.name.is_empty()).collect();
    for (index, (machine, answer)) in said.iter().enumerate() {
        if let Some((other, _)) = said[..index].iter().find(|(_, other)| other.name == answer.name) {
            let message = format!("{other} and {machine} both are the member {}", answer.name);
            all.push(finding("ControlPlanes", message, "name each machine once"));
        }
    }
    let authorities =
        said.iter().filter_map(|(machine, answer)| Some((machine.as_str(), answer.authority.as_deref()?)));
    if let Some((first, other)) = of_two_clusters(authorities) {
        let message =
            format!("{first} and {other} have different authorities of etcd: they are not of one cluster");
        all.push(finding("ControlPlanes", message, "name the control planes of one cluster"));
    }
    if said.len() == machines.len() {
        let mut left: Vec<String> = vec![];
        for (name, shown) in said.iter().flat_map(|(_, answer)| &answer.members) {
            if !said.iter().any(|(_, answer)| answer.name == *name) && !left.contains(shown) {
                left.push(shown.clone());
            }
        }
        if !left.is_empty() && !force {
            let message = format!("etcd has members that were not named: {}", left.join(", "));
            let hint = "they would go on with the old data: name their machines too, or `rkadm reset` them. When those are gone \
                        for good: --force";
            all.push(finding("EtcdMembers", message, hint));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{super::survey::Unfinished, *};

    fn answer(name: &str, revision: Option<i64>, members: &[&str]) -> (String, Answer) {
        let members = members.iter().map(|name| ((*name).to_owned(), format!("{name} (1)"))).collect();
        let peer_urls = vec![format!("https://{name}:2380")];
        (
            format!("host-{name}"),
            Answer { name: name.into(), peer_urls, revision, members, ..Answer::default() },
        )
    }

    fn plan(machines: Vec<(String, Answer)>, force: bool) -> Result<Plan, String> {
        let source = Source { revision: 100, ..Source::default() };
        Plan::new(machines, &source, force).map_err(|error| {
            let findings = error.findings.iter().map(|it| format!("[{}] {}", it.check, it.message));
            findings.collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn the_cluster_is_made_of_what_all_have_said() {
        let all = ["cp1", "cp2", "cp3"];
        let machines =
            vec![answer("cp1", Some(500), &all), answer("cp2", None, &[]), answer("cp3", Some(700), &all)];
        let plan = plan(machines, false).unwrap();
        assert_eq!(plan.initial_cluster, "cp1=https://cp1:2380,cp2=https://cp2:2380,cp3=https://cp3:2380");
        assert!(plan.raise_to > 700 + 900_000_000, "{}", plan.raise_to);
        let command = plan.command("/f", false).join(" ");
        assert!(
            command.contains("restore etcd /f --yes --led --initial-cluster cp1=https://cp1:2380,cp2="),
            "{command}"
        );
        assert!(!command.contains("--force") && plan.command("/f", true).contains(&"--force".into()));
    }

    #[test]
    fn where_nobody_knows_the_revision_it_is_far_above_all() {
        let plan = plan(vec![answer("cp1", None, &[]), answer("cp2", None, &[])], false).unwrap();
        assert!(plan.raise_to > UNKNOWN, "{}", plan.raise_to);
    }

    #[test]
    fn everything_that_speaks_against_it_is_said_at_once() {
        let mut cp1 = answer("cp1", None, &["cp1", "cp2", "cp9"]);
        cp1.1.findings.push(Finding { check: "Space".into(), message: "no room".into(), hint: None });
        let mut cp2 = answer("cp2", None, &["cp9"]);
        cp2.1.unfinished =
            Some(Unfinished { id: "01X".into(), workflow: "upgrade node".into(), together: false });
        let said = plan(vec![cp1, cp2], false).unwrap_err();
        assert_eq!(
            said,
            "[Space] host-cp1: no room\n[Unfinished] host-cp2: operation 01X (rkadm upgrade node) is not finished\n\
             [EtcdMembers] etcd has members that were not named: cp9 (1)"
        );
    }

    #[test]
    fn one_machine_or_one_member_twice_is_no_cluster() {
        assert!(
            plan(vec![answer("cp1", None, &[])], false).unwrap_err().contains("one machine alone is named")
        );
        let twice = vec![answer("cp1", None, &[]), ("10.0.0.1".into(), answer("cp1", None, &[]).1)];
        let said = plan(twice, false).unwrap_err();
        assert_eq!(said, "[ControlPlanes] host-cp1 and 10.0.0.1 both are the member cp1");
    }

    #[test]
    fn machines_of_two_clusters_are_told_apart() {
        let of = |name: &str, authority: &str| {
            let (machine, answer) = answer(name, None, &[]);
            (machine, Answer { authority: Some(authority.into()), ..answer })
        };
        let said = plan(vec![of("cp1", "a"), of("cp2", "a"), of("cp3", "b")], true).unwrap_err();
        assert!(said.contains("host-cp1 and host-cp3 have different authorities of etcd"), "{said}");
        assert!(plan(vec![of("cp1", "a"), of("cp2", "a")], false).is_ok());
    }

    #[test]
    fn members_that_are_gone_for_good_can_be_left_out() {
        let machines = || vec![answer("cp1", None, &["cp1", "cp2", "cp3"]), answer("cp2", None, &[])];
        assert!(plan(machines(), false).unwrap_err().contains("members that were not named: cp3 (1)"));
        assert!(plan(machines(), true).is_ok());
    }

    #[test]
    fn what_was_cut_off_is_taken_back_first() {
        let mut cp2 = ("host-cp2".to_owned(), Answer::default());
        cp2.1.unfinished =
            Some(Unfinished { id: "01X".into(), workflow: "restore etcd".into(), together: true });
        let plan = plan(vec![answer("cp1", Some(1), &["cp1", "cp2"]), cp2], false).unwrap();
        assert!(plan.has_leftovers());
        assert_eq!(plan.leftovers().collect::<Vec<_>>(), [None, Some("01X")]);
    }
}
