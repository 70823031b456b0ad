//! Several machines of a cluster, for commands that lead them over ssh.

use std::{fmt::Display, net::IpAddr, path::PathBuf, time::Duration};

use futures::future::join_all;
use rkadm_core::{
    engine::{Event, phase::Finding},
    fleet::{self, Deployed, Ending, FleetError, Machine, Program},
    host::Probe,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    API_TIMEOUT, Session,
    exit::{CommandError, ExitKind},
};

/// How long a machine may take to let us in.
const CONNECT: Duration = Duration::from_secs(10);

/// Machines that have this rkadm, in the order in which they were named.
pub struct Fleet {
    /// The machines.
    pub machines: Vec<Deployed>,
}

impl Fleet {
    /// Connects to all at once, and brings rkadm to those that lack it. The machine that this runs on needs no ssh.
    ///
    /// # Errors
    /// All that cannot be reached.
    pub async fn assemble(session: &Session, names: &[String]) -> Result<Self, CommandError> {
        let names = distinct(names)?;
        let here = Here::find(session).await;
        if names.iter().any(|name| here.is(name)) {
            Session::require_root(&session.command.iter().skip(1).cloned().collect::<Vec<_>>().join(" "))?;
        }
        let program = async || {
            let path = std::env::current_exe().map_err(|error| FleetError::Read {
                path: "the program that runs".into(),
                why: error.to_string(),
            })?;
            // What was replaced while it runs is called so.
            let path = PathBuf::from(path.to_string_lossy().trim_end_matches(" (deleted)"));
            let read = tokio::task::spawn_blocking(move || Program::of(&path)).await;
            read.map_err(|error| FleetError::Read { path: "the program".into(), why: error.to_string() })?
        };
        let program = program().await.map_err(CommandError::failed)?;
        let run = fleet::run_id();
        let one = async |name: &String| {
            let machine =
                if here.is(name) { Machine::here(name) } else { Machine::connect(name, CONNECT).await? };
            Deployed::to(machine, &program, &run).await
        };
        let (machines, errors) = split(join_all(names.iter().map(one)).await);
        let fleet = Self { machines };
        if errors.is_empty() {
            return Ok(fleet);
        }
        fleet.clear(session).await;
        Err(unreachable(&errors))
    }

    /// Runs an rkadm command on all at once, which reads and answers JSON: names and answers, in order.
    ///
    /// # Errors
    /// It failed on one: all that went wrong.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        command: &[&str],
        input: &impl Serialize,
    ) -> Result<Vec<(String, T)>, CommandError> {
        let input = serde_json::to_vec(input).map_err(CommandError::failed)?;
        let one = async |on: &Deployed| {
            let name = on.machine.name();
            let argv = [&[on.program.as_str(), "-o", "json", "--progress", "none"], command].concat();
            let answer = on.machine.run(&argv, &input[..]).await.map_err(|error| error.to_string())?;
            match serde_json::from_str(&answer.stdout) {
                Ok(answered) if answer.code == Some(0) => Ok((name.to_owned(), answered)),
                _ => Err(format!("{name}: {}", said(&answer.stdout, &answer.stderr))),
            }
        };
        let (answers, errors) = split(join_all(self.machines.iter().map(one)).await);
        if errors.is_empty() {
            return Ok(answers);
        }
        let mut error = CommandError::new(ExitKind::Preflight, format!("cannot {what} on every machine"));
        error.details = errors;
        Err(error.detail("Nothing was changed."))
    }

    /// Takes away what was kept for operations that are all finished now.
    pub async fn forget(&self, session: &Session) {
        tell_errors(session, join_all(self.machines.iter().map(Deployed::forget)).await);
    }

    /// Takes away what was brought. Where that does not work, it is told.
    pub async fn clear(&self, session: &Session) {
        tell_errors(session, join_all(self.machines.iter().map(Deployed::clear)).await);
    }
}

fn tell_errors(session: &Session, results: Vec<Result<(), FleetError>>) {
    for error in results.into_iter().filter_map(Result::err) {
        session.reporter.report(Event::Warning { message: error.to_string() });
    }
}

/// Two machines that do not have the same authority, of those that know one.
pub fn of_two_clusters<'a>(
    mut known: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<(&'a str, &'a str)> {
    let (first, authority) = known.next()?;
    known.find(|(_, other)| *other != authority).map(|(other, _)| (first, other))
}

/// Why a command did not end well.
pub fn why(ending: &Ending) -> String {
    match &ending.lost {
        Some(lost) => lost.clone(),
        None => said(&ending.stdout, &ending.said.join("\n")),
    }
}

/// What an rkadm that failed has to say: the document on stdout, or its last words.
pub fn said(stdout: &str, stderr: &str) -> String {
    // Commands of two parts may have written the result of the first.
    let documents = serde_json::Deserializer::from_str(stdout).into_iter::<serde_json::Value>();
    let document = documents.filter_map(Result::ok).find(|it| it["kind"] == "Error").unwrap_or_default();
    if let Some(message) = document["message"].as_str() {
        let findings: Vec<Finding> = serde_json::from_value(document["findings"].clone()).unwrap_or_default();
        let findings: Vec<_> =
            findings.iter().map(|finding| format!("[{}] {}", finding.check, finding.message)).collect();
        return [&[message.to_owned()], &findings[..]].concat().join("; ");
    }
    let last = stderr.trim().lines().last().unwrap_or_default();
    if last.is_empty() { "it said nothing".into() } else { last.to_owned() }
}

/// What a signal ends, before anything has begun.
///
/// # Errors
/// What it ended with, or the signal.
pub async fn stoppable<T>(
    session: &Session,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let done = session.unless_stopped(work).await;
    done.map_err(|error| error.detail("Nothing was changed."))?
}

fn split<T, E>(results: Vec<Result<T, E>>) -> (Vec<T>, Vec<E>) {
    let (mut good, mut bad) = (vec![], vec![]);
    for result in results {
        match result {
            Ok(one) => good.push(one),
            Err(error) => bad.push(error),
        }
    }
    (good, bad)
}

fn unreachable(errors: &[FleetError]) -> CommandError {
    let error = match errors {
        [one] => CommandError::new(ExitKind::Preflight, one.to_string()),
        several => {
            let mut error =
                CommandError::new(ExitKind::Preflight, format!("{} machines are not usable", several.len()));
            error.details = several.iter().map(ToString::to_string).collect();
            error
        }
    };
    let mut hints: Vec<String> = vec![];
    for hint in errors.iter().flat_map(FleetError::hints) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    CommandError { hints, ..error }.detail("Nothing was changed.")
}

fn distinct(names: &[String]) -> Result<Vec<String>, CommandError> {
    let usage = |message: &dyn Display| {
        CommandError::new(ExitKind::Usage, message.to_string()).detail("Nothing was changed.")
    };
    let mut all: Vec<String> = vec![];
    for name in names.iter().map(|name| name.trim()) {
        if name.is_empty() {
            return Err(usage(&"a machine has no name"));
        }
        // ssh would take it for an option.
        if name.starts_with('-') {
            return Err(usage(&format!("{name:?} is no name of a machine")));
        }
        if all.iter().any(|other| other == name) {
            return Err(usage(&format!("{name} is named twice")));
        }
        all.push(name.to_owned());
    }
    Ok(all)
}

/// The machine that this runs on.
struct Here {
    hostname: String,
    addresses: Vec<IpAddr>,
}

impl Here {
    async fn find(session: &Session) -> Self {
        let host = session.host(API_TIMEOUT);
        let addresses = [false, true].into_iter();
        let mut found = vec![];
        for ipv6 in addresses {
            found.extend(host.default_address(ipv6).await);
        }
        Self { hostname: host.hostname().await, addresses: found }
    }

    fn is(&self, name: &str) -> bool {
        if let Ok(address) = name.parse::<IpAddr>() {
            return address.is_loopback() || self.addresses.contains(&address);
        }
        // A short name and a full one may be two machines.
        name.eq_ignore_ascii_case(&self.hostname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_itself_is_known_by_its_name_and_addresses() {
        let here = Here { hostname: "cp1".into(), addresses: vec!["10.0.0.1".parse().unwrap()] };
        assert!(here.is("cp1") && here.is("CP1"));
        assert!(here.is("10.0.0.1") && here.is("127.0.0.1") && here.is("::1"));
        assert!(!here.is("cp2") && !here.is("10.0.0.2") && !here.is("root@cp1"));
        // Staging may have a cp1, too.
        assert!(!here.is("cp1.example.com"));
    }

    #[test]
    fn names_that_are_none_or_come_twice_are_refused() {
        let said = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            distinct(&names).map_err(|error| error.message.clone())
        };
        assert_eq!(said(&["cp1", " cp2"]).unwrap(), ["cp1", "cp2"]);
        assert_eq!(said(&["cp1", "cp1"]).unwrap_err(), "cp1 is named twice");
        assert_eq!(said(&["cp1", ""]).unwrap_err(), "a machine has no name");
        assert_eq!(said(&["-oProxyCommand=x"]).unwrap_err(), "\"-oProxyCommand=x\" is no name of a machine");
    }

    #[test]
    fn what_an_rkadm_says_is_found_wherever_it_says_it() {
        let document =
            r#"{"kind":"Error","message":"no","findings":[{"check":"Space","message":"full","hint":null}]}"#;
        assert_eq!(said(document, "Error: no"), "no; [Space] full");
        assert_eq!(said(&format!("{{\"kind\":\"X\"}}\n{document}"), ""), "no; [Space] full");
        assert_eq!(said("", "one\ntwo\n"), "two");
        assert_eq!(said("", ""), "it said nothing");
    }
}
