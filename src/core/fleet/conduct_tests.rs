//! Commands that exist only as channels: what the leader says to each, and when.

use std::sync::Mutex;

use super::*;
use crate::engine::event::Silent;

const GATES: [&str; 3] = ["a", "b", "c"];

/// What a command does, step by step.
#[derive(Clone)]
enum Act {
    /// Comes to a gate, and waits for what it is told there.
    Gate(&'static str),
    /// Ends.
    End(i32),
    /// Ends without a word.
    Vanish,
}
use Act::{End, Gate, Vanish};

type Score = Mutex<Vec<String>>;

/// A command that goes through its acts, writes what it hears, and ends with 1 when it is told to go back.
fn play(machine: &str, acts: Vec<Act>, score: &'static Score) -> Run {
    let (say, mut said) = mpsc::unbounded_channel::<String>();
    let (hear, heard) = mpsc::unbounded_channel();
    let name = machine.to_owned();
    tokio::spawn(async move {
        let end = |code| Heard::Ended(Ending { code: Some(code), ..Ending::default() });
        for act in acts {
            match act {
                Gate(gate) => {
                    let _ = hear
                        .send(Heard::Event(Event::Waiting { phase: gate.into(), missing: String::new() }));
                    let line = said.recv().await.unwrap_or_else(|| "end of stdin".into());
                    score.lock().unwrap().push(format!("{name} {gate}: {line}"));
                    if line != "go" {
                        let _ = hear.send(end(1));
                        return;
                    }
                }
                End(code) => drop(hear.send(end(code))),
                Vanish => return,
            }
        }
    });
    Run { machine: machine.into(), say, heard }
}

async fn led(parts: Vec<Vec<Act>>, majority_goes_on: bool) -> (Vec<String>, Vec<Option<i32>>) {
    let score: &'static Score = Box::leak(Box::default());
    let runs =
        parts.into_iter().enumerate().map(|(n, acts)| play(&format!("cp{}", n + 1), acts, score)).collect();
    let how = Conduct { gates: GATES.to_vec(), majority_goes_on };
    let ended = conduct(runs, &how, &Silent, &Cancel::default()).await;
    let codes = ended.iter().map(|ended| ended.ending.code).collect();
    let mut heard = score.lock().unwrap().clone();
    heard.sort();
    (heard, codes)
}

fn good() -> Vec<Act> {
    vec![Gate("a"), Gate("b"), Gate("c"), End(0)]
}

#[tokio::test]
async fn all_go_on_when_all_are_there() {
    let (heard, codes) = led(vec![good(), good()], false).await;
    assert_eq!(codes, [Some(0), Some(0)]);
    assert_eq!(heard, ["cp1 a: go", "cp1 b: go", "cp1 c: go", "cp2 a: go", "cp2 b: go", "cp2 c: go"]);
}

#[tokio::test]
async fn where_one_fails_the_others_go_back() {
    let bad = vec![Gate("a"), End(1)];
    let (heard, codes) = led(vec![good(), bad, good()], false).await;
    assert_eq!(codes, [Some(1), Some(1), Some(1)]);
    assert_eq!(
        heard,
        ["cp1 a: go", "cp1 b: abort cp2 failed", "cp2 a: go", "cp3 a: go", "cp3 b: abort cp2 failed"]
    );
}

#[tokio::test]
async fn one_that_refuses_before_the_first_gate_stops_all() {
    let (heard, codes) = led(vec![vec![End(3)], good()], true).await;
    assert_eq!(codes, [Some(3), Some(1)]);
    assert_eq!(heard, ["cp2 a: abort cp1 failed"]);
}

#[tokio::test]
async fn one_that_is_lost_has_failed() {
    let (heard, codes) = led(vec![good(), vec![Gate("a"), Vanish]], false).await;
    // Nobody knows how it ended; the others do not wait for ever.
    assert_eq!(codes[1], None);
    assert!(!heard.iter().any(|line| line.starts_with("cp1 c")), "{heard:?}");
}

#[tokio::test]
async fn a_majority_goes_on_only_after_all_had_replaced_their_data() {
    let late = vec![Gate("a"), Gate("b"), End(1)];
    let (heard, codes) = led(vec![good(), late.clone(), good()], true).await;
    assert_eq!(codes, [Some(0), Some(1), Some(0)], "{heard:?}");
    let (_, codes) = led(vec![good(), late.clone(), good()], false).await;
    assert_eq!(codes, [Some(1), Some(1), Some(1)]);
    // One of two is no majority.
    let (_, codes) = led(vec![good(), late], true).await;
    assert_eq!(codes, [Some(1), Some(1)]);
    let early = vec![Gate("a"), End(1)];
    let (_, codes) = led(vec![good(), early, good()], true).await;
    assert_eq!(codes, [Some(1), Some(1), Some(1)]);
}

#[tokio::test]
async fn one_that_has_its_last_word_is_not_called_back() {
    // It fails behind the last gate: what the others have finished stays.
    let last = vec![Gate("a"), Gate("b"), Gate("c"), End(5)];
    let (heard, codes) = led(vec![good(), last], false).await;
    assert_eq!(codes, [Some(0), Some(5)], "{heard:?}");
}

#[tokio::test]
async fn one_that_went_through_a_gate_before_is_waited_for_at_the_next() {
    // Resumed: its first gates are behind it.
    let (heard, codes) = led(vec![good(), vec![Gate("c"), End(0)]], false).await;
    assert_eq!(codes, [Some(0), Some(0)], "{heard:?}");
}

/// Keeps what is waited for.
#[derive(Default)]
struct Waits(Mutex<Vec<String>>);

impl Reporter for Waits {
    fn report(&self, event: Event) {
        if let Event::Waiting { phase, missing } = event {
            self.0.lock().unwrap().push(format!("{phase}: {missing}"));
        }
    }
}

#[tokio::test]
async fn it_is_told_who_holds_up_the_others_and_who_went_through() {
    let (say, _said) = mpsc::unbounded_channel();
    let (hear, heard) = mpsc::unbounded_channel();
    let waits = |gate: &str| Heard::Event(Event::Waiting { phase: gate.into(), missing: String::new() });
    let slow = Run { machine: "slow".into(), say, heard };
    let score: &'static Score = Box::leak(Box::default());
    let runs = vec![play("cp1", vec![Gate("a"), End(0)], score), slow];
    let (told, cancel) = (Waits::default(), Cancel::default());
    let how = Conduct { gates: vec!["a"], majority_goes_on: false };
    let late = async {
        while told.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        hear.send(waits("a")).unwrap();
        drop(hear);
    };
    let (ended, ()) = tokio::join!(conduct(runs, &how, &told, &cancel), late);
    assert_eq!(*told.0.lock().unwrap(), ["a: slow"]);
    assert!(ended.iter().all(|ended| ended.through), "{ended:?}");
    assert_eq!(ended[1].ending.code, None);
}

#[tokio::test]
async fn a_signal_takes_all_back() {
    let score: &'static Score = Box::leak(Box::default());
    let runs = vec![play("cp1", good(), score), play("cp2", vec![Gate("a"), Gate("b"), End(1)], score)];
    let cancel = Cancel::default();
    cancel.cancel("SIGINT");
    let how = Conduct { gates: GATES.to_vec(), majority_goes_on: true };
    let ended = conduct(runs, &how, &Silent, &cancel).await;
    assert_eq!(ended.iter().map(|it| it.ending.code).collect::<Vec<_>>(), [Some(1), Some(1)]);
    let heard = score.lock().unwrap().clone();
    assert!(
        heard.iter().all(|line| line.contains("abort the command that leads all was stopped by SIGINT")),
        "{heard:?}"
    );
}
