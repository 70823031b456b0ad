//! `backup schedule`: backups by the clock of systemd. (A backup itself adds a file and changes nothing: it needs no
//! phases.)

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::future::try_join_all;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, Workflow};
use serde::{Deserialize, Serialize};

use crate::{
    files::{directory, text_file},
    init::{PUBLIC, PUBLIC_DIR},
};

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

/// A service of systemd with its timer.
struct Unit<'a> {
    name: &'static str,
    description: &'static str,
    timed: &'a Timed,
    /// What it may do beyond reading keys and writing backups.
    rights: &'static str,
}

impl Schedule {
    fn units(&self) -> Vec<Unit<'_>> {
        let backup = Unit {
            name: "rkadm-backup",
            description: "Back up etcd and the keys of this control plane",
            timed: &self.backup,
            rights: "PrivateDevices=yes\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n\
                     CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER\n",
        };
        let drill = self.drill.as_ref().map(|timed| Unit {
            name: "rkadm-backup-drill",
            description: "Try the newest backup of this control plane",
            timed,
            // Namespaces of its own with a loopback interface, and the programs of other processes.
            rights: "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n\
                     CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_SYS_ADMIN CAP_NET_ADMIN \
                     CAP_SYS_PTRACE\n",
        });
        [backup].into_iter().chain(drill).collect()
    }
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
        let mut steps = directory(cx, Path::new(UNITS), PUBLIC_DIR).await?;
        let units = self.schedule.units();
        let programs = units.iter().filter_map(|unit| unit.timed.command.first());
        refuse_homes(programs.chain([&self.schedule.backups]).chain(&self.schedule.metrics))?;
        // A unit that may write to a directory does not start where there is none.
        steps.extend(directory(cx, Path::new(&self.schedule.backups), 0o700).await?);
        for dir in &self.schedule.metrics {
            steps.extend(directory(cx, Path::new(dir), PUBLIC_DIR).await?);
        }
        let path = |name: String| PathBuf::from(UNITS).join(name);
        for unit in units {
            let timer = format!("{}.timer", unit.name);
            let files = [
                text_file(cx, path(format!("{}.service", unit.name)), PUBLIC, service(&unit, &self.schedule)),
                text_file(cx, path(timer.clone()), PUBLIC, timer_text(&unit)),
            ];
            let writes: Vec<_> = try_join_all(files).await?.into_iter().flatten().collect();
            let enabled = cx.host.query(&["systemctl", "is-enabled", &timer]).await;
            let stays = writes.is_empty() && enabled.is_ok_and(|output| output.success());
            steps.extend(writes);
            if stays {
                continue;
            }
            let systemctl = |words: &[&str]| -> Vec<String> {
                ["systemctl"].iter().chain(words).map(|word| (*word).to_owned()).collect()
            };
            steps.push(Step::Run { argv: systemctl(&["daemon-reload"]), undo: None });
            steps.push(Step::Run {
                argv: systemctl(&["enable", "--now", &timer]),
                undo: Some(systemctl(&["disable", "--now", &timer])),
            });
        }
        Ok(Verdict::from_steps(steps, "the timer is there and enabled"))
    }
}

/// The service may not see them.
fn refuse_homes<'a>(mut paths: impl Iterator<Item = &'a String>) -> Result<(), PhaseError> {
    let homes = ["/root", "/home", "/run/user"];
    let hidden = |path: &&String| homes.iter().any(|home| Path::new(path).starts_with(home));
    match paths.find(hidden) {
        None => Ok(()),
        Some(path) => Err(PhaseError::Unusable {
            message: format!("{path} is in a home directory, which the service may not see"),
            hint: "put rkadm into /usr/local/bin, and backups elsewhere (--dir)".into(),
        }),
    }
}

fn timer_text(unit: &Unit<'_>) -> String {
    format!(
        "[Unit]\nDescription={}\n\n\
         [Timer]\nOnCalendar={}\n# Not all control planes in the same second.\nRandomizedDelaySec=60\nPersistent=true\n\n\
         [Install]\nWantedBy=timers.target\n",
        unit.description, unit.timed.calendar
    )
}

/// It reads keys and writes one directory: nothing else is open to it but what it needs.
fn service(unit: &Unit<'_>, schedule: &Schedule) -> String {
    let command: Vec<_> = unit.timed.command.iter().map(|word| quoted(word)).collect();
    let dirs = [&schedule.backups].into_iter().chain(&schedule.metrics);
    let writable: Vec<_> = dirs.map(|word| quoted(word)).collect();
    format!(
        "[Unit]\nDescription={}\nAfter=network-online.target\n\n\
         [Service]\nType=oneshot\nExecStart={}\nNice=10\nIOSchedulingClass=idle\nUMask=0077\n\
         ProtectSystem=strict\nReadWritePaths={}\nProtectHome=yes\nPrivateTmp=yes\n\
         ProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectControlGroups=yes\nNoNewPrivileges=yes\n{}",
        unit.description,
        command.join(" "),
        writable.join(" "),
        unit.rights
    )
}

/// As systemd reads words: percent signs are its own.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%");
    if word.contains([' ', '"', '\'', '\\']) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word
    }
}
