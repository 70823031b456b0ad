//! `rkadm upgrade apply VERSION --nodes cp1,cp2,cp3,w1`: every machine of a cluster, one after the other, over ssh.
//!
//! Each runs the command that `rkadm upgrade plan` shows for it. Where one fails, no other begins.

mod go_on;
mod order;
mod report;
mod seat;

use std::{path::PathBuf, time::Instant};

use futures::StreamExt as _;
use rkadm_core::{
    backup::trial,
    engine::{Event, phase::Finding, workflow::selects},
    fleet::{Conduct, Deployed, Run, conduct, run_id},
};

use super::{
    args::{ApplyArgs, CommonArgs, FleetArgs},
    run::{no_version, wanted},
};
use crate::cli::{
    Session,
    args::FailurePolicy,
    confirm,
    exit::{CommandError, ExitKind},
    fleet::{Fleet, said, stoppable, why},
};
use go_on::{go_on, refuse_unfinished, unfinished};
use order::{Job, Order, Planned};
use report::{Done, State};
use rkadm_phases::upgrade::{LOOKS, PAUSE, Scope, findings::HEALTH, metas};
use seat::Seat;
pub use seat::run as survey;

/// What is to be done, when all have been asked.
struct Plan {
    planned: Planned,
    machines: Vec<(String, Seat)>,
    order: Order,
}

/// What all machines say of themselves.
async fn seats(fleet: &Fleet) -> Result<Vec<(String, Seat)>, CommandError> {
    let machines = fleet.ask("ask for its node", &["upgrade", "survey"], &()).await?;
    refuse_unfinished(&machines)?;
    Ok(machines)
}

/// What would be wrong on one machine only when its turn comes.
fn misplaced(args: &ApplyArgs) -> Result<(), CommandError> {
    let usage =
        |message: String| Err(CommandError::new(ExitKind::Usage, message).detail("Nothing was changed."));
    for (flag, dir) in [("--patches", &args.common.patches), ("--backup-dir", &args.common.backup_dir)] {
        if let Some(dir) = dir.as_ref().filter(|dir| dir.is_relative()) {
            return usage(format!(
                "{flag} {}: with --nodes it is a directory of each machine: give the whole path",
                dir.display()
            ));
        }
    }
    for name in &args.common.skip_phases {
        if [Scope::Cluster, Scope::Node].into_iter().all(|scope| !has(scope, name)) {
            return usage(format!("--skip-phases: there is no phase {name}"));
        }
    }
    Ok(())
}

/// Whether a command has such a phase: `apply` and `node` do not have the same.
fn has(scope: Scope, name: &str) -> bool {
    metas(scope).iter().any(|meta| selects(name, meta.id))
}

/// Runs it.
pub async fn run(session: &Session, args: &ApplyArgs) -> Result<(), CommandError> {
    let version = wanted(args.version.as_deref(), "")?.ok_or_else(|| no_version(None))?.to_string();
    misplaced(args)?;
    let fleet = stoppable(session, Fleet::assemble(session, &args.fleet.nodes)).await?;
    let prepared = match go_on(session, args, &fleet).await {
        Ok(machines) => stoppable(session, prepare(session, args, &fleet, &version, machines)).await,
        Err(error) => Err(error),
    };
    let done = match prepared {
        Ok(Some(plan)) => carry_out(session, args, &fleet, &plan).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    fleet.clear(session).await;
    done
}

/// Plans, and asks the operator. None where nothing is to be done.
async fn prepare(
    session: &Session,
    args: &ApplyArgs,
    fleet: &Fleet,
    version: &str,
    machines: Vec<(String, Seat)>,
) -> Result<Option<Plan>, CommandError> {
    if args.common.dry_run {
        for (machine, unfinished) in unfinished(&machines) {
            let message = format!(
                "{machine}: operation {} (rkadm {}) was cut off, and goes on first",
                unfinished.id, unfinished.workflow
            );
            session.reporter.report(Event::Warning { message });
        }
    }
    let planned = settled(args, fleet, &machines, version).await?;
    let mut findings = vec![];
    for told in &planned.findings {
        let finding =
            Finding { check: told.check.clone(), message: told.message.clone(), hint: told.hint.clone() };
        if told.severity == "error" && !args.force {
            findings.push(finding);
        } else {
            let message = format!("[{}] {}", finding.check, finding.message);
            session.reporter.report(Event::Warning { message });
        }
    }
    let order = match Order::new(&planned, &machines, args.fleet.kubelet.is_wanted()) {
        Ok(order) => order,
        Err(strangers) => {
            findings.extend(strangers);
            Order::default()
        }
    };
    if !findings.is_empty() {
        let error = CommandError::new(ExitKind::Preflight, "this cluster cannot be upgraded as a whole now");
        return Err(CommandError { findings, ..error }.detail("Nothing was changed."));
    }
    let plan = Plan { planned, machines, order };
    if plan.order.jobs().next().is_none() {
        report::nothing(session, &plan);
        return Ok(None);
    }
    if args.common.dry_run {
        report::planned(session, &plan, args);
        return Ok(None);
    }
    if !args.yes && !args.force {
        match confirm::ask_in_peace(format!("{}Upgrade? [y/N]: ", report::steps(&plan, args))).await {
            Some(true) => {}
            Some(false) => return Err(confirm::denied()),
            None => {
                let error = CommandError::new(ExitKind::Usage, "nobody is there to confirm the upgrade");
                return Err(error.detail("Nothing was changed.").hint("without a terminal: --yes"));
            }
        }
    }
    Ok(Some(plan))
}

/// The plan, when what is not ready in one moment has had time to be: as each machine's own command has.
async fn settled(
    args: &ApplyArgs,
    fleet: &Fleet,
    machines: &[(String, Seat)],
    version: &str,
) -> Result<Planned, CommandError> {
    let only_health = |planned: &Planned| {
        let mut errors = planned.findings.iter().filter(|told| told.severity == "error").peekable();
        errors.peek().is_some() && errors.all(|told| told.check == HEALTH)
    };
    for _ in 1..LOOKS {
        let planned = planned(args, fleet, machines, version).await?;
        if !only_health(&planned) {
            return Ok(planned);
        }
        tokio::time::sleep(PAUSE).await;
    }
    planned(args, fleet, machines, version).await
}

/// What a control plane plans, which begins with itself: so one whose etcd does not lead.
async fn planned(
    args: &ApplyArgs,
    fleet: &Fleet,
    machines: &[(String, Seat)],
    version: &str,
) -> Result<Planned, CommandError> {
    let first = (0..machines.len())
        .filter(|&place| machines[place].1.control_plane)
        .min_by_key(|&place| machines[place].1.leads);
    let Some(first) = first else {
        let error = CommandError::new(ExitKind::Preflight, "none of the machines is a control plane");
        return Err(error
            .detail("Nothing was changed.")
            .hint("name all control planes and workers: --nodes cp1,cp2,cp3,w1"));
    };
    let on = &fleet.machines[first];
    let mut argv: Vec<String> = [&on.program, "-o", "json", "--progress", "none", "upgrade", "plan", version]
        .map(str::to_owned)
        .to_vec();
    argv.extend(allowed(args));
    argv.extend(shared(&args.common, Scope::Cluster).into_iter().filter(|flag| {
        ["--ignore-preflight-errors", "--etcd-upgrade", "--patches"].iter().any(|kept| flag.starts_with(kept))
    }));
    let words: Vec<_> = argv.iter().map(String::as_str).collect();
    let answer = on.machine.run(&words, tokio::io::empty()).await.map_err(CommandError::failed)?;
    let failed = || {
        let why = said(&answer.stdout, &answer.stderr);
        let message = format!("{} cannot plan the upgrade: {why}", on.machine.name());
        CommandError::new(ExitKind::Preflight, message).detail("Nothing was changed.")
    };
    serde_json::from_str(&answer.stdout).map_err(|_| failed())
}

async fn carry_out(
    session: &Session,
    args: &ApplyArgs,
    fleet: &Fleet,
    plan: &Plan,
) -> Result<(), CommandError> {
    let started = Instant::now();
    let binaries = stoppable(session, binaries(args, fleet)).await?;
    let one = async |(place, job): (usize, &Job)| {
        let on = &fleet.machines[job.machine];
        let words = words(args, job, binaries[job.machine].as_deref());
        Done { place, state: act(session, on, &words).await }
    };
    let mut done: Vec<Done> = vec![];
    let stopped = |done: &[Done]| {
        session.cancel.signal().is_some() || done.iter().any(|done| !matches!(done.state, State::Done))
    };
    let first = plan.order.control_planes.len();
    for job in plan.order.jobs().enumerate().take(first) {
        if !stopped(&done) {
            done.push(one(job).await);
        }
    }
    let mut workers = plan.order.jobs().enumerate().skip(first);
    let mut at_work = futures::stream::FuturesUnordered::new();
    loop {
        while at_work.len() < args.fleet.max_unavailable.get() && !stopped(&done) {
            let Some(job) = workers.next() else { break };
            at_work.push(one(job));
        }
        let Some(one) = at_work.next().await else { break };
        done.push(one);
    }
    let all_good =
        done.len() == plan.order.jobs().count() && done.iter().all(|done| done.state == State::Done);
    if all_good && args.fleet.kubelet.kubelet_binary.is_some() {
        fleet.forget(session).await;
    }
    session.reporter.report(Event::OperationFinished {
        operation: run_id(),
        status: if all_good { "finished" } else { "failed" }.into(),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    report::finished(session, plan, &done)
}

/// One command on one machine, to its end: a signal does not break it off, the next just does not begin.
async fn act(session: &Session, on: &Deployed, words: &[String]) -> State {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let argv = [&[on.program.as_str()], &words[..]].concat();
    let run = match Run::start(&on.machine, &argv).await {
        Ok(run) => run,
        // It never began.
        Err(error) => return State::Failed { code: Some(1), why: error.to_string() },
    };
    let how = Conduct::default();
    let ended = conduct(vec![run], &how, session.reporter.as_ref(), &session.cancel).await;
    match ended.into_iter().next() {
        Some(ended) if ended.is_good() => State::Done,
        Some(ended) => State::Failed { code: ended.ending.code, why: why(&ended.ending) },
        None => State::Failed { code: None, why: "nothing was heard".into() },
    }
}

/// The kubelet's new program, where it is brought, machine by machine.
async fn binaries(args: &ApplyArgs, fleet: &Fleet) -> Result<Vec<Option<String>>, CommandError> {
    let Some(path) = args.fleet.kubelet.kubelet_binary.as_ref().map(crate::cli::args::absolute) else {
        return Ok(vec![None; fleet.machines.len()]);
    };
    let unread = |error: &dyn std::fmt::Display| {
        CommandError::failed(format!("cannot read {}: {error}", path.display()))
            .detail("Nothing was changed.")
    };
    let of = PathBuf::from(&path);
    let sha256 = tokio::task::spawn_blocking(move || trial::sha256_of(&of)).await;
    let sha256 = sha256.map_err(CommandError::failed)?.map_err(|error| unread(&error))?;
    let mut brought = vec![];
    for on in &fleet.machines {
        let file = tokio::fs::File::open(&path).await.map_err(|error| unread(&error))?;
        let there = on.keep(file, "kubelet", &sha256).await;
        brought
            .push(Some(there.map_err(|error| CommandError::failed(error).detail("Nothing was changed."))?));
    }
    Ok(brought)
}

/// The whole command of a job.
fn words(args: &ApplyArgs, job: &Job, binary: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = ["--progress", "json", "-o", "json"].map(str::to_owned).to_vec();
    words.extend(job.words.iter().cloned());
    let applies = job.words.iter().any(|word| word == "apply");
    words.extend(shared(&args.common, if applies { Scope::Cluster } else { Scope::Node }));
    if applies {
        words.push("--yes".into());
        words.extend(allowed(args));
        words.extend(args.force.then(|| "--force".into()));
    }
    if job.kubelet {
        words.extend(kubelet(&args.fleet, binary));
    }
    words
}

fn allowed(args: &ApplyArgs) -> Vec<String> {
    let flags = [
        (args.allow_experimental_upgrades, "--allow-experimental-upgrades"),
        (args.allow_release_candidate_upgrades, "--allow-release-candidate-upgrades"),
    ];
    flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned()).collect()
}

/// Flags that mean the same on every machine.
fn shared(args: &CommonArgs, scope: Scope) -> Vec<String> {
    let mut words = vec![];
    let mut flag =
        |name: &str, value: Option<String>| words.extend(value.map(|value| format!("--{name}={value}")));
    let list = |all: &[String]| (!all.is_empty()).then(|| all.join(","));
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    flag("certificate-renewal", args.certificate_renewal.map(|on| on.to_string()));
    flag("etcd-upgrade", args.etcd_upgrade.map(|on| on.to_string()));
    flag("ignore-preflight-errors", list(&args.ignore_preflight_errors));
    let skipped: Vec<_> = args.skip_phases.iter().filter(|name| has(scope, name)).cloned().collect();
    flag("skip-phases", list(&skipped));
    flag("patches", path(&args.patches));
    flag("backup-dir", path(&args.backup_dir));
    flag("on-failure", (args.on_failure == FailurePolicy::Stop).then(|| "stop".into()));
    words
}

fn kubelet(args: &FleetArgs, binary: Option<&str>) -> Vec<String> {
    let kubelet = &args.kubelet;
    let mut words = vec!["--kubelet".to_owned(), format!("--drain-timeout={}", kubelet.drain_timeout)];
    words.extend(binary.map(|path| format!("--kubelet-binary={path}")));
    words.extend(kubelet.drain_unmanaged.then(|| "--drain-unmanaged".into()));
    words.extend(kubelet.drain_empty_dir.then(|| "--drain-empty-dir".into()));
    words
}
