//! `backup schedule`: backups by the clock of systemd. (A backup itself adds a file and changes nothing: it needs no
//! phases.)

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, Workflow};
use serde::{Deserialize, Serialize};

use crate::{
    files::{directory, text_file},
    init::{PUBLIC, PUBLIC_DIR},
};

const UNITS: &str = "/etc/systemd/system";
const TIMER: &str = "rkadm-backup.timer";
const SERVICE: &str = "rkadm-backup.service";

/// What runs when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// systemd's `OnCalendar`.
    pub calendar: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Directory of the backups.
    pub backups: String,
    /// Directory of the metrics, which others read.
    pub metrics: Option<String>,
    /// A file with variables for the command, which systemd reads.
    #[serde(default)]
    pub environment: Option<String>,
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
        let homes = ["/root", "/home", "/run/user"];
        let first = self.schedule.command.first().into_iter();
        for path in first.chain([&self.schedule.backups]).chain(&self.schedule.metrics) {
            if homes.iter().any(|home| Path::new(path).starts_with(home)) {
                return Err(PhaseError::Unusable {
                    message: format!("{path} is in a home directory, which the service may not see"),
                    hint: "put rkadm into /usr/local/bin, and backups elsewhere (--dir)".into(),
                });
            }
        }
        // A unit that may write to a directory does not start where there is none.
        steps.extend(directory(cx, Path::new(&self.schedule.backups), 0o700).await?);
        if let Some(dir) = &self.schedule.metrics {
            steps.extend(directory(cx, Path::new(dir), PUBLIC_DIR).await?);
        }
        let path = |name: &str| PathBuf::from(UNITS).join(name);
        let mut changed = false;
        for (name, text) in [(SERVICE, service(&self.schedule)), (TIMER, timer(&self.schedule))] {
            let write = text_file(cx, path(name), PUBLIC, text).await?;
            changed |= write.is_some();
            steps.extend(write);
        }
        let enabled = cx.host.query(&["systemctl", "is-enabled", TIMER]).await;
        if changed || !enabled.is_ok_and(|output| output.success()) {
            let systemctl = |words: &[&str]| -> Vec<String> {
                ["systemctl"].iter().chain(words).map(|word| (*word).to_owned()).collect()
            };
            steps.push(Step::Run { argv: systemctl(&["daemon-reload"]), undo: None });
            steps.push(Step::Run {
                argv: systemctl(&["enable", "--now", TIMER]),
                undo: Some(systemctl(&["disable", "--now", TIMER])),
            });
        }
        Ok(Verdict::from_steps(steps, "the timer is there and enabled"))
    }
}

fn timer(schedule: &Schedule) -> String {
    format!(
        "[Unit]\nDescription=Back up etcd and the keys of this control plane\n\n\
         [Timer]\nOnCalendar={}\n# Not all control planes in the same second.\nRandomizedDelaySec=60\nPersistent=true\n\n\
         [Install]\nWantedBy=timers.target\n",
        schedule.calendar
    )
}

/// It reads keys and writes one directory: nothing else is open to it.
fn service(schedule: &Schedule) -> String {
    let command: Vec<_> = schedule.command.iter().map(|word| quoted(word)).collect();
    let dirs = [&schedule.backups].into_iter().chain(&schedule.metrics);
    let environment = schedule.environment.iter().map(|path| format!("EnvironmentFile={}\n", quoted(path)));
    let environment: String = environment.collect();
    let writable: Vec<_> = dirs.map(|word| quoted(word)).collect();
    format!(
        "[Unit]\nDescription=Back up etcd and the keys of this control plane\nAfter=network-online.target\n\n\
         [Service]\nType=oneshot\n{environment}ExecStart={}\nNice=10\nIOSchedulingClass=idle\nUMask=0077\n\
         ProtectSystem=strict\nReadWritePaths={}\nProtectHome=yes\nPrivateTmp=yes\nPrivateDevices=yes\n\
         ProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectControlGroups=yes\nNoNewPrivileges=yes\n\
         RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nCapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER\n",
        command.join(" "),
        writable.join(" ")
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
