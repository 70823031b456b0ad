//! `backup schedule`: backups by the clock of systemd. (A backup itself adds a file and changes nothing: it needs no
//! phases.)

mod units;
mod visible;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::future::try_join_all;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, Workflow},
    text::sha256_hex,
};
use serde::{Deserialize, Serialize};

use crate::{
    files::{directory, text_file},
    init::{PUBLIC, PUBLIC_DIR},
};
use units::Unit;

const UNITS: &str = "/etc/systemd/system";

/// What runs when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Backups.
    pub backup: Timed,
    /// Drills.
    #[serde(default)]
    pub drill: Option<Timed>,
    /// Directory of the backups.
    pub backups: String,
    /// Directories of the metrics, which others read.
    pub metrics: Vec<String>,
    /// A file with variables for the commands, which systemd reads.
    #[serde(default)]
    pub environment: Option<String>,
}

/// A command and its time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timed {
    /// systemd's `OnCalendar`.
    pub calendar: String,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// The phases of `rkadm backup schedule`.
pub fn workflow(schedule: &Schedule) -> Workflow {
    let phases: Vec<Box<dyn Phase>> = vec![Box::new(Units { schedule: schedule.clone() })];
    Workflow { name: "backup schedule".into(), phases }
}

struct Units {
    schedule: Schedule,
}

#[async_trait]
impl Phase for Units {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("units", "Write a systemd service and timer and start the timer")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let schedule = &self.schedule;
        visible::refuse_hidden(schedule)?;
        visible::refuse_absent(cx, schedule).await?;
        let mut steps = directory(cx, Path::new(UNITS), PUBLIC_DIR).await?;
        // A unit that may write to a directory does not start where there is none.
        steps.extend(directory(cx, Path::new(&schedule.backups), 0o700).await?);
        for dir in &schedule.metrics {
            steps.extend(directory(cx, Path::new(dir), PUBLIC_DIR).await?);
        }
        for unit in schedule.units() {
            refuse_calendar(cx, &unit.timed.calendar).await?;
            steps.extend(set_up(cx, schedule, &unit).await?);
        }
        if schedule.drill.is_none() {
            steps.extend(remove(cx, units::DRILL).await?);
        }
        Ok(Verdict::from_steps(steps, "the timer is there and enabled"))
    }
}

/// The files of a unit, and its timer running. An earlier schedule comes back with a rollback: its files first, then systemd reads them,
/// then its timer runs by them again.
async fn set_up(cx: &PlanCx<'_>, schedule: &Schedule, unit: &Unit<'_>) -> Result<Vec<Step>, PhaseError> {
    let timer = format!("{}.timer", unit.name);
    let files = [
        text_file(cx, service_path(unit.name), PUBLIC, units::service(unit, schedule)),
        text_file(cx, path(&timer), PUBLIC, units::timer_text(unit)),
    ];
    let writes: Vec<_> = try_join_all(files).await?.into_iter().flatten().collect();
    let was_enabled = is_enabled(cx, &timer).await;
    if writes.is_empty() && was_enabled {
        return Ok(vec![]);
    }
    let reload = || systemctl(&["daemon-reload"]);
    let mut steps = vec![];
    if was_enabled {
        // Only its undo counts.
        steps.push(run(systemctl(&["is-enabled", &timer]), Some(systemctl(&["restart", &timer]))));
    }
    steps.push(run(reload(), Some(reload())));
    steps.extend(writes);
    steps.push(run(reload(), None));
    let undo = (!was_enabled).then(|| systemctl(&["disable", "--now", &timer]));
    steps.push(run(systemctl(&["enable", "--now", &timer]), undo));
    Ok(steps)
}

/// What an earlier schedule set up and this one does not have: it would go on by the old words.
async fn remove(cx: &PlanCx<'_>, name: &str) -> Result<Vec<Step>, PhaseError> {
    let timer = format!("{name}.timer");
    let mut steps = vec![];
    for path in [service_path(name), path(&timer)] {
        if let Some(bytes) = cx.host.read(&path).await? {
            steps.push(Step::RemoveFile { path, seen: Seen::Sha256(sha256_hex(&bytes)) });
        }
    }
    if steps.is_empty() {
        return Ok(steps);
    }
    if is_enabled(cx, &timer).await {
        let undo = Some(systemctl(&["enable", "--now", &timer]));
        steps.insert(0, run(systemctl(&["disable", "--now", &timer]), undo));
    }
    steps.push(run(systemctl(&["daemon-reload"]), None));
    Ok(steps)
}

fn path(file: &str) -> PathBuf {
    Path::new(UNITS).join(file)
}

fn service_path(name: &str) -> PathBuf {
    path(&format!("{name}.service"))
}

fn systemctl(words: &[&str]) -> Vec<String> {
    ["systemctl"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}

fn run(argv: Vec<String>, undo: Option<Vec<String>>) -> Step {
    Step::Run { argv, undo }
}

async fn is_enabled(cx: &PlanCx<'_>, timer: &str) -> bool {
    cx.host.query(&["systemctl", "is-enabled", timer]).await.is_ok_and(|output| output.success())
}

/// systemd ignores a line that it does not understand: the timer would never run. Where the program is not there, systemd judges.
async fn refuse_calendar(cx: &PlanCx<'_>, calendar: &str) -> Result<(), PhaseError> {
    match cx.host.query(&["systemd-analyze", "calendar", "--", calendar]).await {
        Ok(output) if output.code == 1 => Err(PhaseError::Unusable {
            message: format!("systemd does not understand {calendar:?} as a time: {}", output.stderr.trim()),
            hint: "write it as systemd.time(7) tells: `hourly`, `*-*-* 03:00`; try it: systemd-analyze calendar WHEN".into(),
        }),
        _ => Ok(()),
    }
}
