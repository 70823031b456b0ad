//! The units of systemd, as text.

use super::{Schedule, Timed};

/// Of the drill, which may come and go.
pub(super) const DRILL: &str = "rkadm-backup-drill";

/// A service of systemd with its timer.
pub(super) struct Unit<'a> {
    pub(super) name: &'static str,
    description: &'static str,
    pub(super) timed: &'a Timed,
    /// What it may do beyond reading keys and writing backups.
    rights: &'static str,
}

impl Schedule {
    pub(super) fn units(&self) -> Vec<Unit<'_>> {
        let backup = Unit {
            name: "rkadm-backup",
            description: "Back up etcd and the keys of this control plane",
            timed: &self.backup,
            rights: "PrivateDevices=yes\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n\
                     CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER\n",
        };
        let drill = self.drill.as_ref().map(|timed| Unit {
            name: DRILL,
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

pub(super) fn timer_text(unit: &Unit<'_>) -> String {
    format!(
        "[Unit]\nDescription={}\n\n\
         [Timer]\nOnCalendar={}\n# Not all control planes in the same second.\nRandomizedDelaySec=60\nPersistent=true\n\n\
         [Install]\nWantedBy=timers.target\n",
        unit.description, unit.timed.calendar
    )
}

/// It reads keys and writes one directory: nothing else is open to it but what it needs.
pub(super) fn service(unit: &Unit<'_>, schedule: &Schedule) -> String {
    let command: Vec<_> = unit.timed.command.iter().map(|word| quoted(word)).collect();
    let dirs = [&schedule.backups].into_iter().chain(&schedule.metrics);
    let environment = schedule.environment.iter().map(|path| format!("EnvironmentFile={}\n", quoted(path)));
    let environment: String = environment.collect();
    let writable: Vec<_> = dirs.map(|word| quoted(word)).collect();
    format!(
        "[Unit]\nDescription={}\nAfter=network-online.target\n\n\
         [Service]\nType=oneshot\n{environment}ExecStart={}\nNice=10\nIOSchedulingClass=idle\nUMask=0077\n\
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
