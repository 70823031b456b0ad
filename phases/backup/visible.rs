//! What a service can see of the paths that its command names.

use std::path::Path;

use rkadm_core::engine::{PhaseError, PlanCx};

use super::Schedule;

/// `ProtectHome=yes` hides these from the service.
const HOMES: [&str; 3] = ["/root", "/home", "/run/user"];
/// With `PrivateTmp=yes` it has its own.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The paths that the service itself uses: its program, what it reads and where it writes.
fn paths(schedule: &Schedule) -> impl Iterator<Item = &str> {
    let timed = [Some(&schedule.backup), schedule.drill.as_ref()].into_iter().flatten();
    let words = timed.flat_map(|timed| &timed.command).map(|word| {
        // `--dir=/srv/backups`.
        word.split_once('=').map_or(word.as_str(), |(_, value)| value)
    });
    let given = [&schedule.backups].into_iter().chain(&schedule.metrics).map(String::as_str);
    words.chain(given).filter(|word| word.starts_with('/'))
}

/// Refuses a path that is there for whoever types it, and not for the service.
pub(super) fn refuse_hidden(schedule: &Schedule) -> Result<(), PhaseError> {
    let below = |path: &str, dirs: &[&str]| dirs.iter().any(|dir| Path::new(path).starts_with(dir));
    for path in paths(schedule) {
        let why = if below(path, &HOMES) {
            "is in a home directory, which the service may not see"
        } else if below(path, &TEMPORARY) {
            "is in a directory for temporary files, of which the service has its own"
        } else {
            continue;
        };
        return Err(PhaseError::Unusable {
            message: format!("{path} {why}"),
            hint:
                "put rkadm into /usr/local/bin, files that it reads into /etc, and backups elsewhere (--dir)"
                    .into(),
        });
    }
    Ok(())
}

/// systemd does not start a service whose variables it cannot read.
pub(super) async fn refuse_absent(cx: &PlanCx<'_>, schedule: &Schedule) -> Result<(), PhaseError> {
    let Some(file) = &schedule.environment else { return Ok(()) };
    if cx.host.stat(Path::new(file)).await?.is_some() {
        return Ok(());
    }
    Err(PhaseError::Unusable {
        message: format!("there is no {file}, which the service is to take its variables from"),
        hint: "write it first: `NAME=value` on each line, mode 0600".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::Timed;

    fn refused(words: &[&str]) -> String {
        let command = words.iter().map(|word| (*word).to_owned()).collect();
        let backup = Timed { calendar: "hourly".into(), command };
        let schedule = Schedule { backup, backups: "/var/lib/rkadm/backups".into(), ..Schedule::default() };
        refuse_hidden(&schedule).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_the_service_cannot_see_is_refused() {
        for (words, said) in [
            (vec!["/root/rkadm", "backup", "etcd"], "/root/rkadm is in a home directory"),
            (
                vec!["/usr/bin/rkadm", "--dir=/tmp/backups"],
                "/tmp/backups is in a directory for temporary files",
            ),
            (vec!["/usr/bin/rkadm", "--recipients-file=/var/tmp/keys"], "/var/tmp/keys is in a directory"),
            (
                vec!["/usr/bin/rkadm", "--kubeconfig=/home/me/config"],
                "/home/me/config is in a home directory",
            ),
        ] {
            assert!(refused(&words).contains(said), "{words:?}: {}", refused(&words));
        }
        assert_eq!(refused(&["/usr/local/bin/rkadm", "--dir=s3://root/tmp", "--dir=/rooted/tmp"]), "");
    }
}
