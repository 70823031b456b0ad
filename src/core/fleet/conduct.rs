//! Leads commands on several machines from gate to gate.
//!
//! A command waits at a gate for a line on its stdin: `go`, or `abort` and why ([`super::Gate`]). None goes on before all are
//! there; where one fails, the others are asked to go back. A leader that dies is the end of every stdin, which they take for
//! the same.

use futures::{
    StreamExt as _,
    stream::{self, SelectAll},
};
use tokio::sync::mpsc;

use super::run::{Ending, Heard, Run};
use crate::engine::{Cancel, Event, Reporter};

/// How commands are led.
#[derive(Debug, Clone, Default)]
pub struct Conduct {
    /// Ids of the phases that wait, in order. The same for all.
    pub gates: Vec<&'static str>,
    /// Where one fails between the last gate but one and the last, the others go on, as long as they are a majority.
    pub majority_goes_on: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The machine.
    pub machine: String,
    /// How.
    pub ending: Ending,
    /// It went through the last gate: whatever came then, it does not go back.
    pub through: bool,
}

impl Ended {
    /// Whether it did what it was to do.
    pub fn is_good(&self) -> bool {
        self.ending.code == Some(0)
    }
}

/// Leads them until all have ended; how each did, in the order given.
pub async fn conduct(runs: Vec<Run>, how: &Conduct, reporter: &dyn Reporter, cancel: &Cancel) -> Vec<Ended> {
    let mut voices = SelectAll::new();
    let mut players = vec![];
    for (index, run) in runs.into_iter().enumerate() {
        let heard = stream::unfold(run.heard, |mut heard| async { Some((heard.recv().await?, heard)) });
        // A voice that breaks off is an end, too.
        let lost = Ending { lost: Some("nothing more was heard".into()), ..Ending::default() };
        let heard = heard.chain(stream::iter([Heard::Ended(lost)]));
        voices.push(heard.map(move |heard| (index, heard)).boxed());
        players.push(Player {
            machine: run.machine,
            say: run.say,
            at: At::Way(0),
            told: false,
            through: false,
        });
    }
    let mut stopped = false;
    let mut missing = String::new();
    loop {
        let next = tokio::select! {
                   next = voices.next() => next,
                   signal = cancel.cancelled(), if !stopped => {
                       stopped = true;
                       let why = format!("the command that leads all was stopped by {signal}");
                       for player in &mut players {
        player.abort(&why);
        }
                       continue;
                   }
               };
        // Voices end with their commands.
        let Some((index, heard)) = next else { break };
        players[index].hear(heard, how, reporter);
        lead(&mut players, how);
        let now = awaited(&players);
        if now != missing {
            if let Some(gate) = players.iter().find_map(Player::gate).filter(|_| !now.is_empty()) {
                reporter.report(Event::Waiting { phase: how.gates[gate].into(), missing: now.clone() });
            }
            missing = now;
        }
    }
    players.into_iter().map(Player::ended).collect()
}

struct Player {
    machine: String,
    say: mpsc::UnboundedSender<String>,
    at: At,
    /// It was asked to go back.
    told: bool,
    /// It went through the last gate.
    through: bool,
}

enum At {
    /// On the way to this gate; to none any more behind the last.
    Way(usize),
    /// It waits there.
    Gate(usize),
    /// The end.
    End(Ending),
}

impl Player {
    fn hear(&mut self, heard: Heard, how: &Conduct, reporter: &dyn Reporter) {
        match heard {
            Heard::Event(Event::Waiting { phase, .. }) if how.gates.contains(&phase.as_str()) => {
                self.at = At::Gate(how.gates.iter().position(|gate| *gate == phase).unwrap_or_default());
            }
            Heard::Event(event) => {
                reporter.report(Event::Machine { machine: self.machine.clone(), event: Box::new(event) });
            }
            Heard::Ended(_) if matches!(self.at, At::End(_)) => {}
            Heard::Ended(ending) => self.at = At::End(ending),
        }
    }

    fn has_failed(&self) -> bool {
        matches!(&self.at, At::End(ending) if ending.code != Some(0))
    }

    fn abort(&mut self, why: &str) {
        if !self.told && !matches!(self.at, At::End(_)) {
            self.told = true;
            // One that is still on its way reads it at its next gate.
            let _ = self.say.send(format!("abort {why}"));
        }
    }

    /// Where it waits.
    fn gate(&self) -> Option<usize> {
        match self.at {
            At::Gate(gate) => Some(gate),
            At::Way(_) | At::End(_) => None,
        }
    }

    fn go(&mut self, gate: usize, last: usize) {
        self.through = gate == last;
        self.at = At::Way(gate + 1);
        let _ = self.say.send("go".into());
    }

    fn ended(self) -> Ended {
        let ending = match self.at {
            At::End(ending) => ending,
            At::Way(_) | At::Gate(_) => Ending::default(),
        };
        Ended { machine: self.machine, ending, through: self.through }
    }
}

/// Those that others wait for at a gate.
fn awaited(players: &[Player]) -> String {
    let Some(gate) = players.iter().filter_map(Player::gate).max() else { return String::new() };
    let late = players.iter().filter(|player| matches!(player.at, At::Way(at) if at <= gate));
    late.map(|player| player.machine.as_str()).collect::<Vec<_>>().join(", ")
}

/// Says what is to be said now.
fn lead(players: &mut [Player], how: &Conduct) {
    let failed: Vec<_> =
        players.iter().filter(|player| player.has_failed()).map(|player| player.machine.clone()).collect();
    let all = players.len();
    let last = how.gates.len().saturating_sub(1);
    // Where all have come through the last gate but one, the rest can do without those that failed since.
    let survivors = how.majority_goes_on
        && (all - failed.len()) * 2 > all
        && players.iter().filter(|player| !player.has_failed()).all(|player| match player.at {
            At::Way(gate) | At::Gate(gate) => gate >= last,
            At::End(_) => true,
        });
    if !failed.is_empty() && !survivors {
        let why = format!("{} failed", failed.join(" and "));
        // Behind the last gate there is no way back together.
        let back = players.iter_mut().filter(|player| !matches!(player.at, At::Way(gate) if gate > last));
        back.for_each(|player| player.abort(&why));
        return;
    }
    let Some(first) = players
        .iter()
        .filter_map(|player| match player.at {
            At::Way(gate) | At::Gate(gate) => Some(gate),
            At::End(_) => None,
        })
        .min()
    else {
        return;
    };
    let all_there = players.iter().all(|player| !matches!(player.at, At::Way(gate) if gate <= first));
    if all_there && !players.iter().any(|player| player.told) {
        for player in players.iter_mut().filter(|player| matches!(player.at, At::Gate(gate) if gate == first))
        {
            player.go(first, last);
        }
    }
}

#[cfg(test)]
#[path = "conduct_tests.rs"]
mod tests;
